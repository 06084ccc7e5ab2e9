"""Duplicates are recognised among exactly the last N keys."""

from __future__ import annotations

import numpy as np
import pytest
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


@pytest.mark.parametrize("n", [300, 1000, 2000])
def test_a_window_that_grows_knows_its_keys_whatever_its_size(n: int) -> None:
    keys = np.random.default_rng(n).integers(1, 2_500, 6_000).astype(np.uint64)
    dedupe, order, sizes = new_dedupe(n), list[int](), list[int]()
    for key in keys:
        known = int(key) in order[-n:]
        assert contains(dedupe, key) == known
        if not known:
            remember(dedupe, key, len(order))
            order.append(int(key))
        sizes.append(int(dedupe.spread[0]))
        if len(order) == n // 2:
            rebuild(dedupe)
    assert sizes[0] == 512 and sizes[-1] == len(dedupe.members) >= 2 * n
    assert not dedupe.members[dedupe.spread[0] :].any()


def test_zero_remembers_nothing() -> None:
    dedupe = new_dedupe(0)
    remember(dedupe, np.uint64(5), 0)
    assert not contains(dedupe, np.uint64(5))
