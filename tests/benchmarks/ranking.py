"""What lists cost: ``python -m tests.benchmarks.ranking``. One shard with them and one without, in turn, on one core.

Processor time of the one thread that does it all, per event and per list asked for, and what the tables take. No
broker; with ``--job`` then the whole job on Apache Kafka, a worker without lists, one that learns them and one that
publishes them in turns.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

from sie_online.settings import Settings, load
from sie_online.shard import Shard, warm_up
from sie_online.shard.ranking import TABLES
from tests.benchmarks import BENCH
from tests.benchmarks.in_turns import table, whole_job
from tests.benchmarks.machine import busy_cores, describe, warning
from tests.benchmarks.running import prepare
from tests.benchmarks.shard import Row, _batch, rows_of

RESULT = BENCH / "ranking.json"
LISTS = 2_000
"""Asked for at the end."""
MODES: dict[str, dict[str, bool]] = {
    "off": {},
    "on": {"enabled": True},
    "published": {"enabled": True, "publish": True},
}
"""Settings of lists."""


def measure(rows: list[Row], settings: Settings, batch_records: int) -> tuple[Shard, float]:
    """A fresh shard that has processed ``rows``, and the seconds that took."""
    shard, seconds = Shard(settings, 0), 0.0
    for start in range(0, len(rows), batch_records):
        batch = _batch(rows[start : start + batch_records])
        began = time.thread_time()
        for _ in shard.process(batch):
            pass
        seconds += time.thread_time() - began
    return shard, seconds


def list_seconds(shard: Shard, rows: list[Row]) -> float:
    """Seconds of one list of 20, over those of the last users."""
    users = [row.key.decode() for row in rows[-LISTS:] if row.key]
    began = time.thread_time()
    for user in users:
        shard.recommend(user, 20)
    return (time.thread_time() - began) / len(users)


def main() -> None:
    """Measure and print; JSON beside."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.ranking", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4_000, help="records per batch (default: the worker's 4,000)")
    parser.add_argument("--job", action="store_true", help="the whole job on Apache Kafka, too")
    parser.add_argument("--job-events", type=int, default=1_000_000, help="of it (default: %(default)s)")
    parser.add_argument("--partitions", type=int, default=4, help="of it (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    prepare()
    settings = {name: load({"recommend": options}) for name, options in MODES.items()}
    print("Compiling or loading kernels, generating events ...", flush=True)
    warm_up(settings["on"])
    rows, busy = rows_of(given.events, settings["off"]), busy_cores()
    found: dict[str, list[float]] = {name: [] for name in MODES}
    lists: list[float] = []
    for number in range(1, given.rounds + 1):
        for name in MODES:
            shard, seconds = measure(rows, settings[name], given.batch)
            found[name].append(seconds / len(rows) * 1e6)
            if name == "on":
                lists.append(list_seconds(shard, rows) * 1e6)
                used = {table: getattr(shard._learned.ranking._known.own, table).used[0] for table in TABLES}  # type: ignore[union-attr]
                taken = shard._learned.ranking.bytes_in_use  # type: ignore[union-attr]
            shard.close()
        print(f"round {number}: " + ", ".join(f"{name} {each[-1]:.2f}" for name, each in found.items()), flush=True)
    print(f"\n{len(rows):,} records, batches of {given.batch:,}; {warning(busy) or 'machine idle'}")
    for name, each in found.items():
        print(f"{name:<10} {min(each):6.2f} µs/event at least, {median(each):6.2f} in the median")
    print(f"a list     {min(lists):6.1f} µs at least, {median(lists):6.1f} in the median")
    print(f"tables     {taken / 1e6:.1f} MB for " + ", ".join(f"{n:,} {table}" for table, n in used.items()))
    result: dict[str, Any] = {"machine": describe(), "records": len(rows), "us_per_event": found}
    result |= {"us_per_list": lists, "bytes": taken}
    if given.job:
        variants = {name: {"recommend": options} for name, options in MODES.items()}
        result["job"] = whole_job(variants, given.job_events, given.rounds, given.partitions)
        print(table(result["job"]))
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
