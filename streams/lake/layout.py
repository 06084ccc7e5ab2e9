"""The columns of the lake's tables: those of the topics, in types that every reader of Delta and Parquet has.

Text is text instead of dictionaries, which Parquet makes anyway; lists are lists of any length; of unsigned numbers,
which Delta lacks, features are 64-bit numbers, and hashes the 64-bit numbers of the same bits. ``day`` and ``hour``
are those of the event, in UTC: the table's partitions.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.client.rows import SAMPLES
from sie_online.contracts import LAST_MS, WEIGHTS
from sie_online.moments import HOUR_MS
from sie_online.tables import newest_statements

DAY, HOUR = "day", "hour"
PARTITIONED_BY = (DAY, HOUR)
IDENTITY = ("partition", "offset", "revision")
KNOWN_MS = {"weights": "published_ms", "samples": "settled_ms"}
"""The column that says when a statement became known, by stream."""

SCHEMAS: dict[str, pa.Schema] = {"weights": WEIGHTS, "samples": SAMPLES}
"""The topics' columns, by stream."""

EPOCH_DAY = datetime.date(1970, 1, 1)
_PLACES = [pa.field(DAY, pa.date32()), pa.field(HOUR, pa.int32())]


class Hour(NamedTuple):
    """One partition of a table: the hour since 1970 that its events are of."""

    number: int

    @property
    def folder(self) -> str:
        """Its folder, as Hive, Spark and DuckDB name partitions."""
        day, hour = self.place
        return f"{DAY}={day}/{HOUR}={hour}"

    @property
    def place(self) -> tuple[datetime.date, int]:
        """Its values of the partition columns."""
        return EPOCH_DAY + datetime.timedelta(days=self.number // 24), self.number % 24

    @classmethod
    def of(cls, day: datetime.date, hour: int) -> Hour:
        """The hour of a day (UTC)."""
        return cls((day - EPOCH_DAY).days * 24 + hour)

    @classmethod
    def of_path(cls, path: str) -> Hour:
        """The hour whose folder ``path``, of a file, begins with."""
        day, hour, _ = (part.rpartition("=")[2] for part in path.split("/"))
        return cls.of(datetime.date.fromisoformat(day), int(hour))


def lake_schema(stream: str) -> pa.Schema:
    """The columns of the table of ``stream`` (weights or samples) as the contract has them now."""
    return lake_batch(pa.RecordBatch.from_pylist([], schema=SCHEMAS[stream])).schema


def lake_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of a topic in the lake's columns."""
    fields, columns = [], []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        plain = _plain(column)
        fields.append(pa.field(field.name, plain.type))
        columns.append(plain)
    hours = hour_numbers(batch)
    days = pa.array((hours // 24).astype(np.int32), pa.int32()).cast(pa.date32())
    of_day = pa.array((hours % 24).astype(np.int32), pa.int32())
    return pa.record_batch([*columns, days, of_day], schema=pa.schema([*fields, *_PLACES]))


def hour_numbers(rows: pa.RecordBatch | pa.Table) -> NDArray[np.int64]:
    """The hour since 1970 of each event; a time that no calendar holds counts as the nearest that one does."""
    times = np.clip(integers(rows, "event_time_ms"), 0, LAST_MS)
    hours: NDArray[np.int64] = times // HOUR_MS
    return hours


def integers(rows: pa.RecordBatch | pa.Table, name: str) -> NDArray[np.int64]:
    """A column of whole numbers without nulls."""
    return np.asarray(rows[name].to_numpy(zero_copy_only=False), np.int64) if len(rows) else np.empty(0, np.int64)


def newest_rows(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """One table of all ``batches``, of each identity the highest generation, sorted by identity.

    Columns that only newer messages have come after those of ``schema``, before the partition columns.
    """
    table = newest_statements(batches, schema)
    return table.select([*(name for name in table.schema.names if name not in PARTITIONED_BY), *PARTITIONED_BY])


def by_hour(table: pa.Table) -> Iterator[tuple[Hour, pa.Table]]:
    """The rows of each hour, in their order."""
    hours = hour_numbers(table)
    order = np.argsort(hours, kind="stable")
    bounds = np.flatnonzero(np.diff(hours[order], prepend=-1, append=-1))
    ordered = table.take(pa.array(order))
    for first, last in pairwise(bounds):
        yield Hour(int(hours[order[first]])), ordered.slice(first, last - first)


def _plain(column: Any) -> Any:
    plain = _plain_type(column.type)
    return column.view(plain) if pa.types.is_uint64(column.type) else column.cast(plain)


def _plain_type(kind: Any) -> Any:
    if pa.types.is_dictionary(kind):
        return kind.value_type
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return pa.int64() if pa.types.is_unsigned_integer(kind) else kind
