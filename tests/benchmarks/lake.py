"""How fast rows come into a lake: ``python -m tests.benchmarks.lake [--events N] [--rounds R]``.

One shard weighs a generated log (the default scenario) into the messages that a worker publishes; a sink then takes
them in as it does from Kafka, without one: it reads each message, lays it out, and commits as ``sie sink`` would.
Figures are of the wall clock, since several threads compress; medians over rounds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from sie_online.client.rows import Source, read_batch
from sie_online.settings import Settings
from sie_online.shard import Shard, warm_up
from streams.lake.layout import SCHEMAS, lake_schema
from streams.lake.places import TABLES, Place
from streams.lake.port import ALL, FINAL, About
from streams.lake.waiting import Limits, WaitingRows
from tests.benchmarks import BENCH
from tests.benchmarks.machine import busy_cores, describe, warning
from tests.benchmarks.shard import _batch, rows_of

RESULT = BENCH / "lake.json"
BATCH_RECORDS = 5_000


def published(events: int, settings: Settings) -> dict[str, list[bytes]]:
    """The messages of a shard, by stream."""
    shard, rows = Shard(settings, 0), rows_of(events, settings)
    found: dict[str, list[bytes]] = {"weights": [], "samples": []}
    for start in range(0, len(rows), BATCH_RECORDS):
        for output in shard.process(_batch(rows[start : start + BATCH_RECORDS])):
            found["weights"] += output.framed.messages
            found["samples"] += output.gathered.framed.messages
    return found


def measure(format_name: str, stream: str, kept: str, messages: Sequence[bytes], limits: Limits) -> dict[str, float]:
    """Figures of one table that takes ``messages`` in."""
    with tempfile.TemporaryDirectory(prefix="sie-lake-") as folder:
        table = Place(format_name, Path(folder).as_uri()).table(stream)
        table.resume(About(f"sie.{stream}.v1", "", kept, lake_schema(stream)))
        waiting, read, written, commits_s, commits = WaitingRows(stream, kept, {}, limits), 0, 0, 0.0, 0
        begun = time.perf_counter()
        for at, message in enumerate(messages):
            batch = read_batch(message, Source(stream, 0, at), SCHEMAS[stream])
            read += len(batch)
            waiting.add(0, at, batch, 0)
            if (waiting.due_s <= 0 or at == len(messages) - 1) and (flush := waiting.take()):
                began = time.perf_counter()
                table.commit(flush)
                commits_s += time.perf_counter() - began
                commits += 1
                written += len(flush.table)
        took_s = time.perf_counter() - begun
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.parquet"))
    return {
        "rows read": read,
        "rows written": written,
        "rows read/s": read / took_s,
        "share of commits": commits_s / took_s,
        "commits": commits,
        "bytes/row": size / written,
        "bytes/row in the topic": sum(map(len, messages)) / read,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and keep the figures in ``build/bench/lake.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000, help="of the log (default: 500,000)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts (default: 3)")
    asked = parser.parse_args(arguments)
    print(json.dumps(describe()), warning(busy_cores()), sep="\n")
    warm_up()
    messages = published(asked.events, Settings())
    found: dict[str, dict[str, float]] = {}
    for format_name in TABLES:
        for stream, kept in (("weights", FINAL), ("weights", ALL), ("samples", FINAL)):
            rounds = [measure(format_name, stream, kept, messages[stream], Limits()) for _ in range(asked.rounds)]
            name = f"{format_name} {stream} {kept}"
            found[name] = {figure: median(each[figure] for each in rounds) for figure in rounds[0]}
            print(name, ", ".join(f"{figure} {value:,.2f}" for figure, value in found[name].items()), flush=True)
    document = {"machine": describe(), "events": asked.events, "rounds": asked.rounds, "tables": found}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
