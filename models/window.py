"""The replay window: which settled samples a fine-tune sees, bounded by time and number.

What it holds depends on the set of samples it was given, and on nothing else: not on their order, on how they were
cut into tables, or on repeats. It is the newest ``max_samples`` within ``max_age_ms`` of the newest event, each
(partition, offset) once; and of the positives that are older, the ``max_older_positives`` with the smallest hash: a
reservoir that every one of them had the same chance to enter.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.samples import SampleColumns, chronological, joined, placed_ms

_MIX = tuple(np.uint64(constant) for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Constants of splitmix64 (Steele et al. 2014)."""

MERGE_AT = 0.25
"""Tables wait until they are this share of the window: then bounds are applied once for all of them."""


class Window:
    """Bounded columns of samples; memory for at most 1.25 times the bounds, and one table more.

    Args:
        max_samples: newest samples kept.
        max_age_ms: how much older than the newest event they may be, event time.
        max_older_positives: positives kept from before.
        seed: of the reservoir.
    """

    def __init__(self, *, max_samples: int, max_age_ms: int, max_older_positives: int = 0, seed: int = 0) -> None:
        if max_samples < 1 or max_age_ms < 1 or max_older_positives < 0:
            raise ValueError("a window needs max_samples >= 1, max_age_ms >= 1 and max_older_positives >= 0")
        self._max_samples = max_samples
        self._max_age_ms = max_age_ms
        self._max_older = max_older_positives
        self._seed = seed
        self._kept: SampleColumns | None = None
        self._waiting: list[SampleColumns] = []
        self._n_waiting = 0

    def add(self, samples: SampleColumns) -> None:
        """Take in more; what exceeds the bounds is forgotten.

        Raises:
            SampleError: their features differ in number from those there are.
        """
        if not len(samples):
            return
        self._waiting.append(samples)
        self._n_waiting += len(samples)
        if self._n_waiting >= MERGE_AT * self._max_samples:
            self._merge()

    def samples(self) -> SampleColumns | None:
        """What the window holds, chronological; None while nothing was added. ``older`` marks the reservoir."""
        self._merge()
        return self._kept

    def __len__(self) -> int:
        self._merge()
        return len(self._kept) if self._kept is not None else 0

    def _merge(self) -> None:
        if not self._waiting:
            return
        parts = ([self._kept] if self._kept is not None else []) + self._waiting
        try:
            together = joined(parts)
        finally:
            self._waiting, self._n_waiting = [], 0
        unique = together.take(_first_of_each(together.partition, together.offset))
        self._kept = self._bounded(unique.take(chronological(unique)))

    def _bounded(self, samples: SampleColumns) -> SampleColumns:
        """``samples`` (chronological, unique) within the bounds."""
        times_ms = placed_ms(samples)
        first = int(np.searchsorted(times_ms, times_ms[-1] - self._max_age_ms))
        first = max(first, len(samples) - self._max_samples)
        late = np.arange(first, len(samples))
        before = np.flatnonzero(samples.label[:first] == 1)
        draw = _hashed(samples.partition[before], samples.offset[before], self._seed)
        older = np.sort(before[np.argsort(draw, kind="stable")[: self._max_older]])
        kept = samples.take(np.concatenate([older, late]))
        kept.older[:] = np.arange(len(kept)) < len(older)
        return kept


def _first_of_each(partition: NDArray[np.int32], offset: NDArray[np.int64]) -> NDArray[np.int64]:
    """Indices of the first sample of every identity."""
    order = np.lexsort((offset, partition))  # stable: the first stays first
    p, o = partition[order], offset[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (p[1:] != p[:-1]) | (o[1:] != o[:-1])
    return np.sort(order[new])


def _hashed(partition: NDArray[np.int32], offset: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """A number per identity that looks random (splitmix64), the same wherever and whenever it is asked for."""
    with np.errstate(over="ignore"):
        z = offset.astype(np.uint64) + (partition.astype(np.uint64) << np.uint64(48))
        for salt in (np.uint64(seed), _MIX[0]):
            z = z + salt + _MIX[0]
            z = (z ^ (z >> np.uint64(30))) * _MIX[1]
            z = (z ^ (z >> np.uint64(27))) * _MIX[2]
            z = z ^ (z >> np.uint64(31))
    return z
