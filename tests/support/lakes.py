"""Tables of a lake in tests: a short topic with a replay in it, a sink without Kafka, and other people's readers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from sie_online.client.lakes import manifest_files
from sie_online.ingest.events import Text
from streams.lake.layout import lake_schema
from streams.lake.marks import Mark
from streams.lake.places import Place
from streams.lake.port import ALL, FINAL, About, Flush, LakeTable
from streams.lake.users import Users
from streams.lake.waiting import Limits, WaitingRows
from streams.tools.erase import Subject
from tests.support.rows import weight_batch, weight_row

FORMATS = ("delta", "parquet")
T0_MS = 1_700_000_400_000  # a whole hour, and a third of one: 22:20 UTC
MINUTE_MS = 60_000
TOPIC = "sie.weights.v1"

Row = tuple[int, int, int, int, float]
"""Partition, offset, revision, generation, weight."""


class Said(NamedTuple):
    """One message: where it lies in the topic, and its rows."""

    partition: int
    offset: int
    batch: pa.RecordBatch


def row(offset: int, *, generation: int = 1, revision: int = 0, partition: int = 0, **values: Any) -> dict[str, Any]:
    """A final row of u0 or u1; an event every ten minutes, so that a few of them are of several hours."""
    time_ms = T0_MS + offset * 10 * MINUTE_MS
    return weight_row(
        offset,
        revision,
        **{
            "generation": generation,
            "partition": partition,
            "final": True,
            "user_id": f"u{offset % 2}",
            "event_time_ms": time_ms,
            "published_ms": time_ms + revision * MINUTE_MS,
            "weight": generation + offset / 100,
        }
        | values,
    )


def message(at: int, *rows: dict[str, Any]) -> Said:
    """``rows`` as the message at offset ``at`` of their partition's log."""
    return Said(rows[0]["partition"], at, weight_batch(*rows))


def replayed_topic() -> list[Said]:
    """Two partitions. The owner of the first is killed: the next one, of generation 2, repeats some of its rows with
    other weights; and a zombie of generation 1 says more in between."""
    first = [message(0, *map(row, range(4))), message(1, *map(row, range(4, 8)))]
    second = message(2, *(row(offset, generation=2) for offset in range(2, 10)))
    zombie = message(3, row(8), row(9), row(10))
    rest = message(4, *(row(offset, generation=2) for offset in range(10, 14)))
    other = [message(at, row(3 * at, partition=1), row(3 * at + 1, partition=1)) for at in range(2)]
    return [first[0], other[0], first[1], second, zombie, other[1], rest]


def short_topic() -> list[Said]:
    """Two messages of one hour, and a replay that repeats a row of the second and goes on into the next hour."""
    return [
        message(0, row(0), row(1)),
        message(1, row(2), row(3)),
        message(2, *(row(offset, generation=2) for offset in range(3, 6))),
    ]


def expected(said: Iterable[Said], *, without: str = "") -> list[Row]:
    """What a table must hold of them: of each identity the highest generation, but for rows of the user ``without``."""
    newest: dict[tuple[int, int, int], Row] = {}
    for each in said:
        for one in each.batch.to_pylist():
            if one["user_id"] == without:
                continue
            found = tuple(one[name] for name in ("partition", "offset", "revision", "generation", "weight"))
            if found[:3] not in newest or newest[found[:3]] < found:
                newest[found[:3]] = found
    return sorted(newest.values())


def about(rows: str = FINAL, topic_id: str = "") -> About:
    """A table of weights."""
    return About(TOPIC, topic_id, rows, lake_schema("weights"))


def sink(
    table: LakeTable,
    said: Sequence[Said],
    *,
    rows: str = ALL,
    per_commit: int = 1,
    before_commit: Callable[[Flush], object] = lambda _: None,
) -> int:
    """What ``sie sink`` does with a topic that holds ``said``, a commit each ``per_commit`` messages; the commits."""
    held = table.resume(about(rows))
    waiting, commits, waited = WaitingRows("weights", rows, held.marks, Limits()), 0, 0
    for each in said:
        if each.partition in held.marks and each.offset < held.marks[each.partition].next_offset:
            continue
        waiting.add(each.partition, each.offset, each.batch, 0)
        waited += 1
        if waited % per_commit == 0 and (flush := waiting.take()):
            before_commit(flush)
            table.commit(flush)
            commits += 1
    if flush := waiting.take():
        table.commit(flush)
        commits += 1
    return commits


def flush_of(said: Iterable[Said], marks: Mapping[int, Mark], rows: str = ALL) -> Flush:
    """``said`` as one commit to a table that has come to ``marks``."""
    waiting = WaitingRows("weights", rows, marks, Limits())
    for each in said:
        waiting.add(each.partition, each.offset, each.batch, 0)
    flush = waiting.take()
    assert flush is not None
    return flush


def subject(user_id: str) -> Subject:
    """A user whose id is published as it is."""
    return Subject(user_id, user_id, Text.of([user_id.encode()]).keys().astype("<u8").tobytes())


def users(*user_ids: str, stream: str = "weights") -> Users:
    """Whose rows are to go."""
    return Users.of(stream, [subject(user_id) for user_id in user_ids])


def place(format_name: str, url: str) -> Place:
    """A lake at ``url``."""
    return Place(format_name, url)


COLUMNS = ["partition", "offset", "revision", "generation", "weight"]
SELECTED = ", ".join(f'"{name}"' for name in COLUMNS)  # partition and offset are words of SQL


def arrow_table(format_name: str, url: str) -> pa.Table:
    """The table at ``url``, of one stream, by its own reader."""
    if format_name == "delta":
        from deltalake import DeltaTable

        return DeltaTable(url).to_pyarrow_dataset().to_table()
    import pyarrow.parquet as pq

    tables = [pq.read_table(path, partitioning=None) for path in manifest_files(url)]
    return pa.concat_tables(tables, promote_options="default") if tables else lake_schema("weights").empty_table()


def by_duckdb(format_name: str, url: str) -> list[Row]:
    """Its rows, as DuckDB reads them: where that takes an extension (Delta, S3), by way of Arrow."""
    import duckdb

    if format_name == "delta" or url.startswith("s3:"):
        rows = arrow_table(format_name, url)  # noqa: F841 - DuckDB finds it by its name
        return duckdb.sql(f"SELECT {SELECTED} FROM rows ORDER BY ALL").fetchall()  # noqa: S608
    query = f"SELECT {SELECTED} FROM read_parquet($files, union_by_name=true) ORDER BY ALL"  # noqa: S608
    return duckdb.execute(query, {"files": manifest_files(url)}).fetchall()


def by_polars(format_name: str, url: str) -> list[Row]:
    """Its rows, as Polars reads them."""
    import polars

    frame = polars.scan_delta(url) if format_name == "delta" else polars.scan_parquet(manifest_files(url))
    return frame.select(COLUMNS).sort(COLUMNS).collect().rows()


def rows_of(format_name: str, url: str) -> list[Row]:
    """Its rows, sorted."""
    table = arrow_table(format_name, url).select(COLUMNS)
    return sorted(tuple(one.values()) for one in table.to_pylist())  # type: ignore[misc]


def numbers(marks: Mapping[int, Any]) -> dict[int, int]:
    """Next offsets by partition."""
    return {number: mark.next_offset for number, mark in marks.items()}
