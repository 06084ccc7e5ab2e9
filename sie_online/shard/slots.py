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


KEY, TOUCHED, SLOT = range(3)
"""Rows of a set: the key of each way (0: free), the ordinal of its last touch, and its slot."""

BASE_FIELDS: list[tuple[Any, ...]] = [("key", "u8"), ("touched", "i8")]
"""What every record must have: whose it is and when it was last touched (0: nobody's)."""


class SlotTable(NamedTuple):
    """``rows`` has a record per slot, and at the end one that stays zero. Slots are handed out in order, so that the
    records in use lie together; ``used`` (1,) says how many. ``sets`` (n, 3, WAYS) finds them: it is derived.
    """

    sets: NDArray[np.int64]
    rows: NDArray[np.void]
    used: NDArray[np.int64]


def new_table(slots: int, dtype: np.dtype[Any]) -> SlotTable:
    """An empty table of at least ``slots`` slots of ``dtype`` (with `BASE_FIELDS`); slots claim memory when used."""
    n = max(WAYS, 1 << (slots - 1).bit_length())
    return SlotTable(np.zeros((n // WAYS, 3, WAYS), np.int64), np.zeros(n + 1, dtype), np.zeros(1, np.int64))


@kernel
def _set_of(table: Any, key: Any) -> int:
    return int((key // np.uint64(WAYS)) & np.uint64(table.sets.shape[0] - 1))


@kernel
def slot_of(table: Any, key: Any, ordinal: int) -> int:
    """Slot of ``key``, with a fresh record (zero but for `BASE_FIELDS`) if it was not there.

    Args:
        table: a ``SlotTable``.
        key: uint64, not 0.
        ordinal: number of the event in the shard, from 1: what "recently" means for eviction.
    """
    ways = table.sets[_set_of(table, key)]
    for way in range(WAYS):
        if np.uint64(ways[KEY, way]) == key:
            slot = ways[SLOT, way]
            ways[TOUCHED, way] = ordinal
            table.rows[slot].touched = ordinal
            return int(slot)
    oldest = 0
    for way in range(1, WAYS):
        if ways[TOUCHED, way] < ways[TOUCHED, oldest]:
            oldest = way
    if ways[TOUCHED, oldest] == 0:
        slot = table.used[0]
        table.used[0] += 1
    else:
        slot = ways[SLOT, oldest]
        table.rows[slot] = table.rows[table.rows.shape[0] - 1]
    table.rows[slot].key, table.rows[slot].touched = key, ordinal
    ways[KEY, oldest], ways[TOUCHED, oldest], ways[SLOT, oldest] = np.int64(key), ordinal, slot
    return int(slot)


@kernel
def was_slot_of(table: Any, key: Any, slot: int) -> bool:
    """Whether ``slot`` may be, or may once have been, the one of ``key``: a slot never leaves its set."""
    ways = table.sets[_set_of(table, key)]
    found = False
    for way in range(WAYS):
        found |= ways[SLOT, way] == slot and ways[TOUCHED, way] != 0
    return found


@kernel
def forget(table: Any, key: Any) -> None:
    """Empty the record of ``key``, if there is one; its slot is the next of its set to make room.

    The slot stays in use, as nobody's: others may refer to their slots by number, and slots in use lie together.
    """
    index = _set_of(table, key)
    ways = table.sets[index]
    nobody = np.uint64(index) * np.uint64(WAYS)  # says no more than which set it is, and `reindex` needs that
    for way in range(WAYS):
        if np.uint64(ways[KEY, way]) == key and ways[TOUCHED, way] != 0:
            slot = ways[SLOT, way]
            table.rows[slot] = table.rows[table.rows.shape[0] - 1]
            table.rows[slot].key, table.rows[slot].touched = nobody, 1
            ways[KEY, way], ways[TOUCHED, way] = np.int64(nobody), 1


@kernel
def reindex(table: Any) -> None:
    """Derive ``sets`` and ``used`` from ``rows``."""
    table.sets[:] = 0
    slot = 0
    while slot < table.rows.shape[0] and table.rows[slot].touched != 0:
        row = table.rows[slot]
        ways, way = table.sets[_set_of(table, row.key)], 0
        while ways[TOUCHED, way] != 0:
            way += 1
        ways[KEY, way], ways[TOUCHED, way], ways[SLOT, way] = np.int64(row.key), row.touched, slot
        slot += 1
    table.used[0] = slot
