"""Bounded tables of entities: set-associative, the longest untouched one makes room.

A key hashes to a set of ``WAYS`` ways and lives in one of them for as long as it is touched more recently than its
set's others. So look-ups cost at most ``WAYS`` comparisons, memory is bounded, and what is evicted depends on the order
of events alone.

A table begins with few sets and doubles their number when one overflows; only at its bound is anybody evicted. Two sets
that a doubling would tell apart lie in one until then, and it has room for both: so a table that grows remembers
exactly what one would that had all its sets from the start, and how many it has is no part of what is saved.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.jit import kernel
from sie_online.memory import unclaimed

WAYS = 16
"""Keys per set: at 70 % fill a set of 16 overflows for about one key in 60; 128 B of keys are two cache lines."""
FIRST_SETS = 8
"""Sets of a new table: a page of memory."""

KEY, TOUCHED, SLOT = range(3)
"""Rows of a set: the key of each way (0: free), the ordinal of its last touch, and its slot."""

BASE_FIELDS: list[tuple[Any, ...]] = [("key", "u8"), ("touched", "i8")]
"""What every record must have: whose it is and when it was last touched (0: nobody's)."""


class SlotTable(NamedTuple):
    """``rows`` has a record per slot, and at the end one that stays zero. Slots are handed out in order, so that the
    records in use lie together; ``used`` (1,) says how many. ``sets`` (n, 3, WAYS), of which ``spread`` (1,), a power
    of two, are in use, finds them: both are derived. In each the ways in use come first, by slot. ``changed`` marks the
    records that may have been written to since a snapshot took the marks off. ``evicted`` (1,) counts those that made
    room since the table was made or restored, and is no part of what is saved.
    """

    sets: NDArray[np.int64]
    spread: NDArray[np.int64]
    rows: NDArray[np.void]
    used: NDArray[np.int64]
    changed: NDArray[np.uint8]
    evicted: NDArray[np.int64]


def new_table(slots: int, dtype: np.dtype[Any]) -> SlotTable:
    """An empty table of at least ``slots`` slots of ``dtype`` (with `BASE_FIELDS`); slots claim memory when used."""
    n = slots_for(slots)
    return SlotTable(
        sets=unclaimed((n // WAYS, 3, WAYS), np.int64),
        spread=np.array([min(n // WAYS, FIRST_SETS)], np.int64),
        rows=unclaimed(n + 1, dtype),
        used=np.zeros(1, np.int64),
        changed=unclaimed(n + 1, np.uint8),
        evicted=np.zeros(1, np.int64),
    )


def slots_for(slots: int) -> int:
    """How many slots a table of at least ``slots`` has."""
    return max(WAYS, 1 << (slots - 1).bit_length())


def bytes_for(slots: int, sets: int, dtype: np.dtype[Any]) -> int:
    """Memory that ``slots`` records of ``dtype`` take with their marks, and ``sets`` sets in use to find them."""
    return slots * (dtype.itemsize + 1) + sets * 3 * WAYS * np.dtype(np.int64).itemsize


def bytes_in_use(table: SlotTable) -> int:
    """Memory that ``table`` takes by now."""
    return bytes_for(int(table.used[0]), int(table.spread[0]), table.rows.dtype)


@kernel
def set_of(table: Any, key: Any) -> int:
    """Index of the set in which ``key`` belongs."""
    return _set_among(key, table.spread[0])


@kernel
def _set_among(key: Any, sets: int) -> int:
    return int((key // np.uint64(WAYS)) & np.uint64(sets - 1))


@kernel
def slot_of(table: Any, key: Any, ordinal: int) -> int:
    """Slot of ``key``, with a fresh record (zero but for `BASE_FIELDS`) if it was not there; it may be written to.

    Args:
        table: a ``SlotTable``.
        key: uint64, not 0.
        ordinal: number of the event in the shard, from 1: what "recently" means for eviction.
    """
    ways = table.sets[set_of(table, key)]
    for way in range(WAYS):
        if np.uint64(ways[KEY, way]) == key:
            slot = ways[SLOT, way]
            ways[TOUCHED, way] = ordinal
            table.rows[slot].touched = ordinal
            table.changed[slot] = 1
            return int(slot)
    oldest = _make_room(table, key)
    ways = table.sets[set_of(table, key)]
    if ways[TOUCHED, oldest] == 0:
        slot = table.used[0]
        table.used[0] += 1
    else:
        slot = ways[SLOT, oldest]
        table.rows[slot] = table.rows[table.rows.shape[0] - 1]
        table.evicted[0] += 1
    table.rows[slot].key, table.rows[slot].touched = key, ordinal
    table.changed[slot] = 1
    ways[KEY, oldest], ways[TOUCHED, oldest], ways[SLOT, oldest] = np.int64(key), ordinal, slot
    return int(slot)


@kernel
def likely_slot(table: Any, key: Any) -> int:
    """Slot of ``key``, or the next free one where it has none (the record that stays zero, in a full table)."""
    ways, slot = table.sets[set_of(table, key)], table.used[0]
    for way in range(WAYS):
        slot = ways[SLOT, way] if np.uint64(ways[KEY, way]) == key else slot
    return int(slot)


@kernel
def _make_room(table: Any, key: Any) -> int:
    """The way of the set of ``key`` that is free or, in a table at its bound, the longest untouched."""
    while True:
        ways = table.sets[set_of(table, key)]
        oldest = 0
        for way in range(1, WAYS):
            if ways[TOUCHED, way] < ways[TOUCHED, oldest]:
                oldest = way
        if ways[TOUCHED, oldest] == 0 or table.spread[0] == table.sets.shape[0]:
            return oldest
        _double(table)


@kernel
def _double(table: Any) -> None:
    """Tell every set in use apart into two: by one more bit of their keys."""
    n = table.spread[0]
    for index in range(n):
        stays = moves = 0
        source = table.sets[index]
        for way in range(WAYS):
            touched = source[TOUCHED, way]
            if touched == 0:
                break
            key, slot = source[KEY, way], source[SLOT, way]
            source[TOUCHED, way] = 0
            target = table.sets[_set_among(np.uint64(key), 2 * n)]
            if _set_among(np.uint64(key), 2 * n) == index:
                to = stays
                stays += 1
            else:
                to = moves
                moves += 1
            target[KEY, to], target[TOUCHED, to], target[SLOT, to] = key, touched, slot
        for way in range(stays, stays + moves):
            source[KEY, way] = source[SLOT, way] = 0
    table.spread[0] = 2 * n


@kernel
def was_slot_of(table: Any, key: Any, slot: int) -> bool:
    """Whether ``slot`` may be, or may once have been, the one of ``key``: they stay in one set, doublings or not."""
    ways = table.sets[set_of(table, key)]
    found = False
    for way in range(WAYS):
        found |= ways[SLOT, way] == slot and ways[TOUCHED, way] != 0
    return found


@kernel
def forget(table: Any, key: Any) -> None:
    """Empty the record of ``key``, if there is one; its slot is the next of its set to make room.

    The slot stays in use, as nobody's: others may refer to their slots by number, and slots in use lie together.
    """
    ways = table.sets[set_of(table, key)]
    # says no more than which set it is, once there are all of them: `_double` and `reindex` need that
    nobody = np.uint64(_set_among(key, table.sets.shape[0])) * np.uint64(WAYS)
    for way in range(WAYS):
        if np.uint64(ways[KEY, way]) == key and ways[TOUCHED, way] != 0:
            slot = ways[SLOT, way]
            table.rows[slot] = table.rows[table.rows.shape[0] - 1]
            table.rows[slot].key, table.rows[slot].touched = nobody, 1
            table.changed[slot] = 1
            ways[KEY, way], ways[TOUCHED, way] = np.int64(nobody), 1


@kernel
def reindex(table: Any) -> None:
    """Derive ``sets``, ``spread`` and ``used`` from ``rows``."""
    for index in range(table.spread[0]):
        for way in range(WAYS):
            table.sets[index, KEY, way] = table.sets[index, TOUCHED, way] = table.sets[index, SLOT, way] = 0
    slot = 0
    while slot < table.rows.shape[0] and table.rows[slot].touched != 0:
        row = table.rows[slot]
        way = _make_room(table, row.key)
        ways = table.sets[set_of(table, row.key)]
        ways[KEY, way], ways[TOUCHED, way], ways[SLOT, way] = np.int64(row.key), row.touched, slot
        slot += 1
    table.used[0] = slot
