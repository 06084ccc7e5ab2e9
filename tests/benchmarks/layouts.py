"""What the layouts of rows cost beside each other: ``python -m tests.benchmarks.layouts``.

One shard in memory on one core, in processor time: processing with its own rendering (layout 2); what layout 1 and JSON
lines take on top, unpacking included; reading them back; bytes. And what headers cost: of statements about entities,
which a kernel writes, and of events, which ``sie replay`` writes and a worker lays out. With ``--job`` then the whole
job on Apache Kafka, a worker of each layout in turns, headers and sending included.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from sie_online import content, ndjson_text, statements, unpacking
from sie_online.ingest.events import Text
from sie_online.ingest.keyed import fill_batches
from sie_online.ingest.log_batch import LogBatches, Room
from sie_online.ingest.record_columns import RecordColumns, joined
from sie_online.settings import Settings
from sie_online.shard import Shard, warm_up
from sie_online.statements import EntityState
from streams.sinks.topic import messages
from tests.benchmarks import BENCH
from tests.benchmarks.in_turns import whole_job
from tests.benchmarks.machine import busy_cores, describe, warning
from tests.benchmarks.running import prepare
from tests.benchmarks.shard import _batch as laid_out
from tests.benchmarks.shard import rows_of

RESULT = BENCH / "layouts.json"
LIMIT = Settings().kafka.max_message_bytes
BATCH = 4_000
OUTPUTS: dict[str, dict[str, Any]] = {
    "2": {},
    "1": {"output": {"version": 1}},
    "json": {"output": {"format": "json"}},
}
"""Settings by layout."""
Framed = list[list[bytes]]


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """What ``call`` gives, and its processor time in s."""
    began = time.process_time()
    return call(), time.process_time() - began


def one_shard(n_events: int) -> dict[str, Any]:
    """Costs in µs and bytes a row, by stream and layout; of processing per event."""
    rows = rows_of(n_events, Settings())
    shard = Shard(Settings(), 0)
    batches = [laid_out(rows[at : at + BATCH]) for at in range(0, len(rows), BATCH)]
    outputs, process_s = timed(lambda: [one for batch in batches for one in shard.process(batch, gather=True)])
    framed = {
        "weights": [one.framed for one in outputs],
        "samples": [one.gathered.framed for one in outputs if len(one.gathered.framed)] + [shard.gathered().framed],
    }
    found: dict[str, Any] = {"process_us_per_event": process_s / len(rows) * 1e6}
    for stream, each in framed.items():
        found[stream] = _stream(each)
    return found


def _stream(framed: Sequence[unpacking.FramedRows]) -> dict[str, Any]:
    n = sum(map(len, framed))
    unpacked, unpack_s = timed(lambda: [one.batch for one in framed])
    said = list(content.of_metadata(unpacked[0].schema.metadata))
    frames: dict[str, Callable[[pa.RecordBatch, int], Any]] = {"1": messages, "json": ndjson_text.messages}
    made: dict[str, Framed] = {"2": [list(one.messages) for one in framed]}
    wrote_s = {"2": 0.0}
    for layout, frame in frames.items():
        made[layout], wrote_s[layout] = timed(lambda f=frame: [list(f(batch, LIMIT)) for batch in unpacked])
    costs: dict[str, Any] = {"rows": n, "unpack_us": unpack_s / n * 1e6}
    for layout, all_of in made.items():
        flat = [message for some in all_of for message in some]
        read, read_s = timed(lambda flat=flat: [unpacking.read(message, said) for message in flat])
        if sum(map(len, read)) != n:
            raise AssertionError(f"{layout}: {sum(map(len, read))} rows read of {n}")
        costs[layout] = {
            "write_us": wrote_s[layout] / n * 1e6,
            "read_us": read_s / n * 1e6,
            "bytes": sum(map(len, flat)) / n,
            "zstd_bytes": sum(len(pa.compress(message, "zstd", asbytes=True)) for message in flat) / n,
        }
    return costs


def headers_cost(n: int = 16_384, tries: int = 15) -> dict[str, Any]:
    """Bytes and least ns a record, without headers and with them."""
    keys = Text.of([b"item:%d#3" % at for at in range(n)])
    values = Text.of(
        [statements.encode("item", b"", 3, EntityState(at, 3.5, 0.25, 2.5, 3, 7 * at, "builtin"))[1] for at in range(n)]
    )

    def least(call: Callable[[], Any]) -> float:
        return min(timed(call)[1] for _ in range(tries)) / n * 1e9

    found: dict[str, Any] = {}
    for name, of_entity, of_event in (
        ("without", (), ()),
        ("with", content.ENTITIES.headers, content.EVENTS.headers),
    ):
        filled = list(fill_batches(keys, values, 8, LIMIT, of_entity))
        log_bytes = _batch_of(n, list(of_event))
        found[name] = {
            "entity_bytes": sum(len(one.records) for one in filled) / n,
            "entity_zstd_bytes": sum(len(pa.compress(one.records, "zstd", asbytes=True)) for one in filled) / n,
            "entity_ns": least(lambda h=of_entity: list(fill_batches(keys, values, 8, LIMIT, h))),
            "event_bytes": len(log_bytes) / n,
            "event_write_ns": least(lambda h=of_event: _batch_of(n, list(h))),
            "event_layout_ns": least(lambda data=log_bytes: joined(_taken(data, n))),
        }
    return found


def _batch_of(n: int, headers: list[content.Header]) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 26)
    value = b'{"event_id":"e12345","user_id":"u123","item_id":"i123","event_type":"view","timestamp_ms":1700000000000}'
    for at in range(n):
        builder.append(at, 1_700_000_000_000, b"u123", value, headers)
    return bytes(builder.build())


def _taken(data: bytes, n: int) -> list[RecordColumns]:
    batches, found = LogBatches(data, 0, len(data), n, 0), []
    while batches.has_more:
        found.append(batches.take(Room(BATCH, 1 << 30)))
    return found


def main() -> None:
    """Measure and print; JSON beside."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.layouts", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--job", action="store_true", help="the whole job on Apache Kafka, too")
    parser.add_argument("--rounds", type=int, default=2, help="of the whole job (default: %(default)s)")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args()
    prepare()
    warm_up()
    ndjson_text.warm_up()
    busy = busy_cores()
    result = {"machine": describe(), "busy_cores_before": busy, "note": warning(busy), "headers": headers_cost()}
    result["shard"] = one_shard(given.events)
    print(json.dumps(result, indent=2), flush=True)
    if given.job:
        result["job"] = whole_job(OUTPUTS, given.events, given.rounds, given.partitions)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
