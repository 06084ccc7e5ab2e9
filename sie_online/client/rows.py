"""From a message to rows: Arrow batches in the contract's columns, typed rows, and statements for the memory.

Anybody may have written a message: what is handed on has been validated (``sie_online.ipc``), is in the contract's
types and finite. Messages of older workers lack what was added later (it comes as nulls); columns of
newer workers, which this code does not know yet, are handed through at the end.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online import contracts, ipc, ndjson, unpacking
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


LARGEST = sys.float_info.max
LARGEST_LOG = 700.0
"""Of the parts of log weight; e to the power of it is a number still."""

_IDENTITY = ("partition", "offset", "revision", "generation")
_ROW_COLUMNS = WeightRow._fields[:-1]
_FACTOR = "f_"
_PRIME = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: Fibonacci hashing spreads every bit
_NULL = -1


SAMPLES = contracts.samples_schema("", 0, 0, "")
"""Columns of the samples; ``features`` and ``dense`` are as long as the message says."""


class Place(Protocol):
    """Where a message lies: what a consumer's record has, or a ``Source``."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...


class Source(NamedTuple):
    """Where a message came from; errors name it."""

    topic: str
    partition: int
    offset: int


def place(message: Place) -> str:
    """``message`` by topic, partition and offset, as errors name it."""
    return f"{message.topic}, partition {message.partition}, offset {message.offset}"


def read_batch(message: bytes | None, source: Place, schema: pa.Schema, headers: ndjson.Headers = ()) -> pa.RecordBatch:
    """The rows of one message, whoever wrote it: the columns of ``schema`` first and unknown ones last.

    ``schema`` is ``contracts.WEIGHTS`` or ``SAMPLES``. What is missing from the factors on comes as nulls. ``headers``
    are the message's: where it is one of JSON lines, they have what is otherwise in the schema's metadata.

    Raises:
        MessageError: it is no message of these rows, cannot be read safely, or a number of it is not finite.
    """
    if not message:
        raise MessageError(f"{place(source)}: the message is empty, not an Arrow IPC stream: is this the right topic?")
    kind = "JSON lines" if ndjson.is_ndjson(message) else "Arrow IPC stream"
    try:
        batch = _conform(unpacking.read(message, headers), schema)
        _check_values(batch)
    except ValueError as error:
        why = ipc.in_short(error)
        raise MessageError(
            f"{place(source)}: the message is no {kind} of our rows ({why}): is this the right topic?"
        ) from None
    return batch


def _conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    found = batch.schema
    fields: list[Any] = []
    columns: list[Any] = []
    added_later = False  # columns are only ever added at the end, and the factors were the first
    for field in schema:
        added_later |= field.name.startswith(_FACTOR)
        at = found.get_field_index(field.name)
        if at >= 0:
            _require_type(found.field(at).type, field)
            fields.append(field.with_type(found.field(at).type))
            columns.append(batch.column(at))
        elif added_later:
            fields.append(field.with_nullable(True))
            columns.append(pa.nulls(len(batch), field.type))
        else:
            raise ValueError(f"column {field.name!r} is missing")
    for at, field in enumerate(found):
        if schema.get_field_index(field.name) < 0:
            if field.name.startswith(_FACTOR):
                _require_type(field.type, field.with_type(pa.float64()))
            fields.append(field)
            columns.append(batch.column(at))
    return pa.record_batch(columns, schema=pa.schema(fields, metadata=found.metadata))


def _require_type(kind: Any, field: Any) -> None:
    """Lists of a fixed size may have any: how many features there are is no part of the contract."""
    lists = pa.types.is_fixed_size_list(kind) and pa.types.is_fixed_size_list(field.type)
    if not (kind.value_type == field.type.value_type if lists else kind == field.type):
        raise ValueError(f"column {field.name!r} is {kind}, not {field.type}")


def _check_values(batch: pa.RecordBatch) -> None:
    """Nulls where there may be some, and numbers within bounds: others would be multiplied into somebody's loss."""
    for at, field in enumerate(batch.schema):
        column = batch.column(at)
        if column.null_count:
            if not field.nullable:
                raise ValueError(f"column {field.name!r} has nulls")
            column = column.drop_null()
        if pa.types.is_fixed_size_list(field.type):
            column = column.flatten()
        if pa.types.is_floating(column.type) and len(column):
            values = column.to_numpy(zero_copy_only=False)
            most = LARGEST_LOG if field.name.startswith(_FACTOR) else LARGEST
            if not (float(values.min()) >= -most and float(values.max()) <= most):  # not true of NaN either
                raise ValueError(f"column {field.name!r} has values that are not finite or too large")


def weight_rows(batch: pa.RecordBatch) -> Iterator[WeightRow]:
    """``batch`` as typed rows; a factor that was not known yet when a row was written is left out."""
    names = [name for name in batch.schema.names if name.startswith(_FACTOR)]
    factors = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    keys = [name.removeprefix(_FACTOR) for name in names]
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
        return np.asarray(column.to_numpy(zero_copy_only=False), np.float64).view(np.uint64)  # a null is NaN
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        numbers = column
        if column.null_count:
            numbers = compute.fill_null(column.cast(pa.int64(), safe=False), _NULL)  # the same 64 bits
        return np.asarray(numbers.to_numpy(zero_copy_only=False)).astype(np.uint64)
    if pa.types.is_dictionary(kind):
        texts = [str(value).encode() for value in column.dictionary.to_pylist()]
        words = np.array([_text_digest(text) for text in [*texts, b""]], np.uint64)
        indices = column.indices
        if column.null_count:
            indices = compute.fill_null(indices.cast(pa.int64()), len(texts))
        picked: NDArray[np.uint64] = words[indices.to_numpy(zero_copy_only=False)]
        return picked
    return None


def _text_digest(text: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _integers(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    values: NDArray[np.int64] = batch.column(name).to_numpy(zero_copy_only=False).astype(np.int64)
    return values
