"""``make bench ARGS="--latency"``: from sending an event to holding its weight, at steady rates, on Apache Kafka.

One worker with its defaults (checkpoints, samples and entities included), a load generator and a subscriber, each a
process of its own on this machine. ``--window`` is the attribution window: short, so that samples settle meanwhile as
they do on any live stream. A rate's first seconds do not count.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sie_online.settings import Settings
from tests.benchmarks import BENCH
from tests.benchmarks.arena import Arena, make_outputs
from tests.benchmarks.contestants import RESULT, START_S, folder, module_command, scrape, value
from tests.benchmarks.cpu import CpuWatch
from tests.benchmarks.machine import describe
from tests.support.brokers import Broker
from tests.support.workers import SIE_WORKER, WorkerProcess, worker_pool

RATES = (100, 500, 2_000, 5_000)
QUANTILES = (0.5, 0.9, 0.99, 1.0)
GRACE_S = 60.0
BATCHES = "sie_batch_records_count"


@dataclass(frozen=True)
class LatencyReading:
    """One rate: latencies in ms by quantile, cores kept busy by process, and what came of it.

    ``batches_per_s`` are the worker's: what one fetch brought of one partition.
    """

    rate: int
    sent: int
    read: int
    latency_ms: dict[str, float]
    cores: dict[str, float]
    batches_per_s: float
    generator_late_ms: float

    @property
    def ms_per_batch(self) -> float:
        """Processor time that the worker spends for a batch, all it does included."""
        return 1000 * self.cores["worker"] / self.batches_per_s


@dataclass(frozen=True)
class Latencies:
    """All rates."""

    machine: Mapping[str, str]
    setting: Mapping[str, Any]
    readings: Sequence[LatencyReading]

    def write(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def __str__(self) -> str:
        quantiles, who = [f"p{100 * q:g}" for q in QUANTILES], ("worker", "broker", "generator", "reader")
        heads = [*(f"{name} ms" for name in quantiles), *who, "batches/s", "ms/batch"]
        lines = [f"{name}: {told}" for name, told in {**self.machine, **self.setting}.items()]
        lines += [
            "",
            "From send to read, and cores kept busy:",
            "".join(f"{head:>10}" for head in ("events/s", *heads)),
        ]
        for each in self.readings:
            figures = [f"{each.latency_ms[name]:.1f}" for name in quantiles] + [
                f"{each.cores[name]:.2f}" for name in who
            ]
            figures += [f"{each.batches_per_s:.0f}", f"{each.ms_per_batch:.2f}"]
            lines.append(f"{each.rate:>10,}" + "".join(f"{figure:>10}" for figure in figures))
        return "\n".join(lines)


def measure(
    arena: Arena,
    broker: Broker,
    rates: Sequence[int],
    seconds: float,
    warm_s: float,
    window_s: float,
    on_note: Callable[[str], None],
) -> Latencies:
    """Run the rates one after the other over one worker."""
    settings = arena.settings("latency", labels={"window_s": window_s})
    make_outputs(settings)
    at = folder(arena, "latency")
    with worker_pool(settings, at, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(START_S)
        readings = []
        for rate in rates:
            readings.append(_reading(settings, at, worker, broker, rate, seconds, warm_s))
            on_note(f"{rate:,} events/s: " + ", ".join(f"{k} {v:.1f} ms" for k, v in readings[-1].latency_ms.items()))
        code, said = worker.stop(), worker.text()
        (BENCH / "latency-worker.log").write_text(said)
        if code:
            raise AssertionError(f"the worker ended with {code}; the end of its log:\n{said[-4000:]}")
    setting = {"partitions": arena.partitions, "seconds": seconds, "warm_s": warm_s, "window_s": window_s}
    return Latencies(describe(), setting, readings)


def _reading(
    settings: Settings, at: Path, worker: WorkerProcess, broker: Broker, rate: int, seconds: float, warm_s: float
) -> LatencyReading:
    at = at / str(rate)
    (at / "load").mkdir(parents=True)
    out = at / "readings.npy"
    with worker_pool(settings, at, module_command("readings", "--out", str(out))) as start_reader:
        reader = start_reader()
        reader.wait_for("READING")
        load = module_command("load", "--rate", str(rate), "--seconds", str(warm_s + seconds))
        with worker_pool(settings, at / "load", load) as start_load:
            generator = start_load()
            pids = {"worker": worker.pid, "generator": generator.pid, "reader": reader.pid}
            with CpuWatch(pids | ({"broker": broker.pid} if broker.pid else {})) as watch:
                generator.wait_for("SENDING")
                before, began = value(scrape(settings), BATCHES), time.monotonic()
                said = json.loads(generator.wait_for(RESULT, warm_s + seconds + GRACE_S)[1])
                batches_per_s = (value(scrape(settings), BATCHES) - before) / (time.monotonic() - began)
            generator.exit_code()
        reader.stop()
    found = np.load(out)
    if not len(found):
        raise AssertionError(f"no weight was read; the end of the worker's log:\n{worker.text()[-4000:]}")
    first_s = found[:, 0].min() + warm_s
    counted = found[(found[:, 0] >= first_s) & (found[:, 0] < first_s + seconds)]
    delays_ms = (counted[:, 1] - counted[:, 0]) * 1000
    return LatencyReading(
        rate=rate,
        sent=int(said["sent"]),
        read=len(found),
        latency_ms={f"p{100 * q:g}": float(np.quantile(delays_ms, q)) for q in QUANTILES},
        cores=watch.cores(first_s * 1000, (first_s + seconds) * 1000),
        batches_per_s=batches_per_s,
        generator_late_ms=said["late_ms"],
    )
