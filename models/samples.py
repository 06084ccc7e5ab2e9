"""Settled samples as columns: what of ``sie.samples.v1`` training and gate use.

Owns the reading of Arrow tables (checked column by column) and the order of samples; no policy about which to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.errors import SampleError
from sie_online.contracts import EVENT_TYPES, RAW_FACTORS, SCORE_FACTORS

_PLAIN: dict[str, Any] = {
    "partition": np.int32,
    "offset": np.int64,
    "event_time_ms": np.int64,
    "settled_ms": np.int64,
    "label": np.int8,
    "probability": np.float32,
    "feature_score": np.float32,
    "noise_probability": np.float32,
    "user_hash": np.uint64,
    "item_hash": np.uint64,
    "category_hash": np.uint64,
}


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """n samples; every column has n rows.

    ``event_type`` (uint8) is the code in ``EVENT_TYPES``; ``probability`` and ``feature_score`` are revision 0's,
    ``noise_probability`` is as known at settlement;
    ``dense`` (n, D) float32 and ``features`` (n, F) uint32 as seen at the event. ``log_base`` is the sum of the raw
    factors of log weight but for the scores, ``log_scores`` those; float32. ``older`` marks positives from before the
    window. Times in ms since 1970.
    """

    partition: NDArray[np.int32]
    offset: NDArray[np.int64]
    event_time_ms: NDArray[np.int64]
    settled_ms: NDArray[np.int64]
    label: NDArray[np.int8]
    probability: NDArray[np.float32]
    feature_score: NDArray[np.float32]
    noise_probability: NDArray[np.float32]
    user_hash: NDArray[np.uint64]
    item_hash: NDArray[np.uint64]
    category_hash: NDArray[np.uint64]
    event_type: NDArray[np.uint8]
    log_base: NDArray[np.float32]
    log_scores: NDArray[np.float32]
    features: NDArray[np.uint32]
    dense: NDArray[np.float32]
    older: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, which: Any) -> SampleColumns:
        """The rows that ``which`` (indices, mask or slice) selects, in its order."""
        return SampleColumns(**{each.name: getattr(self, each.name)[which] for each in fields(self)})

    @property
    def error(self) -> NDArray[np.float32]:
        """y - p, p as stated at the event."""
        return self.label.astype(np.float32) - self.probability


def from_table(table: pa.Table) -> SampleColumns:
    """The columns of ``table`` (``contracts.samples_schema``), rows in its order.

    Raises:
        SampleError: a column is missing, has nulls or another type, or values that no sample has.
    """
    plain = {name: _column(table, name).astype(dtype, copy=False) for name, dtype in _PLAIN.items()}
    raw = [name for name in RAW_FACTORS if f"f_{name}" in table.column_names]
    scores = [name for name in raw if name in SCORE_FACTORS]
    samples = SampleColumns(
        **plain,
        event_type=_event_types(table),
        log_base=_sum(table, [name for name in raw if name not in scores]),
        log_scores=_sum(table, scores),
        features=_matrix(table, "features", np.uint32),
        dense=_matrix(table, "dense", np.float32),
        older=np.zeros(table.num_rows, np.bool_),
    )
    _check(samples)
    return samples


def joined(parts: Sequence[SampleColumns]) -> SampleColumns:
    """All rows of ``parts`` (at least one), one after the other.

    Raises:
        SampleError: their features differ in number.
    """
    for name in ("features", "dense"):
        if len({getattr(part, name).shape[1] for part in parts}) > 1:
            raise SampleError(f"column {name!r} changed its length: samples of two feature schemas cannot be mixed")
    return SampleColumns(
        **{each.name: np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(SampleColumns)}
    )


def placed_ms(samples: SampleColumns) -> NDArray[np.int64]:
    """Event times; of an event whose clock was so far ahead that it settled before its own time, when it settled."""
    return np.minimum(samples.event_time_ms, samples.settled_ms)


def chronological(samples: SampleColumns) -> NDArray[np.int64]:
    """Indices that sort by (event time, partition, offset): the one order all parts of this package use."""
    return np.lexsort((samples.offset, samples.partition, placed_ms(samples)))


class Parts(NamedTuple):
    """Row ranges of the chronological split."""

    train: slice
    validation: slice
    test: slice


def split(n: int) -> Parts:
    """6 : 2 : 2 of n rows in chronological order.

    >>> split(10)
    Parts(train=slice(0, 6, None), validation=slice(6, 8, None), test=slice(8, 10, None))
    """
    first, second = n * 6 // 10, n * 8 // 10
    return Parts(slice(0, first), slice(first, second), slice(second, n))


def feature_schema_hash(schema: pa.Schema) -> str:
    """What the metadata say about the meaning of ``features`` and ``dense``.

    Raises:
        SampleError: they say nothing.
    """
    try:
        return bytes((schema.metadata or {})[b"feature_schema_hash"]).decode()
    except KeyError:
        raise SampleError("the table's metadata lack 'feature_schema_hash': is it of sie.samples.v1?") from None


def _array(table: pa.Table, name: str) -> Any:
    if name not in table.column_names:
        raise SampleError(f"column {name!r} is missing: is the table of sie.samples.v1?")
    column = table[name]
    if column.null_count:
        raise SampleError(f"column {name!r} has {column.null_count} nulls: settled samples have none")
    return column.combine_chunks()


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    column = _array(table, name)
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise SampleError(f"column {name!r} is {column.type}, not numbers")
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _matrix(table: pa.Table, name: str, dtype: Any) -> NDArray[Any]:
    column = _array(table, name)
    if not pa.types.is_fixed_size_list(column.type):
        raise SampleError(f"column {name!r} is {column.type}, not a list of fixed size")
    values = column.flatten().to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values.reshape(len(column), column.type.list_size), dtype=dtype)


def _event_types(table: pa.Table) -> NDArray[np.uint8]:
    encoded = _array(table, "event_type")
    if not pa.types.is_dictionary(encoded.type):
        encoded = encoded.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    if unknown := sorted(set(names) - set(EVENT_TYPES)):
        raise SampleError(f"column 'event_type' has {unknown}: known are {', '.join(EVENT_TYPES)}")
    codes = np.array([EVENT_TYPES.index(name) for name in names], np.uint8)
    return codes[encoded.indices.to_numpy(zero_copy_only=False)] if len(encoded) else np.empty(0, np.uint8)


def _sum(table: pa.Table, factors: Sequence[str]) -> NDArray[np.float32]:
    total = np.zeros(table.num_rows)
    for name in factors:
        total += _column(table, f"f_{name}")
    return total.astype(np.float32)


def _check(samples: SampleColumns) -> None:
    for name in ("probability", "feature_score", "noise_probability", "log_base", "log_scores", "dense"):
        if not np.isfinite(getattr(samples, name)).all():
            raise SampleError(f"column {name!r} has values that are not finite")
    if not np.isin(samples.label, (0, 1)).all():
        raise SampleError("column 'label' has values other than 0 and 1")
    if len(samples) and not (samples.probability.min() >= 0.0 and samples.probability.max() <= 1.0):
        raise SampleError("column 'probability' leaves [0, 1]")
