"""From messages of weights and samples, in any layout (`sie_online.packing`, `sie_online.ndjson`), to the contract's
columns.

What is read here has been validated as Arrow (`sie_online.ipc`), and anybody may have written it. Imports numpy and
pyarrow only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online import ipc, ndjson
from sie_online.contracts import EVENT_TYPES, WEIGHTS, samples_schema, to_message
from sie_online.packing import FINAL, LABEL_UNKNOWN, LAYOUT, LEFT, N_CODES, SCORES, Head, matrix_array

_TIMES = {"weights": "published_ms", "samples": "settled_ms"}
_HASHES = ("user_hash", "item_hash", "category_hash")
_IDS = {"weights": ("event_id", "user_id", "item_id"), "samples": ("event_id",)}
_TYPE, _LABEL, _REVISION, _LENGTHS = range(4)  # columns of the codes

Columns = dict[str, Any]


def from_message(message: bytes, headers: ndjson.Headers = ()) -> pa.Table:
    """The rows of one message in any layout; raises ``ValueError`` if it cannot be read."""
    return pa.Table.from_batches([read(message, headers)])


def read(message: bytes, headers: ndjson.Headers = ()) -> pa.RecordBatch:
    """The rows of one message in any layout, which it tells by itself, in the contract's columns.

    Raises:
        ValueError: it cannot be read.
    """
    return ndjson.read(message, headers) if ndjson.is_ndjson(message) else unpack(ipc.read_batch(message))


@dataclass(frozen=True, slots=True)
class FramedRows:
    """Rows as the messages that carry them, in order; ``empty`` has their columns and no row."""

    messages: tuple[bytes, ...]
    n: int
    empty: pa.RecordBatch

    @classmethod
    def of(cls, batch: pa.RecordBatch) -> FramedRows:
        """``batch`` as one message of layout 1."""
        return cls((to_message(batch),) if len(batch) else (), len(batch), batch.slice(0, 0))

    def __len__(self) -> int:
        return self.n

    @property
    def batch(self) -> pa.RecordBatch:
        """The rows in the contract's columns, unpacked anew each time."""
        batches = [read(message) for message in self.messages]
        return batches[0] if len(batches) == 1 else pa.concat_batches(batches) if batches else self.empty


def count_rows(message: bytes) -> int:
    """Rows of a message of weights in layout 2 that this process has made: nothing about it is checked."""
    return len(_trusted(message))


def picked(message: bytes, rows: NDArray[np.int64]) -> pa.RecordBatch:
    """Some ``rows`` (k,) of such a message, in the contract's columns: as `unpack` would have them, of all."""
    batch, n = _trusted(message), len(_IDS["weights"])
    offsets, letters = _spans(batch)
    ids = np.concatenate([letters[offsets[n * row] : offsets[n * (row + 1)]] for row in rows.tolist()])
    width = -(-len(ids) // len(rows))
    padded = np.zeros((len(rows), width), np.uint8)
    padded.reshape(-1)[: len(ids)] = ids
    at = batch.schema.get_field_index("ids")
    kind = pa.list_(pa.uint8(), width)
    taken = pa.array(rows)
    columns = [
        matrix_array(padded, kind) if which == at else batch.column(which).take(taken)
        for which in range(batch.num_columns)
    ]
    return unpack(pa.record_batch(columns, schema=batch.schema.set(at, batch.schema.field(at).with_type(kind))))


def _trusted(message: bytes) -> pa.RecordBatch:
    with pa.ipc.open_stream(message) as reader:
        return reader.read_next_batch()


def _spans(batch: pa.RecordBatch) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Offsets (3 n + 1,) into the bytes after them: of each of the n rows its event's, its user's and its item's id."""
    codes = batch.column("codes").flatten().to_numpy().reshape(len(batch), N_CODES["weights"])
    lengths = codes[:, _LENGTHS:]
    offsets = np.zeros(lengths.size + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets, batch.column("ids").flatten().to_numpy()


def unpack(batch: pa.RecordBatch) -> pa.RecordBatch:
    """What a message holds, in the contract's columns; what is of layout 1 already comes back as it is.

    Columns and numbers that this code does not know come last, as they are. ``batch`` must have been validated
    (`ipc.read_batch`).

    Raises:
        ValueError: it says that it is of a layout, and is not.
    """
    metadata = dict(batch.schema.metadata or {})
    if LAYOUT not in metadata:
        return batch
    head = Head.parse(metadata.pop(LAYOUT))
    known = {"whole", "codes", "numbers", "ids"}
    codes = _matrix(batch, "codes", (pa.uint8(), pa.int32()), N_CODES[head.rows]).astype(np.int32)
    columns = _common(batch, head, codes) | _numbers(batch, head) | _ids(batch, head.rows, codes[:, _LENGTHS:])
    if head.rows == "weights":
        columns |= _of_weights(head, codes[:, _LABEL], columns["probability"])
        order = WEIGHTS
    else:
        known |= {"hashes", "features", "dense"}
        columns |= _of_samples(batch, codes[:, _LABEL], columns["probability"])
        order = samples_schema("", columns["features"].type.list_size, columns["dense"].type.list_size, "")
    fields = [field for field in order if field.name in columns]
    fields += [pa.field(name, one.type, nullable=False) for name, one in columns.items() if name not in order.names]
    arrays = [columns[field.name] for field in fields]
    for at, field in enumerate(batch.schema):
        if field.name not in known:
            fields.append(field)
            arrays.append(batch.column(at))
    found = pa.record_batch(arrays, schema=pa.schema(fields, metadata=metadata))
    ipc.check_names(found.schema)
    ipc.check_dictionaries(found)
    return found


def _common(batch: pa.RecordBatch, head: Head, codes: NDArray[np.int32]) -> Columns:
    """The columns that say the same in weights and samples; int64 wraps around, here and where it was written."""
    n, types = len(batch), codes[:, _TYPE]
    _require_between(types, len(EVENT_TYPES), "event types")
    whole = _matrix(batch, "whole", (pa.uint32(), pa.int64())).astype(np.int64)
    if whole.shape[1] not in (2, 3):
        raise ValueError(f"column 'whole' of {whole.shape[1]} numbers")
    times = whole[:, 1] + np.int64(head.time_ms)
    delays = whole[:, 2] if whole.shape[1] == 3 else np.int64(head.delay_ms)
    return {
        "event_type": pa.DictionaryArray.from_arrays(pa.array(types.astype(np.int8)), _type_names()),
        "partition": pa.array(np.full(n, head.partition, np.int32)),
        "offset": pa.array(whole[:, 0] + np.int64(head.offset)),
        "revision": pa.array(codes[:, _REVISION]),
        "generation": pa.array(np.full(n, head.generation, np.int64)),
        "event_time_ms": pa.array(times),
        _TIMES[head.rows]: pa.array(times + delays),
    }


@cache
def _type_names() -> pa.Array:
    """Made when it is first asked for: pyarrow looks for pandas as soon as it makes an array."""
    return pa.array(EVENT_TYPES, pa.string())


def _numbers(batch: pa.RecordBatch, head: Head) -> Columns:
    """Scores, weight and the parts of its logarithm."""
    matrix = _matrix(batch, "numbers", (pa.float32(),), len(head.numbers))
    with np.errstate(invalid="ignore"):  # a signalling NaN, which is refused as any NaN is
        values = matrix.T.astype(np.float64, order="C")
    numbers = dict(zip(head.numbers, values, strict=True))
    if missing := set(SCORES[head.rows]) - numbers.keys():
        raise ValueError(f"column {min(missing)!r} is missing")
    if (
        len({*head.numbers, *head.zero, LEFT}) <= len(head.numbers) + len(head.zero)
        or len(head.zero) > ipc.MOST_COLUMNS
    ):
        raise ValueError("a number twice, or too many that are 0")
    left = _log(numbers["weight"])
    for name, part in numbers.items():
        if name.startswith("f_"):
            left = left - part
    zeros = dict.fromkeys(head.zero, np.zeros(len(batch)))
    return {name: pa.array(column) for name, column in (numbers | zeros | {LEFT: left}).items()}


def _log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Natural logarithm to 1e-13, of operations that every CPU rounds alike, which numpy's own is not made of."""
    if len(values) and not (values.min() > 0.0 and values.max() < np.inf):
        raise ValueError("weights that are no positive numbers")
    mantissa, exponent = np.frexp(values)
    low = mantissa < math.sqrt(0.5)
    mantissa = np.where(low, 2.0 * mantissa, mantissa)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    square, series = ratio * ratio, np.zeros(len(values))
    for odd in range(17, 0, -2):
        series = series * square + 1.0 / odd
    return (exponent - low) * math.log(2.0) + 2.0 * ratio * series


def _of_weights(head: Head, codes: NDArray[np.int32], probability: pa.Array) -> Columns:
    labels, final = codes % FINAL, codes >= FINAL
    _require_between(codes, FINAL + LABEL_UNKNOWN + 1, "labels")
    _require_between(labels, LABEL_UNKNOWN + 1, "labels")
    unknown = labels == LABEL_UNKNOWN
    version = pa.array(np.zeros(len(codes), np.int8))
    return {
        "final": pa.array(final),
        "model_version": pa.DictionaryArray.from_arrays(version, pa.array([head.model_version])),
        "label": pa.array(labels.astype(np.int8), mask=unknown),
        "error": pa.array(labels - np.asarray(probability), mask=unknown),
    }


def _of_samples(batch: pa.RecordBatch, labels: NDArray[np.int32], probability: pa.Array) -> Columns:
    _require_between(labels, LABEL_UNKNOWN, "labels")
    hashes = _matrix(batch, "hashes", (pa.uint64(),), len(_HASHES))
    features = _matrix(batch, "features", (pa.uint16(), pa.uint32())).astype(np.uint32)
    dense = _matrix(batch, "dense", (pa.float32(),))
    return {
        "label": pa.array(labels.astype(np.int8)),
        "error": pa.array(labels - np.asarray(probability)),
        **{name: pa.array(hashes[:, at]) for at, name in enumerate(_HASHES)},
        "features": matrix_array(features, pa.list_(pa.uint32(), features.shape[1])),
        "dense": matrix_array(dense, pa.list_(pa.float32(), dense.shape[1])),
    }


def _require_between(codes: NDArray[np.int32], end: int, what: str) -> None:
    if len(codes) and not (codes.min() >= 0 and codes.max() < end):
        raise ValueError(f"{what} that there are not")


def _matrix(batch: pa.RecordBatch, name: str, kinds: Sequence[pa.DataType], width: int | None = None) -> NDArray[Any]:
    """Column ``name``, of one of the types, as a matrix (n, k)."""
    at = batch.schema.get_field_index(name)
    if at < 0:
        raise ValueError(f"column {name!r} is missing")
    column, kind = batch.column(at), batch.schema.field(at).type
    if not (pa.types.is_fixed_size_list(kind) and kind.value_type in kinds and width in (None, kind.list_size)):
        raise ValueError(f"column {name!r} is {kind}, in no layout of ours")
    flat = column.flatten()
    if column.null_count or flat.null_count:
        raise ValueError(f"column {name!r} has nulls")
    values: NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(len(batch), kind.list_size)
    return values


def _ids(batch: pa.RecordBatch, kind: str, lengths: NDArray[np.int32]) -> Columns:
    """The ids, of which row by row and one behind the other ``lengths`` (n, number of ids) says how many bytes."""
    letters = _matrix(batch, "ids", (pa.uint8(),)).reshape(-1)
    n, n_ids = lengths.shape
    total = int(lengths.sum(dtype=np.int64))
    if n and (lengths.min() < 0 or not 0 <= len(letters) - total < n):
        raise ValueError("ids that are not as long as they should be")
    whose = np.repeat(np.tile(np.arange(n_ids, dtype=np.int8), n), lengths.reshape(-1))
    columns: Columns = {}
    for which, name in enumerate(_IDS[kind]):
        ends = np.zeros(n + 1, np.int32)
        np.cumsum(lengths[:, which], out=ends[1:])
        texts = pa.py_buffer(letters[:total][whose == which])
        columns[name] = pa.StringArray.from_buffers(n, pa.py_buffer(ends), texts)
        columns[name].validate(full=True)  # it may be no UTF-8, or be cut within a character
    return columns
