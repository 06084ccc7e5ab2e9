"""Slot tables: bounded, and the least recently touched of a set makes room."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sie_online.shard.slots import BASE_FIELDS, WAYS, new_table, reindex, slot_of

RECORD = np.dtype([*BASE_FIELDS, ("n", "i8")])


class ReferenceSlots:
    """What the table should do, with Python's own dictionaries."""

    def __init__(self, sets: int) -> None:
        self.sets: list[dict[int, int]] = [{} for _ in range(sets)]

    def touch(self, key: int, ordinal: int) -> bool:
        """Whether the key was there."""
        members = self.sets[(key // WAYS) % len(self.sets)]
        known = key in members
        if not known and len(members) == WAYS:
            del members[min(members, key=lambda k: members[k])]
        members[key] = ordinal
        return known


@given(st.lists(st.integers(1, 150), max_size=400), st.integers(0, 400))
def test_a_table_remembers_what_an_lru_cache_per_set_would(keys: list[int], restored_at: int) -> None:
    table, model, counts, slots = new_table(4 * WAYS, RECORD), ReferenceSlots(4), dict[int, int](), dict[int, int]()
    for ordinal, key in enumerate(keys, start=1):
        known = model.touch(key, ordinal)
        slot = slot_of(table, np.uint64(key), ordinal)
        counts[key] = counts[key] + 1 if known else 1
        assert slots.get(key, slot) == slot or not known, "a slot stays where it is while its key does"
        slots[key] = slot
        table.rows[slot]["n"] += 1
        assert (table.rows[slot]["key"], table.rows[slot]["touched"]) == (key, ordinal)
        assert table.rows[slot]["n"] == counts[key], "a slot kept its record, or a fresh one was not zero"
        if ordinal == restored_at:
            table.sets[:] = 0
            reindex(table)
    assert table.used[0] == np.count_nonzero(table.rows["touched"]) == sum(map(len, model.sets))
    assert not table.rows["touched"][table.used[0] :].any(), "slots in use lie together"


def test_sizes_are_rounded_up_to_a_power_of_two() -> None:
    assert [new_table(n, RECORD).sets.shape[0] * WAYS for n in (1, 16, 17, 1000, 1024)] == [16, 16, 32, 1024, 1024]
