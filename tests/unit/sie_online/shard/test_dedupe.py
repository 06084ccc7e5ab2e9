"""Duplicates are recognised among exactly the last N keys."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sie_online.shard.dedupe import contains, new_dedupe, rebuild, remember


@given(st.integers(1, 9), st.lists(st.integers(1, 30), max_size=200), st.integers(0, 200))
def test_membership_is_that_of_the_last_n_new_keys(n: int, keys: list[int], rebuild_at: int) -> None:
    dedupe, order = new_dedupe(n), list[int]()
    for step, key in enumerate(keys):
        if step == rebuild_at:
            rebuild(dedupe)
        assert contains(dedupe, np.uint64(key)) == (key in order[-n:])
        if key not in order[-n:]:
            remember(dedupe, np.uint64(key), len(order))
            order.append(key)


def test_zero_remembers_nothing() -> None:
    dedupe = new_dedupe(0)
    remember(dedupe, np.uint64(5), 0)
    assert not contains(dedupe, np.uint64(5))
