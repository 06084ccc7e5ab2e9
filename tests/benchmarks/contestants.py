"""The contestants. Each run is a fresh process with a fresh group, over the same events.

How each is timed: *worker* (alone or with a trainer beside it) and *stock-faust* by the broker's own stamps
(LogAppendTime) of what they publish, from the first message to the last; the events of that first message do not
count. So start, compilation, joining the group and restoring lie outside, publishing lies inside, and neither is
slowed by being watched. *empty-fetch* publishes nothing: from aiokafka's first answer to its last, without the records
of the first.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.samples import Sample

from sie_online.settings import Settings
from tests.benchmarks.arena import Arena, drop, make_output, make_outputs
from tests.benchmarks.cpu import CpuWatch
from tests.benchmarks.published import Messages, read_plain, read_weights, topic_bytes
from tests.benchmarks.scraped import inside, outcomes, scrape, stage_quantiles, thread_us, value
from tests.support.brokers import Broker
from tests.support.topic_io import committed, ends
from tests.support.workers import SIE_WORKER, WorkerProcess, worker_pool

START_S = 600  # the first start compiles the kernels
RUN_S = 1_800
LOOK_EVERY_S = 1.0  # a scrape costs the worker some milliseconds
WORKER, WITH_TRAINER, STOCK, FETCH = "worker", "worker-with-trainer", "stock-faust", "empty-fetch"
RESULT = re.compile(r"^RESULT (\{.*\})$", re.MULTILINE)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """``events`` were done in ``seconds``; ``cores`` kept busy meanwhile, by process.

    Of a worker also ``threads``, processor time in µs an event by thread from ready to idle, and ``stages``, quantiles
    in ms by stage.
    """

    contestant: str
    events: int
    seconds: float
    cores: dict[str, float]
    details: dict[str, float] = field(default_factory=dict)
    threads: dict[str, float] = field(default_factory=dict)
    stages: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.events and self.seconds > 0):
            raise ValueError(f"{self.contestant} was done with its first answer: give more events")

    @property
    def rate(self) -> float:
        """Events per second."""
        return self.events / self.seconds

    @property
    def cpu_us(self) -> dict[str, float]:
        """Processor time by process, µs an event."""
        return {name: 1e6 * cores * self.seconds / self.events for name, cores in self.cores.items()}

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {"events_per_s": self.rate, "cpu_us_per_event": self.cpu_us}


def run_worker(
    arena: Arena, broker: Broker, name: str, progress: Progress, *, trainer: bool = False, **more: Any
) -> Run:
    """``sie worker`` from an empty store to the last event, then proof that nothing is missing.

    ``trainer``: ``--with-trainer``, the trainer as nice as it is by default. ``more``: settings that are not default.

    Raises:
        AssertionError: it ended, got stuck, or an event is unaccounted for.
    """
    settings = arena.settings(name, **more)
    outputs = make_outputs(settings)
    command = (*SIE_WORKER, "--with-trainer") if trainer else SIE_WORKER
    with worker_pool(settings, folder(arena, name), command) as start:
        worker = start()
        pids = watched_pids(worker, broker)
        if trainer:
            pids["trainer"] = int(worker.wait_for(r"trainer started pid=(\d+)", START_S)[1])
        with CpuWatch(pids) as watch:
            worker.wait_ready(START_S)
            at_start = scrape(settings)
            samples = until_accounted(worker, settings, arena.records, progress)
        if code := worker.stop():
            raise AssertionError(f"the worker ended with {code}; the end of its log:\n{worker.text()[-4000:]}")
    found = read_weights(settings)
    counts = outcomes(samples)
    _prove_complete(settings, counts, found)
    written = ("events", "weights", "samples", "entities", *(("recs",) if settings.recommend.publish else ()))
    volume = {f"{topic}_mb": topic_bytes(arena.folder, getattr(settings.topics, topic)) / 1e6 for topic in written}
    drop(settings, outputs)
    return Run(
        contestant=WITH_TRAINER if trainer else WORKER,
        events=found.events_after_first(),
        seconds=(found.last_ms - found.first_ms) / 1000,
        cores=watch.cores(found.first_ms, found.last_ms),
        details={**counts, "rows": found.rows, "final_rows": found.final, **volume, **inside(samples)},
        threads=thread_us(at_start, samples),
        stages=stage_quantiles(samples),
    )


def run_stock(arena: Arena, broker: Broker, name: str, n_events: int) -> Run:
    """Stock Faust over the first ``n_events`` that it gets to see."""
    settings = arena.settings(name)
    out = f"bench.{name}.out"
    make_output(settings, out)
    command = module_command("stock", "--events", str(n_events), "--out", out)
    with worker_pool(settings, folder(arena, name), command) as start:
        process = start()
        with CpuWatch(watched_pids(process, broker)) as watch:
            result = result_of(process)
        behind = sum(committed(settings).values())
    found = read_plain(settings, out)
    if found.rows != n_events:
        raise AssertionError(f"stock Faust published {found.rows:,} messages for {n_events:,} events")
    drop(settings, [out])
    return Run(
        contestant=STOCK,
        events=found.events_after_first(),
        seconds=(found.last_ms - found.first_ms) / 1000,
        cores=watch.cores(found.first_ms, found.last_ms),
        details={"settled": result["settled"], "committed": behind},
    )


def run_fetch(arena: Arena, broker: Broker, name: str) -> Run:
    """aiokafka alone, fetching everything and dropping it."""
    settings = arena.settings(name)
    command = module_command("fetch", "--records", str(arena.records))
    with worker_pool(settings, folder(arena, name), command) as start:
        process = start()
        with CpuWatch(watched_pids(process, broker)) as watch:
            result = result_of(process)
    first_ms, last_ms = result["first_ms"], result["last_ms"]
    return Run(FETCH, int(result["records"]), (last_ms - first_ms) / 1000, watch.cores(first_ms, last_ms))


def until_accounted(worker: WorkerProcess, settings: Settings, n_records: int, progress: Progress) -> list[Sample]:
    """The worker's metrics once every record is counted and everything published is confirmed."""
    deadline = time.monotonic() + RUN_S
    while time.monotonic() < deadline and worker.running:
        samples = scrape(settings)
        done = sum(outcomes(samples).values())
        if done >= n_records and value(samples, "sie_unacked_bytes") == 0:
            return samples
        progress(f"{done:,} of {n_records:,}")
        time.sleep(LOOK_EVERY_S)
    raise AssertionError(f"the worker did not get through; the end of its log:\n{worker.text()[-4000:]}")


def until_committed(settings: Settings, workers: Sequence[WorkerProcess]) -> None:
    """Return when the group has committed all that the topic holds; asks once a second, which costs the broker little.

    Raises:
        AssertionError: a worker ended, or it took too long.
    """
    wanted = {partition: offset for partition, offset in ends(settings, settings.topics.events).items() if offset}
    deadline = time.monotonic() + RUN_S
    while committed(settings) != wanted:
        if time.monotonic() > deadline or not all(worker.running for worker in workers):
            raise AssertionError(f"no commits at {wanted}: {workers[0].text()[-2000:]}")
        time.sleep(1.0)


def _prove_complete(settings: Settings, counts: Counter[str], found: Messages) -> None:
    """Every event is weighed once in the topic, and everything is checkpointed and committed.

    Raises:
        AssertionError: it is not so.
    """
    if found.distinct_events() != counts["weighted"]:
        raise AssertionError(f"{found.distinct_events():,} events have a weight, the worker counts {counts}")
    at, end = committed(settings), ends(settings, settings.topics.events)
    if at != {partition: offset for partition, offset in end.items() if offset}:
        raise AssertionError(f"committed {at} of {end}")


def result_of(process: WorkerProcess, within_s: float = RUN_S) -> dict[str, float]:
    """What it logs as its ``RESULT``, once it does."""
    result: dict[str, float] = json.loads(process.wait_for(RESULT, within_s)[1])
    return result


def watched_pids(process: WorkerProcess, broker: Broker) -> dict[str, int]:
    """Whose processor time is noted, by name."""
    return {"contestant": process.pid} | ({"broker": broker.pid} if broker.pid else {})


def module_command(module: str, *arguments: str) -> tuple[str, ...]:
    """A module of this package as a command."""
    return (sys.executable, "-m", f"tests.benchmarks.{module}", *arguments)


def folder(arena: Arena, name: str) -> Path:
    """A new folder of a contestant's own."""
    made = arena.folder / name
    made.mkdir()
    return made
