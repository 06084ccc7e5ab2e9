"""Slot tables: bounded, and the least recently touched of a set makes room."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st
from numpy.typing import NDArray

from sie_online.slots import BASE_FIELDS, WAYS, forget, likely_slot, new_table, reindex, slot_of, was_slot_of

RECORD = np.dtype([*BASE_FIELDS, ("n", "i8")])


class ReferenceSlots:
    """What the table should do, with Python's own lists: all sets from the start, keys in the order of their slots."""

    def __init__(self, sets: int) -> None:
        self.sets: list[list[Way]] = [[] for _ in range(sets)]

    def touch(self, key: int, ordinal: int) -> bool:
        """Whether the key was there."""
        members = self.sets[(key // WAYS) % len(self.sets)]
        for way in members:
            if way.key == key:
                way.touched = ordinal
                return True
        if len(members) < WAYS:
            members.append(Way(key, ordinal))
        else:
            oldest = min(members, key=lambda way: way.touched)
            oldest.key, oldest.touched = key, ordinal
        return False

    def forget(self, key: int) -> None:
        for way in self.sets[(key // WAYS) % len(self.sets)]:
            if way.key == key:
                way.key, way.touched = None, 1

    def keys(self) -> set[int]:
        return {way.key for members in self.sets for way in members if way.key is not None}


@dataclass
class Way:
    """A key, None once it was forgotten, and when it was touched."""

    key: int | None
    touched: int


@pytest.mark.parametrize("sets", [4, 64])
@given(st.randoms(use_true_random=False), st.integers(1, 900), st.integers(0, 900), st.sampled_from([1, 16, 48]))
@checks(max_examples=40, deadline=None)
def test_a_table_that_grows_remembers_what_an_lru_cache_per_set_would(
    sets: int, random: Random, n: int, restored_at: int, stride: int
) -> None:
    """``stride``: keys far apart are of few sets, which overflow long before the table is full."""
    table, model = new_table(sets * WAYS, RECORD), ReferenceSlots(sets)
    counts, slots = dict[int, int](), dict[int, int]()
    for ordinal in range(1, n + 1):
        key = (1 << 40) + stride * random.randrange(1, 40 + ordinal)
        known = model.touch(key, ordinal)
        likely, free = likely_slot(table, np.uint64(key)), int(table.used[0])
        slot = slot_of(table, np.uint64(key), ordinal)
        assert likely == (slot if known else free)
        assert was_slot_of(table, np.uint64(key), slot)
        counts[key] = counts[key] + 1 if known else 1
        assert slots.get(key, slot) == slot or not known, "a slot stays where it is while its key does"
        slots[key] = slot
        table.rows[slot]["n"] += 1
        assert (table.rows[slot]["key"], table.rows[slot]["touched"]) == (key, ordinal)
        assert table.rows[slot]["n"] == counts[key], "a slot kept its record, or a fresh one was not zero"
        if random.random() < 0.05:
            forget(table, np.uint64(key))
            model.forget(key)
            assert was_slot_of(table, np.uint64(key), slot)
        if ordinal == restored_at:
            reindex(table)
    in_use = table.rows[: table.used[0]]
    assert set(in_use["key"][in_use["n"] > 0].tolist()) == model.keys()
    assert table.used[0] == np.count_nonzero(table.rows["touched"]) == sum(map(len, model.sets))
    assert not table.rows["touched"][table.used[0] :].any(), "slots in use lie together"
    assert not table.sets[table.spread[0] :].any(), "sets that are not in use have claimed no memory"


def test_nobody_is_evicted_before_the_table_is_at_its_bound_and_it_grows_no_sooner_than_a_set_overflows() -> None:
    table, keys = new_table(1024, RECORD), random_keys(1024)
    sizes = []
    for ordinal, key in enumerate(keys, start=1):
        slot_of(table, key, ordinal)
        sizes.append(int(table.spread[0]))
        assert table.used[0] == ordinal or sizes[-1] == 64
    assert sizes[100] < sizes[400] <= sizes[-1] == 64
    assert sizes == sorted(sizes)


def random_keys(n: int) -> NDArray[np.uint64]:
    return np.random.default_rng(5).integers(1, 1 << 63, n, np.uint64)


def test_sizes_are_rounded_up_to_a_power_of_two() -> None:
    assert [new_table(n, RECORD).sets.shape[0] * WAYS for n in (1, 16, 17, 1000, 1024)] == [16, 16, 32, 1024, 1024]
