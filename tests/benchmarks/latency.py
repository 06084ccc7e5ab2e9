"""``make bench ARGS="--latency"``: from sending an event to holding its weight, at steady rates, on Apache Kafka.

One worker with its defaults (checkpoints, samples and entities included), a load generator and a subscriber, each a
process of its own on this machine: the generator's cores are its own, and a row whose generator was late says so (its
events left in bursts, later than they should have: their latency counts from when they left). ``--window`` is the
attribution window: short, so that samples settle meanwhile as they do on any live stream. A rate's first seconds do not
count. ``latency_report`` is what comes out of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sie_online.settings import Settings
from tests.benchmarks import BENCH
from tests.benchmarks.arena import Arena, make_outputs
from tests.benchmarks.contestants import RESULT, START_S, folder, module_command, until_committed
from tests.benchmarks.cpu import CpuWatch
from tests.benchmarks.latency_report import QUANTILES, Latencies, LatencyReading
from tests.benchmarks.machine import describe
from tests.benchmarks.scraped import scrape, stage_quantiles, thread_us, value
from tests.support.brokers import Broker
from tests.support.workers import SIE_WORKER, WorkerProcess, worker_pool

RATES = (100, 1_000, 5_000, 20_000)
GRACE_S = 60.0
BATCHES = "sie_batch_records_count"


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
            until_committed(settings, [worker])  # what a rate left behind would be read as the next one's
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
                time.sleep(warm_s)
                before, began = scrape(settings), time.monotonic()
                said = json.loads(generator.wait_for(RESULT, seconds + GRACE_S)[1])
                after, took_s = scrape(settings), time.monotonic() - began
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
        batches_per_s=(value(after, BATCHES) - value(before, BATCHES)) / took_s,
        generator_late_ms={"p99": said["late_p99_ms"], "max": said["late_ms"]},
        longest_gap_ms=1000 * float(np.diff(np.unique(counted[:, 1])).max(initial=0.0)),
        stages=stage_quantiles(after, before),
        threads=thread_us(before, after),
    )
