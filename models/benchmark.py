"""How many samples per second a fine-tune takes, and how far that is from what the device could do.

A step's rate is put against the plain matrix products that it consists of (``limits``): both are timed in turns of a
run, and of the rounds' ratios the median and the ends are told, by the clock and by processor time, which other
processes on a host hardly move. The shares of the device's arithmetic and memory rates say what binds: the larger of
them, and where both are low, the host that starts the kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from models.data import Batch, Ordered, batches, load, ordered
from models.errors import OutOfMemoryError
from models.inputs import Buckets, label_unknown, standard_of
from models.limits import bytes_per_sample, copy_rate, finished, flops_per_sample, matrix_rate, plain_products
from models.net import ImportanceNet, pick_device, start_weights
from models.samples import SampleColumns
from models.settings import MODES, WAYS, FineTune
from models.step import new_step
from models.ways import way_of
from sie_online.hyperparameters import SMALLEST_BATCH

WARM_UP_STEPS = 5
ROUNDS = 9
LEAST_STEPS = 3
"""Of a turn, however short."""
GPU_BATCH = 65_536
"""A second batch size on a GPU: with the default one it waits for its host."""

Action = Callable[[], object]


class Spread(NamedTuple):
    """Of the rounds."""

    median: float
    low: float
    high: float


class Speed(NamedTuple):
    """One mode in one way: samples/s, by the clock and by processor time.

    ``of_products``: time of the plain products over that of the step, by processor time on a CPU, by the clock on a
    GPU; then the shares of the device's arithmetic and memory rates.
    """

    mode: str
    way: str
    batch: int
    samples_per_s: float
    samples_per_cpu_s: float
    of_products: Spread
    of_arithmetic: float
    of_memory: float


def report(samples: SampleColumns, settings: FineTune, seconds: float, log: Callable[[str], None]) -> str:
    """A table of both modes on ``settings.device``; each line is measured for ``seconds``.

    ``settings.way`` alone is measured, unless it is ``auto``: then all ways on a GPU, and on a CPU the one it takes.
    """
    device = pick_device(settings.device)
    gpu = device.type == "cuda"
    every = gpu and settings.way == "auto"
    ways = [way for way in WAYS if way != "auto"] if every else [way_of(settings, device)]
    sizes = [settings.batch, GPU_BATCH] if gpu else [settings.batch]
    found = []
    order = ordered(samples)
    for mode in MODES:
        for way in ways:
            for size in sizes:
                log(f"Measuring {mode}, {way}, batch {size} ...")
                found.append(_measure(order, replace(settings, mode=mode, way=way, batch=size), device, seconds))
    return _table(found, device)


def _measure(order: Ordered, settings: FineTune, device: torch.device, seconds: float) -> Speed:
    batch = settings.batch
    while True:
        try:
            return _timed(order, replace(settings, batch=batch), device, seconds)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if (batch := batch // 2) < SMALLEST_BATCH:
                raise OutOfMemoryError("even the smallest batch does not fit the device's memory") from None


def _timed(order: Ordered, settings: FineTune, device: torch.device, seconds: float) -> Speed:
    numbers = label_unknown(order.samples.take(order.timed), Buckets(2, 2, 2)).numbers
    start = start_weights(settings.shape, standard_of(numbers), settings.seed)
    data = load(order, start, device)
    step = new_step(ImportanceNet(start, device), data, settings)
    targets = torch.full_like(data.label, 0.5), torch.ones_like(data.label)
    stream = _endless(len(data.label), settings.batch, device)
    n_numbers, bf16 = len(start.mean), settings.mode == "full" and settings.way != "float32"
    products = plain_products(settings, n_numbers, device, bf16)
    turns = _in_turns(lambda: step(next(stream), targets), products, seconds, device)
    wall, cpu, ratios = (np.array(column) for column in zip(*turns, strict=True))
    rate = settings.batch / median(wall)
    return Speed(
        settings.mode,
        settings.way,
        settings.batch,
        rate,
        settings.batch / median(cpu),
        Spread(median(ratios), min(ratios), max(ratios)),
        rate * flops_per_sample(settings, n_numbers) / matrix_rate(device, bf16),
        rate * bytes_per_sample(settings, n_numbers) / copy_rate(device),
    )


def _endless(n: int, size: int, device: torch.device) -> Iterator[Batch]:
    """Whole batches, pass after pass; where there are too few samples for one, the one that is filled up."""
    rng = np.random.default_rng(0)
    while True:
        yield from (batch for batch in batches(n, size, rng, device) if batch.size == min(size, n))


def _in_turns(step: Action, products: Action, seconds: float, device: torch.device) -> list[tuple[float, float, float]]:
    """Of each round: seconds of a step by the clock and by processor time, and the products' share of it."""
    for action in (step, products):
        _run(action, WARM_UP_STEPS, device)
    turn = seconds / ROUNDS / 2.0
    counts = [max(LEAST_STEPS, round(turn / _run(action, LEAST_STEPS, device)[0])) for action in (step, products)]
    found = []
    for _ in range(ROUNDS):
        wall, cpu = _run(step, counts[0], device)
        plain_wall, plain_cpu = _run(products, counts[1], device)
        found.append((wall, cpu, plain_wall / wall if device.type == "cuda" else plain_cpu / cpu))
    return found


def _run(action: Action, times: int, device: torch.device) -> tuple[float, float]:
    """Seconds of one ``action``, by the clock and by processor time of all threads."""
    finished(device)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        action()
    finished(device)
    return (time.perf_counter() - wall) / times, (time.process_time() - cpu) / times


def _table(found: list[Speed], device: torch.device) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    clock = "the clock" if device.type == "cuda" else "processor time"
    lines = [
        f"device: {name}; of products: median (range) of {ROUNDS} rounds, by {clock}",
        f"{'mode':6} {'way':8} {'batch':>7} {'samples/s':>12} {'per cpu s':>12} {'of products':>17} "
        f"{'of arithmetic':>14} {'of memory':>10}",
    ]
    lines += [
        f"{one.mode:6} {one.way:8} {one.batch:7d} {one.samples_per_s:12,.0f} {one.samples_per_cpu_s:12,.0f} "
        f"{one.of_products.median:5.2f} ({one.of_products.low:.2f}-{one.of_products.high:.2f}) "
        f"{one.of_arithmetic:13.1%} {one.of_memory:10.1%}"
        for one in found
    ]
    return "\n".join(lines)
