"""What a window of open views takes: ``python -m tests.benchmarks.open_views --views 4000000 --shards 4``.

A day of event time with that many views, each of another user and item, and purchases of some, any of those open; then
more of the same, so that as many settle as are opened, with a checkpoint every 5 s of event time; then a restore. Real
shards, one thread, records made on the fly; all shards are captured, the first one is saved to a checkpoint store.
Memory is the process's own (``RssAnon``) and what it has mapped of its scratch files (``RssFile``), which the system
takes back when it needs the room. Times are processor times of the thread; making the records does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Shard, warm_up
from streams.checkpoint.store import CheckpointStore
from tests.benchmarks import BENCH
from tests.benchmarks.machine import busy_cores, describe, memory, warning
from tests.benchmarks.numbered import Template
from tests.benchmarks.options import DOCS

NAME = "open-views.json"
BATCH = 4_000
CHECKPOINT_MS = 5_000
"""What a worker waits between two of a shard, by default."""
POINTS = 50
"""Of a curve."""
USERS, ITEMS = 100_003, 20_011
"""So that a user meets no item twice in two thousand million views."""
DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
TEMPLATE = Template(
    '{"event_id":"e<event:12>","user_id":"u<user:8>","item_id":"i<item:8>","event_type":<kind:10>,'
    '"timestamp_ms":<time:13>}'
)
KINDS = np.frombuffer(b'"view"    "purchase"', np.uint8).reshape(2, -1)


class Log:
    """The events of one shard: ``views`` in a day of event time, and ``share`` of the events are purchases."""

    def __init__(self, views: int, share: float) -> None:
        self.step_ms = DAY_MS / (views / (1 - share))
        self._every = round(1 / share)
        self._random = np.random.default_rng(1)

    def batch(self, start: int, n: int) -> RecordBatch:
        """``n`` events from offset ``start`` on."""
        at = np.arange(start, start + n)
        is_purchase = at % self._every == self._every - 1
        whose = np.where(is_purchase, self._bought(at), at)
        user, item = whose % USERS, (whose // USERS + whose % USERS * 31) % ITEMS
        times = START_MS + (at * self.step_ms).astype(np.int64)
        return TEMPLATE.batch(
            start, event=at, user=user, item=item, kind=KINDS[is_purchase.astype(np.intp)], time=times
        )

    def _bought(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """An open view for each of the events ``at``, any."""
        oldest = np.maximum(at - int(DAY_MS / self.step_ms) + BATCH, 0)
        views = oldest + (self._random.random(len(at)) * (at - oldest)).astype(np.int64)
        return views - (views % self._every == self._every - 1)


class Run:
    """Shards over their logs, and what was measured of them."""

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self._log = Log(given.views // given.shards, given.purchases)
        self._settings = Settings(store=f"file://{folder}/store")
        self._scratch = folder
        self._shards = [Shard(self._settings, 0, scratch=folder) for _ in range(given.shards)]
        self._store = CheckpointStore(self._settings, "sie.events", input_partitions=1)
        self._epoch = self._store.claim(0, 1)
        self._seconds = 0.0
        self._stalls_ms: list[float] = []
        self._captured: list[int] = []
        self._written: list[int] = []
        self._peak: dict[str, int] = {}
        self._curve: list[tuple[int, int, int]] = []

    def a_day(self, every: int) -> dict[str, Any]:
        """Open the views, all of which stay open; snapshots every so many events of a shard."""
        end = int(DAY_MS / self._log.step_ms) // BATCH * BATCH
        figures = self._over(0, end, BATCH, max(1, every // BATCH))
        return figures | {"anon_bytes_per_view": _slope(self._curve)}

    def beyond(self, checkpoints: int) -> dict[str, Any]:
        """From there on, with so many checkpoints of each shard."""
        for number, shard in enumerate(self._shards):
            self._save(number, shard)
        begin, batch = self._shards[0].next_offset, max(1, round(CHECKPOINT_MS / self._log.step_ms))
        return self._over(begin, begin + checkpoints * batch, batch, 1)

    def _over(self, begin: int, end: int, n: int, every: int) -> dict[str, Any]:
        """Process events ``begin`` to ``end`` of each shard's log, ``n`` at a time; what that took."""
        self._seconds, self._stalls_ms, self._captured, self._written, self._curve = 0.0, [], [], [], []
        self._peak = {}
        Path("/proc/self/clear_refs").write_text("5")  # the most it ever had begins anew
        told, points = time.monotonic(), max(1, (end - begin) // n // POINTS)
        for turn, start in enumerate(range(begin, end, n)):
            batch = self._log.batch(start, n)
            for number, shard in enumerate(self._shards):
                self._process(shard, batch)
                if (turn + number) % every == 0:
                    self._save(number, shard)
            if turn % points == 0:
                held = memory()
                self._curve.append((self._open_views, held["RssAnon"], held["RssFile"]))
            if time.monotonic() - told > 10:
                told = time.monotonic()
                print(f"  {self._open_views:>12,} open views, {memory()['RssAnon'] >> 20} MiB", flush=True)
        return self._figures((end - begin) * len(self._shards))

    def restore(self) -> dict[str, Any]:
        """The first shard from its checkpoint."""
        for shard in self._shards:
            shard.close()
        self._shards = []
        wall, processor = time.perf_counter(), time.process_time()
        loaded = self._store.load(0)
        assert loaded is not None
        read = time.perf_counter()
        shard = Shard.restore(self._settings, 0, loaded.meta, loaded.pieces, generation=2, scratch=self._scratch)
        figures = {
            "open_views": shard.stats().open_views,
            "read_and_verified_s": read - wall,
            "restored_s": time.perf_counter() - read,
            "processor_s": time.process_time() - processor,
            "memory": memory(),
        }
        del loaded
        return figures | self._first_snapshot(shard)

    def _first_snapshot(self, shard: Shard) -> dict[str, Any]:
        """All of a restored shard, copied ahead in parts and saved."""
        more, stalls_ms = True, []
        while more:
            began = time.thread_time()
            more = shard.copy_ahead()
            stalls_ms.append((time.thread_time() - began) * 1000)
        began = time.thread_time()
        snapshot = shard.snapshot()
        stalls_ms.append((time.thread_time() - began) * 1000)
        written = self._store.write(0, self._store.claim(0, self._epoch + 1), snapshot)
        first = {"stall_ms": max(stalls_ms), "bytes": written.bytes, "seconds": written.seconds, "memory": memory()}
        return {"first_snapshot": first}

    @property
    def _open_views(self) -> int:
        return sum(shard.stats().open_views for shard in self._shards)

    def _process(self, shard: Shard, batch: RecordBatch) -> None:
        began = time.thread_time()
        for _ in shard.process(batch, gather=True):
            pass
        self._seconds += time.thread_time() - began
        for name, size in memory().items():
            self._peak[name] = max(self._peak.get(name, 0), size)

    def _save(self, number: int, shard: Shard) -> None:
        shard.gathered()
        began = time.thread_time()
        snapshot = shard.snapshot()
        self._stalls_ms.append((time.thread_time() - began) * 1000)
        self._captured.append(sum(map(len, snapshot.changed.values())))
        if number == 0:
            self._written.append(self._store.write(0, self._epoch, snapshot).bytes)

    def _figures(self, events: int) -> dict[str, Any]:
        n, held = self._open_views, memory()
        disk = sum(
            os.fstat(shard._learned._views_file._ids._file._descriptor).st_blocks * 512 for shard in self._shards
        )
        return {
            "open_views": n,
            "us_per_event": self._seconds / events * 1e6,
            "curve": self._curve,
            "memory": held,
            "most_memory": dict(self._peak),
            "disk_bytes_per_view": disk / n,
            "stall_ms": {"p50": median(self._stalls_ms), "p99": _p99(self._stalls_ms), "max": max(self._stalls_ms)},
            "captured_bytes": {"p50": median(self._captured), "max": max(self._captured)},
            "written_bytes": {"p50": median(self._written), "max": max(self._written)},
            "checkpoints": len(self._stalls_ms),
        }


def _slope(curve: list[tuple[int, int, int]]) -> float:
    """Bytes of memory for each further view: from a fifth of the views on, when the tables of entities are full."""
    first, last = curve[len(curve) // 5], curve[-1]
    return (last[1] - first[1]) / max(1, last[0] - first[0])


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100)[-1] if len(values) > 1 else values[0]


def phases(given: argparse.Namespace, run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is measured, in turns."""
    yield "a day", run.a_day(given.snapshot_every)
    yield "beyond", run.beyond(given.checkpoints)
    yield "restore", run.restore()


def main() -> None:
    """Measure and print; JSON beside."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.open_views", description=__doc__)
    parser.add_argument("--views", type=int, default=4_000_000, help="open views, of all shards together")
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--purchases", type=float, default=0.03, help="their share of the events")
    parser.add_argument("--checkpoints", type=int, default=200, help="of each shard, after the day")
    parser.add_argument("--snapshot-every", type=int, default=100_000, help="events of a shard between two of them")
    parser.add_argument("--folder", type=Path, help="for scratch files and checkpoints (default: the temp folder)")
    parser.add_argument("--out", type=Path, default=BENCH / NAME)
    parser.add_argument("--publish", action="store_true", help="the result into docs/benchmarks, too")
    given = parser.parse_args()
    print("Compiling or loading kernels ...", flush=True)
    warm_up()
    result: dict[str, Any] = {"machine": describe(), "busy_cores_before": (busy := busy_cores()), "empty": memory()}
    result |= {name: getattr(given, name) for name in ("views", "shards", "purchases", "snapshot_every")}
    print(warning(busy) or "machine idle", flush=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for name, figures in phases(given, Run(given, Path(folder))):
            result[name] = figures
            shown = {key: value for key, value in figures.items() if key != "curve"}
            print(f"{name}: {json.dumps(shown, indent=2)}", flush=True)
    for place in [given.out, *([DOCS / NAME] if given.publish else [])]:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
