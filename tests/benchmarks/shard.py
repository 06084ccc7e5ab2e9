"""Where the microseconds of an event go: ``python -m tests.benchmarks.shard``. One shard, in memory, on one core.

Times the parts of ``Shard.process`` from outside (decode, the kernel, claiming disk, and rendering, which makes
messages) and, apart from it, laying a fetched batch out, and snapshots; and counts the bytes that go out. In
processor time of the one thread that does it all, so that what else runs on the machine shows little. No broker, no
checkpoint on disk.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any

from sie_online.ingest.records import RecordBatch
from sie_online.ingest.wire import final_heartbeats
from sie_online.settings import Settings
from sie_online.shard import Shard, warm_up
from sie_online.simulator import Scenario, simulate
from tests.benchmarks import BENCH
from tests.benchmarks.machine import busy_cores, describe, warning

RESULT = BENCH / "shard.json"
PARTS = ("layout", "decode", "kernel", "claim", "render", "other", "process", "snapshot")
SNAPSHOT_EVERY = 50_000
"""Events between snapshots, a share of the fleet's rate in the 5 s between a shard's checkpoints."""


@dataclass(frozen=True)
class Row:
    """A consumer record, as aiokafka hands it over."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[()] = ()


class Stopwatch:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.sent: dict[str, int] = defaultdict(int)
        """Bytes by topic, keys included."""
        self.longest_snapshot_s = 0.0

    def timed(self, part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, with the time it takes added to ``part``."""

        @wraps(call)
        def measured(*arguments: Any, **named: Any) -> Any:
            began = time.thread_time()
            try:
                return call(*arguments, **named)
            finally:
                self.seconds[part] += time.thread_time() - began

        return measured


def rows_of(n_events: int, settings: Settings) -> list[Row]:
    """The default scenario as the records of one partition, with the heartbeat that lets every window end."""
    simulation = simulate(Scenario(events=n_events))
    records = [*simulation.records(), *final_heartbeats(settings, simulation.last_event_ms, 1)]
    now_ms = int(time.time() * 1000)
    return [Row(at, now_ms, record.key, record.value) for at, record in enumerate(records)]


def measure(rows: list[Row], settings: Settings, batch_records: int) -> Stopwatch:
    """A fresh shard over all ``rows``, in batches of ``batch_records``."""
    shard, watch = Shard(settings, 0), Stopwatch()
    shard._decoder.decode = watch.timed("decode", shard._decoder.decode)  # type: ignore[method-assign]
    learned, assembly = shard._learned, shard._assembly
    learned._run = watch.timed("kernel", learned._run)  # type: ignore[method-assign]
    learned._claim_views = watch.timed("claim", learned._claim_views)  # type: ignore[method-assign]
    assembly.output = watch.timed("render", assembly.output)  # type: ignore[method-assign]
    lay_out, process = watch.timed("layout", _batch), watch.timed("process", lambda batch: list(shard.process(batch)))
    snapshot, saved = watch.timed("snapshot", shard.snapshot), 0
    for start in range(0, len(rows), batch_records):
        for output in process(lay_out(rows[start : start + batch_records])):
            watch.sent["weights"] += sum(map(len, output.framed.messages))
            watch.sent["samples"] += sum(map(len, output.gathered.framed.messages))
            watch.sent["entities"] += sum(len(key) + len(value or b"") for key, value in output.gathered.entities)
        if shard.next_offset - saved >= SNAPSHOT_EVERY or shard.next_offset == len(rows):
            before, saved = watch.seconds["snapshot"], shard.next_offset
            snapshot()
            watch.longest_snapshot_s = max(watch.longest_snapshot_s, watch.seconds["snapshot"] - before)
    shard.close()
    inside = sum(watch.seconds[part] for part in ("decode", "kernel", "claim", "render"))
    watch.seconds["other"] = watch.seconds["process"] - inside
    return watch


def _batch(rows: list[Row]) -> RecordBatch:
    end = rows[-1].offset + 1
    return RecordBatch.of(rows, topic="sie.events", partition=0, epoch=1, start=rows[0].offset, end=end)


def table(watches: list[Stopwatch], n_events: int) -> Iterator[tuple[str, float, float]]:
    """Part, least and median microseconds per event."""
    for part in PARTS:
        each = [watch.seconds[part] / n_events * 1e6 for watch in watches]
        yield part, min(each), median(each)


def main() -> None:
    """Measure and print; JSON beside."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.shard", description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4_000, help="records per batch (default: the worker's 4,000)")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    settings = Settings()
    print("Compiling or loading kernels, generating events ...", flush=True)
    warm_up()
    rows = rows_of(given.events, settings)
    busy = busy_cores()
    watches = []
    for number in range(1, given.rounds + 1):
        watches.append(measure(rows, settings, given.batch))
        print(
            f"round {number}/{given.rounds}: {watches[-1].seconds['process'] / len(rows) * 1e6:.2f} µs/event",
            flush=True,
        )
    parts = list(table(watches, len(rows)))
    print(f"\n{len(rows):,} records, batches of {given.batch:,}; {warning(busy) or 'machine idle'}")
    print(f"{'µs/event':<12}{'min':>8}{'median':>8}")
    for part, least, middle in parts:
        print(f"{part:<12}{least:>8.3f}{middle:>8.3f}")
    sent = {topic: n_bytes / len(rows) for topic, n_bytes in watches[-1].sent.items()}
    print("B/event     " + "  ".join(f"{topic} {n_bytes:.1f}" for topic, n_bytes in sent.items()))
    longest = max(watch.longest_snapshot_s for watch in watches)
    print(f"longest snapshot {longest * 1000:.0f} ms (the first of a shard copies everything)")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "machine": describe(),
        "busy_cores_before": busy,
        "records": len(rows),
        "batch": given.batch,
        "us_per_event": {part: {"min": least, "median": middle} for part, least, middle in parts},
        "bytes_per_event": sent,
        "longest_snapshot_ms": longest * 1000,
    }
    given.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
