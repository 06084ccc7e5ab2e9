"""From a message to rows: Arrow batches in the contract's columns, typed rows, and statements for the memory.

Messages of older workers lack the columns that were added later (they come as nulls); columns of newer workers, which
this code does not know yet, are handed through at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online import contracts
from sie_online.client.revisions import STATEMENT, Statements, pack_key
from sie_online.errors import MessageError


class WeightRow(NamedTuple):
    """One statement about one event: the columns of ``contracts.WEIGHTS``, its ``f_`` columns as ``factors``."""

    event_id: str
    event_type: str
    partition: int
    offset: int
    revision: int
    final: bool
    generation: int
    model_version: str
    event_time_ms: int
    published_ms: int
    user_id: str
    item_id: str
    label: int | None
    probability: float
    error: float | None
    feature_score: float
    noise_probability: float
    weight: float
    uncertainty: float
    factors: Mapping[str, float]
    """Additive parts of ``log(weight)`` by name, without the prefix ``f_``."""


_IDENTITY = ("partition", "offset", "revision", "generation")
_ROW_COLUMNS = WeightRow._fields[:-1]
_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing spreads every bit
_NULL_LABEL = -1


class Source(NamedTuple):
    """Where a message came from; errors name it."""

    topic: str
    partition: int
    offset: int


def read_batch(message: bytes | None, source: Source, schema: pa.Schema | None = None) -> pa.RecordBatch:
    """The rows of one message; with ``schema``, its columns in its types come first and unknown ones last.

    Raises:
        MessageError: the message is no Arrow IPC stream, or not one of these rows.
    """
    place = f"{source.topic}, partition {source.partition}, offset {source.offset}"
    if not message:
        raise MessageError(f"{place}: the message is empty, not an Arrow IPC stream: is this the right topic?")
    try:
        table = contracts.from_message(message).combine_chunks()
        table.validate()
        _check_identity(table)
        table = table if schema is None else _conform(table, schema)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise MessageError(
            f"{place}: the message is no Arrow IPC stream of our rows ({reason}): is this the right topic?"
        ) from None
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def _check_identity(table: pa.Table) -> None:
    for name in _IDENTITY:
        if name not in table.column_names:
            raise ValueError(f"column {name!r} is missing")
        if not pa.types.is_integer(table[name].type) or table[name].null_count:
            raise ValueError(f"column {name!r} must hold an integer in every row")


def _conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    names = set(table.column_names)
    columns = [
        table[field.name].cast(field.type) if field.name in names else pa.nulls(len(table), field.type)
        for field in schema
    ]
    fields: list[Any] = [field if field.name in names else field.with_nullable(True) for field in schema]
    for field in table.schema:
        if field.name not in schema.names:
            fields.append(field)
            columns.append(table[field.name])
    return pa.table(columns, schema=pa.schema(fields).with_metadata(table.schema.metadata))


def weight_rows(batch: pa.RecordBatch) -> Iterator[WeightRow]:
    """``batch`` as typed rows; a factor that was not known yet when a row was written is left out."""
    names = [name for name in batch.schema.names if name.startswith("f_")]
    factors = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    keys = [name.removeprefix("f_") for name in names]
    plain = (batch.column(name).to_pylist() for name in _ROW_COLUMNS)
    for *values, parts in zip(*plain, factors, strict=True):
        known = {key: part for key, part in zip(keys, parts, strict=True) if part is not None}
        yield WeightRow._make([*values, known])


def statements(batch: pa.RecordBatch) -> Statements:
    """``batch`` as the memory sees it; a batch without the column ``final`` (samples) consists of final rows."""
    rows = np.zeros(len(batch), STATEMENT)
    rows["key"] = pack_key(_integers(batch, "partition"), _integers(batch, "offset"))
    rows["generation"] = _integers(batch, "generation")
    rows["revision"] = _integers(batch, "revision")
    rows["final"] = batch.column("final").to_numpy(zero_copy_only=False) if "final" in batch.schema.names else True
    rows["digest"] = digests(batch)
    return rows


def digests(batch: pa.RecordBatch) -> NDArray[np.uint64]:
    """64 bits per row that stand for every number and the model version, but not for the generation.

    Two statements of one event and revision with equal digests say the same: ids and event type are the event's own,
    and hashed features cannot change without the scores.
    """
    mixed = np.zeros(len(batch), np.uint64)
    for field in batch.schema:
        if field.name not in _IDENTITY and (words := _words(batch.column(field.name))) is not None:
            mixed = (mixed ^ words) * _PRIME
            mixed ^= mixed >> np.uint64(29)
    return mixed


def _words(column: Any) -> NDArray[np.uint64] | None:
    """A number per row for columns of numbers, bools and dictionaries; None for others."""
    kind = column.type
    compute: Any = pc  # the stubs lag behind
    if pa.types.is_floating(kind):
        return np.asarray(compute.fill_null(column, np.nan).cast(pa.float64()), np.float64).view(np.uint64)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        numbers = column.cast(pa.uint64() if pa.types.is_unsigned_integer(kind) else pa.int64())
        return np.asarray(compute.fill_null(numbers, _fill(kind))).astype(np.uint64)
    if pa.types.is_dictionary(kind):
        texts = [str(value).encode() for value in column.dictionary.to_pylist()]
        words = np.array([_text_digest(text) for text in [*texts, b""]], np.uint64)
        return words[np.asarray(compute.fill_null(column.indices.cast(pa.int64()), len(texts)), np.intp)]
    return None


def _fill(kind: pa.DataType) -> int:
    return 0 if pa.types.is_unsigned_integer(kind) else _NULL_LABEL


def _text_digest(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _integers(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    values: NDArray[np.int64] = batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
    return values
