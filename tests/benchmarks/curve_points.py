"""One point of each curve: events of that kind on a fresh broker, one worker or several, and the figures."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from sie_online.ingest.wire import Chunk
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay
from tests.benchmarks.arena import Arena, make_outputs, write_chunks
from tests.benchmarks.contestants import START_S, Run, folder, run_worker, until_accounted, until_committed
from tests.benchmarks.cpu import CpuWatch
from tests.benchmarks.published import read_weights
from tests.benchmarks.running import kafka_arena, log, now_and_then
from tests.benchmarks.traffic import Rewrite, among, as_it_is, chunks, padded
from tests.support.workers import WorkerProcess, worker_pool

Figures = dict[str, float]

PARTITIONS = 4
MOST_BYTES = 400_000_000  # of one point's events
SLOTS_PER_ENTITY = 2  # partitions do not get equal shares


def of_entities(n_entities: float, n_events: int) -> Figures:
    """Processor time and memory where so many users and items are seen, half of each, and all are remembered."""
    n = int(n_entities)
    slots = 1 << (SLOTS_PER_ENTITY * n // PARTITIONS - 1).bit_length()
    run = _worker(max(n_events, n), among(n), entities={"users": max(slots, 64), "items": max(slots, 64)})
    return _usual(run) | {"resident MB": run.details["resident_mb"]}


def of_partitions(n_partitions: float, n_events: int) -> Figures:
    """Processor time and memory of one worker that owns so many partitions."""
    run = _worker(n_events, as_it_is, partitions=int(n_partitions))
    return _usual(run) | {"resident MB": run.details["resident_mb"]}


def of_message_size(n_bytes: float, n_events: int) -> Figures:
    """Processor time where events are filled up to so many bytes."""
    run = _worker(min(n_events, int(MOST_BYTES / n_bytes)), padded(int(n_bytes)))
    return _usual(run) | {"MB/s in": run.details["events_mb"] / run.events * run.rate}


def of_checkpoints(n_behind: float, _n_events: int) -> Figures:
    """What checkpoints write and for how long the line stands still, behind so many events, one checkpoint a second.

    Raises:
        ValueError: the run was over before its first checkpoint.
    """
    run = _worker(int(n_behind), as_it_is, checkpoint={"interval_s": 1.0})
    details, stall = run.details, run.stages.get("stall", {})
    if not details["checkpoints"]:
        raise ValueError(f"no checkpoint fell into {n_behind:,.0f} events: give larger sizes")
    return {
        "MB in the store": details["store_mb"],
        "MB a checkpoint": details["checkpoint_mb"] / details["checkpoints"],
        "bytes an event": 1e6 * details["checkpoint_mb"] / run.events,
        **{f"stall {name} ms": each for name, each in stall.items()},
    }


def of_workers(n_workers: float, n_events: int) -> Figures:
    """Rate and processor time of so many workers of one group, each waiting when the events come."""
    with kafka_arena(PARTITIONS) as (arena, _broker):
        settings = arena.settings("fleet")
        make_outputs(settings)
        at = folder(arena, "fleet")
        with ExitStack() as stack:
            workers = [_start(stack, arena, at / str(nth)) for nth in range(int(n_workers))]
            for worker in workers:
                worker.wait_ready(START_S)
            with CpuWatch({str(nth): worker.pid for nth, worker in enumerate(workers)}) as watch:
                log(f"{len(workers)} workers are ready; writing {n_events:,} events")
                asyncio.run(replay(settings, chunks(n_events, as_it_is), ReplayRate()))
                until_committed(settings, workers)
        found = read_weights(settings)
        first_ms, last_ms = found.first_ms, found.last_ms
        seconds, cores = (last_ms - first_ms) / 1000, watch.cores(first_ms, last_ms)
        events = found.events_after_first()
        return {
            "events/s": events / seconds,
            "µs an event, all workers": 1e6 * sum(cores.values()) * seconds / events,
            "cores a worker": mean(cores.values()),
        }


def of_recovery(n_behind: float, n_events: int) -> Figures:
    """A worker is killed with so many records behind it since its last checkpoint, and comes back."""
    with kafka_arena(PARTITIONS) as (empty, _broker):
        records = [record for chunk in chunks(n_events + int(n_behind), as_it_is) for record in chunk.records]
        arena = write_chunks(empty, [Chunk(records[:n_events], 1.0)], quiet, flush=False)
        settings = arena.settings("recovery")
        make_outputs(settings)
        with worker_pool(settings, folder(arena, "recovery")) as start:
            first = start()
            first.wait_ready(START_S)
            until_committed(settings, [first])
            first.kill()
            behind = write_chunks(replace(arena, records=0), [Chunk(records[n_events:], 1.0)], quiet, flush=False)
            began = time.monotonic()
            second = start()
            second.wait_ready(START_S)
            ready_s = time.monotonic() - began
            until_accounted(second, settings, behind.records, quiet)
            done_s = time.monotonic() - began
            second.stop()
    return {"s to ready": ready_s, "s to caught up": done_s, "s after ready": done_s - ready_s}


def _usual(run: Run) -> Figures:
    return {"µs an event": run.cpu_us["contestant"], "events/s": run.rate}


def _worker(n_events: int, rewrite: Rewrite, partitions: int = PARTITIONS, **more: Any) -> Run:
    """One worker over a backlog of such events."""
    progress = now_and_then(lambda what: f"worker {what}")
    with kafka_arena(partitions) as (empty, broker):
        log(f"writing about {n_events:,} events")
        arena = write_chunks(empty, chunks(n_events, rewrite), now_and_then(lambda n, _share: f"written {n:,}"))
        run = run_worker(arena, broker, "worker", progress, **more)
        store = sum(file.stat().st_size for file in (arena.folder / "worker" / "store").rglob("*") if file.is_file())
    return replace(run, details=run.details | {"store_mb": store / 1e6})


def quiet(*_state: object) -> None:
    """Progress that nobody waits for."""


def _start(stack: ExitStack, arena: Arena, at: Path) -> WorkerProcess:
    """One more worker of the group, with a port of its own."""
    at.mkdir(parents=True)
    return stack.enter_context(worker_pool(arena.settings("fleet"), at))()
