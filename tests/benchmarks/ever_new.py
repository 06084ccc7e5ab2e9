"""Memory where nothing ever returns: ``python -m tests.benchmarks.ever_new``. One shard, no broker.

Every event has an event id, a user, an item and a category that were never seen: every table fills up and then forgets
its longest unseen for each newcomer, and every view waits out its window. Told as it goes: resident memory, of which
``bound`` is what the tables may take by the settings, and processor time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from sie_online.settings import Settings
from sie_online.shard import Shard, warm_up
from sie_online.shard.snapshot import slot_tables
from sie_online.shard.state import State
from tests.benchmarks import BENCH
from tests.benchmarks.curves import Curve, Point
from tests.benchmarks.machine import busy_cores, describe, memory
from tests.benchmarks.numbered import Template
from tests.benchmarks.options import DOCS
from tests.benchmarks.pictures import draw
from tests.benchmarks.running import count, log

RECORDS = 4_000  # of a batch, as the worker's
BATCHES_A_SNAPSHOT = 250
RATE = 1_000  # events a second of event time
WINDOW_S = 3_600.0
FIRST_MS = 1_700_000_000_000
TEMPLATE = Template(
    '{"event_id":"e<id:10>","user_id":"u<user:10>","item_id":"i<id:10>","category_id":"c<id:10>",'
    '"event_type":"view","timestamp_ms":<time:13>}'
)


def points(settings: Settings, n_events: int, n_points: int) -> Iterator[Point]:
    """Run a shard over ``n_events``; ``n_points`` readings on the way."""
    shard, spent_s, told = Shard(settings, 0), 0.0, 0
    bound = bound_mb(shard._learned.state)
    for nth, start in enumerate(range(0, n_events, RECORDS), 1):
        number = np.arange(start, min(start + RECORDS, n_events), dtype=np.int64)
        records = TEMPLATE.batch(start, id=number, user=number, time=FIRST_MS + number * 1_000 // RATE)
        began = time.thread_time()
        for output in shard.process(records):
            if output.dead_letters:
                raise ValueError(output.dead_letters[0].detail)
        if nth % BATCHES_A_SNAPSHOT == 0:
            shard.snapshot()
        spent_s += time.thread_time() - began
        if shard.next_offset * n_points // n_events > told:
            told += 1
            yield Point(shard.next_offset, _figures(shard, bound) | {"µs an event": 1e6 * spent_s / shard.next_offset})
    shard.close()


def bound_mb(state: State) -> float:
    """What the tables may take once they are full, MB: of entities, coefficients and duplicates, not of open views."""
    arrays: list[Any] = [*state.model, *state.dedupe]
    for _, table in slot_tables(state):
        arrays += table
    return float(sum(each.nbytes for each in arrays)) / 1e6


def _figures(shard: Shard, bound: float) -> dict[str, float]:
    stats, held = shard.stats(), memory()
    return {
        "resident MB": held["RssAnon"] / 1e6,
        "of tables at most MB": bound,
        "in files MB": held["RssFile"] / 1e6,
        "open views": stats.open_views,
        "entities": sum(stats.entities.values()),
    }


def main() -> None:
    """Measure and print; JSON and picture beside."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.ever_new", description=__doc__)
    parser.add_argument("--events", type=count, default=50_000_000)
    parser.add_argument("--points", type=count, default=20, help="readings on the way")
    parser.add_argument("--publish", action="store_true", help="write JSON and picture to docs/benchmarks, too")
    given = parser.parse_args()
    log("compiling or loading kernels")
    warm_up()
    curve = Curve(
        "ever-new",
        "events, each with new ids",
        f"python -m tests.benchmarks.ever_new --events {given.events} --points {given.points}",
        describe(),
        busy_cores_before=[busy_cores()],
    )
    settings = Settings.model_validate({"labels": {"window_s": WINDOW_S}})
    for point in points(settings, given.events, given.points):
        curve.points.append(point)
        log(f"{point.value:,.0f} events: " + ", ".join(f"{name} {each:,.1f}" for name, each in point.figures.items()))
    print(f"\n{curve}")
    for folder in {BENCH, DOCS} if given.publish else {BENCH}:
        result = folder / "curve-ever-new.json"
        curve.write(result)
        draw(curve.as_dict(), result.with_suffix(".svg"))


if __name__ == "__main__":
    main()
