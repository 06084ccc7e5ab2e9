"""Event files in Parquet: what the types of columns say about their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sie_online.errors import UsageError
from sie_online.ingest.sources.encoder import SourceRows
from sie_online.ingest.sources.files import EventFile
from sie_online.ingest.sources.job import CHUNK_ROWS, Job
from sie_online.ingest.sources.mapping import repeated, why_unfit
from sie_online.ingest.sources.opening import Opened, seekable
from sie_online.ingest.sources.times import Milliseconds
from sie_online.ingest.sources.values import FIELDS
from sie_online.ingest.wire import Chunk

IDS = ("event_id", "user_id", "item_id", "category_id", "session_id")
EXACT = {pa.float16(): 1 << 11, pa.float32(): 1 << 24, pa.float64(): 1 << 53}
"""Up to which integer a float tells each from the next."""
UUID_BYTES = 16


def parquet_chunks(file: EventFile, found: Opened, job: Job) -> Iterator[Chunk]:
    """The records of a Parquet file.

    Raises:
        UsageError: it is none, is cut off, a column is missing or there twice, an id is a float that no longer tells
            which integer it was, or the times are of another unit.
    """
    try:
        with seekable(file, found) as content, pq.ParquetFile(content) as parquet:
            yield from _chunks(file, parquet, job)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{file.name} is no readable Parquet file, or is cut off: {error}") from None


def _chunks(file: EventFile, parquet: Any, job: Job) -> Iterator[Chunk]:
    names: list[str] = parquet.schema_arrow.names
    shape = job.fitting(names, file)
    if shape is None:
        raise why_unfit(job.shapes, file.name, names)
    sources = {shape.source(name): name for name in FIELDS if name not in shape.constants}
    repeated(names, sources, file.name)
    encoder, total, row = job.encoder(file, shape), max(parquet.metadata.num_rows, 1), 0
    columns = [name for name in names if name in sources]
    ids = {shape.source(name) for name in IDS}
    for group in range(parquet.num_row_groups):
        for batch in parquet.iter_batches(CHUNK_ROWS, row_groups=[group], columns=columns):
            values = {}
            for name in columns:
                column = _plain(batch.column(name))
                values[name] = _ids(column, file, name, row) if name in ids else _values(column)
            lines = np.arange(row + 1, row + len(batch) + 1)
            row += len(batch)
            groups = np.full(len(batch), group)
            first, job.rows = job.rows, job.rows + len(batch)
            yield encoder.chunk(SourceRows(values, lines, {}, groups, first, row / total))


def _plain(column: Any) -> Any:
    """Without what only says how values are stored."""
    if isinstance(column, pa.ExtensionArray) and column.type.extension_name != "arrow.uuid":
        column = column.storage
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _values(column: Any) -> list[Any]:
    """Python values; times, if the column's type says that they are some, as ``Milliseconds``."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Milliseconds(column.cast(pa.timestamp("ms"), safe=False).cast(pa.int64()).to_pylist())
    if pa.types.is_decimal(kind):
        return [None if value is None else float(value) for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    return values


def _ids(column: Any, file: EventFile, name: str, row: int) -> list[Any]:
    kind = column.type
    if pa.types.is_floating(kind):
        return _integers(column, file, name, row)
    if pa.types.is_integer(kind):
        column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    if kind == pa.binary(UUID_BYTES):
        return [None if value is None else str(UUID(bytes=value)) for value in values]
    if pa.types.is_decimal(kind) or pa.types.is_temporal(kind):
        return [None if value is None else str(value) for value in values]
    return values


def _integers(column: Any, file: EventFile, name: str, row: int) -> list[Any]:
    """Ids that went through a float column, as most do that had to hold a null.

    Raises:
        UsageError: one is so large that it may have been another.
    """
    limit = EXACT[column.type]
    numbers = column.cast(pa.float64())
    numbers = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    is_finite = pc.is_finite(numbers)
    rounded = pc.and_(is_finite, pc.greater(pc.abs(numbers), float(limit)))
    if pc.any(rounded).as_py():
        at = pc.index(rounded, True).as_py()
        raise UsageError(
            f"{file.name}, row {row + at + 1}: {name} is {numbers[at].as_py():.17g}, and beyond {limit:,} a column of "
            f"type {column.type} no longer tells one integer from the next: write {name} as text or integer"
        )
    whole = pc.and_(is_finite, pc.equal(pc.floor(numbers), numbers))
    texts = pc.if_else(whole, numbers, None).cast(pa.int64()).cast(pa.string()).to_pylist()
    if whole.true_count == len(numbers):
        return list(texts)
    return [value if text is None else text for text, value in zip(texts, numbers.to_pylist(), strict=True)]
