"""What a training step is measured against, on the device it runs on and measured there, not taken from a data sheet.

- the plain matrix products of a step: of each layer, both forms of a batch stacked as the loss is defined, x @ W
  forward, and backward x^T @ g and g @ W^T, with nothing before, between or after them, their operands in place
- the rate of a large matrix product, and that of a large copy: what arithmetic and memory could do at best
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from models.forward import N_HEADS
from models.settings import FineTune

LARGE = {"cuda": 8_192, "cpu": 1_024}
"""Side of the matrices whose product shows the device's rate."""
COPY_BYTES = {"cuda": 1 << 30, "cpu": 1 << 28}
FORMS = 2
"""In which a step sees each sample: label unknown and known."""

Product = tuple[int, int, int]
"""(m, k, n): of (m, k) and (k, n)."""


def products_of(settings: FineTune, n_numbers: int) -> list[Product]:
    """The products of one step on ``settings.batch`` samples with ``n_numbers`` numbers each.

    The first layer's inputs get a gradient where they are embedded ids; heads over a frozen body give theirs none.
    """
    shape, rows = settings.shape, FORMS * settings.batch
    heads = [(rows, shape.hidden2, N_HEADS), (shape.hidden2, rows, N_HEADS)]
    if settings.mode == "heads":
        return heads
    embedded = 3 * shape.id_dim + shape.type_dim
    width = embedded + n_numbers
    first = [(rows, width, shape.hidden1), (width, rows, shape.hidden1), (rows, shape.hidden1, embedded)]
    second = [
        (rows, shape.hidden1, shape.hidden2),
        (shape.hidden1, rows, shape.hidden2),
        (rows, shape.hidden2, shape.hidden1),
    ]
    return [*first, *second, *heads, (rows, N_HEADS, shape.hidden2)]


def plain_products(settings: FineTune, n_numbers: int, device: torch.device, bf16: bool) -> Callable[[], None]:
    """An action that makes ``products_of`` once, of matrices that lie as a step's do."""

    def matrix(rows: int, columns: int) -> Tensor:
        return torch.ones((rows, columns), device=device, dtype=torch.bfloat16 if bf16 else torch.float32)

    samples = FORMS * settings.batch
    operands = [
        (matrix(k, m).t() if k == samples else matrix(m, k), matrix(k, n), matrix(m, n))
        for m, k, n in products_of(settings, n_numbers)
    ]

    def once() -> None:
        for left, right, out in operands:
            torch.mm(left, right, out=out)

    return once


def flops_per_sample(settings: FineTune, n_numbers: int) -> float:
    """Multiplications and additions of the products of a step, per sample."""
    return sum(2.0 * m * k * n for m, k, n in products_of(settings, n_numbers)) / settings.batch


def bytes_per_sample(settings: FineTune, n_numbers: int) -> float:
    """The least a step must move per sample: its inputs read once, its embedded rows read, and read and written."""
    shape = settings.shape
    if settings.mode == "heads":
        return 4.0 * (2 * shape.hidden2 + 6)
    embedded = 3 * shape.id_dim + shape.type_dim
    return 4.0 * (n_numbers + 2 * 4 + 6 + 3 * (embedded + 4))


def matrix_rate(device: torch.device, bf16: bool) -> float:
    """Operations per second of a large matrix product."""
    side = LARGE[device.type]
    a = torch.ones((side, side), device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    return 2.0 * side**3 / _seconds(lambda: a @ a, device)


def copy_rate(device: torch.device) -> float:
    """Bytes read and written per second by a large copy."""
    source = torch.ones(COPY_BYTES[device.type] // 4, device=device)
    target = torch.empty_like(source)
    return 2.0 * COPY_BYTES[device.type] / _seconds(lambda: target.copy_(source), device)


def finished(device: torch.device) -> None:
    """Wait until ``device`` has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def _seconds(action: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """The shortest of some runs after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        action()
        finished(device)
        times.append(time.perf_counter() - begin)
    return min(times[1:])
