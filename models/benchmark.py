"""How many samples per second a fine-tune takes, and how far that is from what the device could do.

The limit is measured here, not taken from a data sheet: the rate of a large matrix product in the precision used, and
the rate of a large copy. A step's arithmetic over the first and its least traffic over the second are the shares; the
larger of them says what binds. Small nets are bound by neither but by starting kernels: then both shares are low.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch

from models.data import Data, Ordered, batches, load, ordered
from models.errors import OutOfMemoryError
from models.inputs import Buckets, label_unknown, standard_of
from models.net import ImportanceNet, pick_device, start_weights
from models.samples import SampleColumns
from models.settings import FineTune
from models.step import Step, Targets, new_step
from sie_online.hyperparameters import SMALLEST_BATCH

WARM_UP_STEPS = 5
LARGE = {"cuda": 8_192, "cpu": 1_024}
"""Side of the matrices whose product shows the device's rate."""
COPY_BYTES = {"cuda": 1 << 30, "cpu": 1 << 28}
GPU_BATCH = 65_536
"""A second batch size on a GPU: with the default one it waits for its host."""


class Speed(NamedTuple):
    """One way of training: samples/s, and the shares of the device's arithmetic and memory rates."""

    mode: str
    way: str
    batch: int
    samples_per_s: float
    arithmetic_share: float
    memory_share: float


def report(samples: SampleColumns, settings: FineTune, seconds: float, log: Callable[[str], None]) -> str:
    """A table of all ways on ``settings.device``; each is measured for ``seconds``."""
    device = pick_device(settings.device)
    ways = (("float32", False), ("tuned", True)) if device.type == "cuda" else (("float32", False),)
    sizes = [settings.batch, GPU_BATCH] if device.type == "cuda" else [settings.batch]
    found = []
    order = ordered(samples)
    for mode in ("full", "heads"):
        for way, tuned in ways:
            for size in sizes:
                log(f"Measuring {mode}, {way}, batch {size} ...")
                changed = replace(settings, mode=mode, tuned=tuned, batch=size)
                found.append(_measure(order, changed, device, way, seconds))
    return _table(found, device)


def _measure(order: Ordered, settings: FineTune, device: torch.device, way: str, seconds: float) -> Speed:
    batch = settings.batch
    while True:
        try:
            return _timed(order, replace(settings, batch=batch), device, way, seconds)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if (batch := batch // 2) < SMALLEST_BATCH:
                raise OutOfMemoryError("even the smallest batch does not fit the device's memory") from None


def _timed(order: Ordered, settings: FineTune, device: torch.device, way: str, seconds: float) -> Speed:
    numbers = label_unknown(order.samples.take(order.timed), Buckets(2, 2, 2)).numbers
    start = start_weights(settings.shape, standard_of(numbers), settings.seed)
    net = ImportanceNet(start, device)
    data = load(order, start, device)
    step = new_step(net, data, settings)
    targets = torch.full_like(data.label, 0.5), torch.ones_like(data.label)
    _run(step, data, targets, settings.batch, WARM_UP_STEPS, device)
    done, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        done += _run(step, data, targets, settings.batch, 50, device)
    rate = done / elapsed
    bf16 = settings.tuned and device.type == "cuda"
    return Speed(
        settings.mode,
        way,
        settings.batch,
        rate,
        rate * flops_per_sample(settings, len(start.mean)) / _matrix_rate(device, bf16),
        rate * bytes_per_sample(settings, len(start.mean)) / _copy_rate(device),
    )


def _run(step: Step, data: Data, targets: Targets, size: int, steps: int, device: torch.device) -> int:
    """Take ``steps`` steps and wait for the device; the number of samples seen (those that fill up do not count)."""
    rng = np.random.default_rng(0)
    taken = samples = 0
    while taken < steps:
        for batch in islice(batches(len(data.label), size, rng, device), steps - taken):
            step(batch, targets)
            taken += 1
            samples += batch.size
    if device.type == "cuda":
        torch.cuda.synchronize()
    return samples


def flops_per_sample(settings: FineTune, n_numbers: int) -> float:
    """Multiplications and additions of a training step per sample: both forms, forward and twice as much backward."""
    shape = settings.shape
    width = 3 * shape.id_dim + shape.type_dim + n_numbers
    body = width * shape.hidden1 + shape.hidden1 * shape.hidden2 if settings.mode == "full" else 0
    return 2.0 * 2.0 * 3.0 * (body + shape.hidden2 * 2)


def bytes_per_sample(settings: FineTune, n_numbers: int) -> float:
    """The least a step must move per sample: its inputs read once, its embedded rows read, and read and written."""
    shape = settings.shape
    if settings.mode == "heads":
        return 4.0 * (2 * shape.hidden2 + 6)
    embedded = 3 * shape.id_dim + shape.type_dim
    return 4.0 * (n_numbers + 2 * 4 + 6 + 3 * (embedded + 4))


def _matrix_rate(device: torch.device, bf16: bool) -> float:
    """Operations per second of a large matrix product."""
    side = LARGE[device.type]
    a = torch.ones((side, side), device=device, dtype=torch.bfloat16 if bf16 else torch.float32)
    return 2.0 * side**3 / _seconds(lambda: a @ a, device)


def _copy_rate(device: torch.device) -> float:
    """Bytes read and written per second by a large copy."""
    source = torch.ones(COPY_BYTES[device.type] // 4, device=device)
    target = torch.empty_like(source)
    return 2.0 * COPY_BYTES[device.type] / _seconds(lambda: target.copy_(source), device)


def _seconds(action: Callable[[], object], device: torch.device, repeats: int = 5) -> float:
    """The shortest of some runs after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def _table(found: list[Speed], device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    lines = [
        f"device: {name}",
        f"{'mode':6} {'way':8} {'batch':>7} {'samples/s':>12} {'of arithmetic':>14} {'of memory':>10}",
    ]
    lines += [
        f"{one.mode:6} {one.way:8} {one.batch:7d} {one.samples_per_s:12,.0f} "
        f"{one.arithmetic_share:13.1%} {one.memory_share:10.1%}"
        for one in found
    ]
    return "\n".join(lines)
