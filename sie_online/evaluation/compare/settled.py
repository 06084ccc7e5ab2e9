"""Settled samples as columns, in order of settlement: what is learned from, and what is scored."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.contracts import RAW_FACTORS
from sie_online.errors import UsageError
from sie_online.ingest.records import RecordBatch

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]

HELD_OUT = 0.3
"""Last share of the samples, by event time, that is scored."""
FEWEST_LEARNED = 100
OFFSET_BITS = 44  # a partition's number goes above them
KEPT = ("partition", "offset", "event_time_ms", "settled_ms", "label", "weight", "noise_probability")
IDS = ("user", "item", "category")
FACTORS = tuple(f"f_{name}" for name in RAW_FACTORS)


@dataclass(frozen=True, slots=True)
class Settled:
    """n samples. ``event_time_ms`` is when the event was, ``settled_ms`` when label and weight became known."""

    partition: NDArray[np.int32]
    offset: Ints
    event_time_ms: Ints
    settled_ms: Ints
    label: NDArray[np.int8]
    weight: Floats
    noise_probability: Floats
    user: Ints  # dense codes, like item and category
    item: Ints
    category: Ints  # 0: none, where there is a sample without
    features: NDArray[np.uint32]  # (n, F), one-hot, dense codes above 0; 0: absent
    factors: Floats  # (n, len(RAW_FACTORS)): logs

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[Any]) -> Self:
        """Those ``rows`` (indices or a mask)."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))


class Collector:
    """Takes samples as they settle (`sie_online.evaluation.run.Listener`), and has them in that order in the end."""

    def __init__(self) -> None:
        self._parts: list[pa.RecordBatch] = []

    def heard(self, batch: RecordBatch) -> None:
        """Records are of no interest."""

    def settled(self, samples: pa.RecordBatch) -> None:
        """Take columns of ``sie.samples.v1``."""
        self._parts.append(samples.select([*KEPT, *(f"{name}_hash" for name in IDS), "features", *FACTORS]))

    def samples(self) -> Settled:
        """All of them; where several settled at once, by partition and offset.

        Raises:
            UsageError: there is none.
        """
        if not self._parts:
            raise UsageError("there are no settled samples: the log must be longer than its attribution window")
        table = pa.Table.from_batches(self._parts)
        self._parts = []
        order = np.lexsort([table[name].to_numpy() for name in ("offset", "partition", "settled_ms")])
        columns: dict[str, NDArray[Any]] = {name: table[name].to_numpy()[order] for name in KEPT}
        for name in IDS:
            codes = np.unique(table[f"{name}_hash"].to_numpy(), return_inverse=True)[1]
            columns[name] = codes[order].astype(np.int64)
        features = _dense(_matrix(table["features"])[order])
        factors = np.stack([table[name].to_numpy() for name in FACTORS], axis=1)[order]
        return Settled(**columns, features=features, factors=factors)


def places(partition: NDArray[Any], offset: Ints) -> Ints:
    """A number for each place in the log, in order of partition and offset, (n,)."""
    return (partition.astype(np.int64) << OFFSET_BITS) + offset


def split(samples: Settled) -> tuple[Ints, Ints]:
    """Rows of what had settled when the held-out part begins, in order of settlement, and of that part, of events.

    A label is never known before the stream knew it.

    Raises:
        UsageError: too few samples had settled by then, or a part has one class only.
    """
    cut = np.quantile(samples.event_time_ms, 1.0 - HELD_OUT)
    learned = np.flatnonzero(samples.settled_ms <= cut)
    scored = np.flatnonzero(samples.event_time_ms > cut)
    scored = scored[np.argsort(samples.event_time_ms[scored], kind="stable")]
    if len(learned) < FEWEST_LEARNED:
        raise UsageError(
            f"only {len(learned)} of {len(samples)} samples had settled when the held-out part begins (the last "
            f"{HELD_OUT:.0%}): a comparison needs a log longer than its attribution window, labels.window_s"
        )
    for rows, name in ((learned, "learned"), (scored, "held-out")):
        if not 0 < samples.label[rows].sum() < len(rows):
            raise UsageError(f"all {len(rows)} {name} samples have the same label: there is nothing to compare")
    return learned, scored


def _matrix(column: pa.ChunkedArray) -> NDArray[np.uint32]:
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(flat).reshape(len(column), column.type.list_size)


def _dense(features: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The same with the indices that occur numbered from 1 on: a model has no more coefficients than that."""
    occurs = np.zeros(int(features.max(initial=0)) + 1, np.bool_)
    occurs[features] = True
    occurs[0] = False
    return np.where(features != 0, np.cumsum(occurs, dtype=np.uint32)[features], np.uint32(0))
