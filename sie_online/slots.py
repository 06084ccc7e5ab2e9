"""Bounded tables of entities: set-associative, the longest untouched one makes room.

A key hashes to a set of ``WAYS`` neighbouring slots and lives in one of them for as long as it is touched more
recently than its set's others. So look-ups cost at most ``WAYS`` comparisons, memory never grows, nothing is ever
rehashed, and what is evicted depends on the order of events alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.jit import kernel

WAYS = 16
"""Slots per set: at 70 % fill a set of 16 overflows for about one key in 60; 128 B of keys are two cache lines."""


class SlotTable(NamedTuple):
    """``n`` slots (a power of two). ``raw`` is ``rows`` seen as bytes, for clearing a slot."""

    keys: NDArray[np.uint64]
    touched: NDArray[np.int64]
    rows: NDArray[np.void]
    raw: NDArray[np.uint8]


def new_table(slots: int, dtype: np.dtype[Any]) -> SlotTable:
    """An empty table of at least ``slots`` slots of ``dtype``; its memory is claimed only as slots are used."""
    n = max(WAYS, 1 << (slots - 1).bit_length())
    rows = np.zeros(n, dtype)
    return SlotTable(
        np.zeros(n, np.uint64), np.zeros(n, np.int64), rows, rows.view(np.uint8).reshape(n, dtype.itemsize)
    )


@kernel
def slot_of(table: Any, key: Any, ordinal: int) -> int:
    """Slot of ``key``, a fresh all-zero one if it was not there.

    Args:
        table: a ``SlotTable``.
        key: uint64, not 0.
        ordinal: number of the event in the shard, from 1: what "recently" means for eviction.
    """
    keys, touched = table.keys, table.touched
    first = np.int64(key & np.uint64(keys.shape[0] - 1)) & ~np.int64(WAYS - 1)
    oldest = int(first)
    for slot in range(first, first + WAYS):
        if keys[slot] == key:
            touched[slot] = ordinal
            return int(slot)
        if touched[slot] < touched[oldest]:
            oldest = slot
    keys[oldest] = key
    touched[oldest] = ordinal
    table.raw[oldest, :] = 0
    return oldest
