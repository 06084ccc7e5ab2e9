"""What is found in a log: its resolution, its sessions, what stands together, what came next."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.behaviours import NO_CATEGORY, Log
from sie_online.behaviours.shop import SHELF, Shop, grouped, spread, tick_of
from tests.support.shops import ROLES, random_log

MINUTE_MS = 60_000


@pytest.mark.parametrize("tick_ms", [1, 10, 100, 1_000, MINUTE_MS, 3_600_000, 86_400_000])
def test_the_resolution_is_the_coarsest_that_fits(tick_ms: int) -> None:
    assert tick_of(1_700_000_000_123 + tick_ms * np.array([0, 3, 4, 11, 13])) == tick_ms


@given(ticks=st.lists(st.integers(0, 20), min_size=1), tick_ms=st.sampled_from([1, 1_000]))
def test_times_are_spread_within_their_tick_and_in_order(ticks: list[int], tick_ms: int) -> None:
    since_ms = np.sort(np.array(ticks)) * tick_ms
    at = spread(since_ms, tick_ms)
    assert (np.diff(at) > 0).all()
    assert np.array_equal(np.floor(at / tick_ms).astype(np.int64) * tick_ms, since_ms)


@given(codes=st.lists(st.integers(0, 9), max_size=50))
def test_rows_are_grouped_by_code_and_stay_in_order(codes: list[int]) -> None:
    order, first = grouped(np.array(codes, np.int64), 10)
    for code in range(10):
        assert order[first[code] : first[code + 1]].tolist() == [row for row, each in enumerate(codes) if each == code]


def one_account(*minutes: float, item: list[int] | None = None) -> Shop:
    n = len(minutes)
    time_ms = np.round(np.array(minutes) * MINUTE_MS).astype(np.int64)
    items = np.arange(n) if item is None else np.array(item)
    return Shop(Log(np.zeros(n, np.int64), items, items * 0, np.ones(n, np.int64), time_ms), ROLES)


def test_a_session_ends_with_a_long_pause() -> None:
    first, end = one_account(0, 1, 2.5, 40, 41, 100).sittings
    assert first.tolist() == [0, 3, 5]
    assert end.tolist() == [3, 5, 6]


def test_what_an_account_looked_at_next() -> None:
    shop = one_account(0, 1, 2, 3, item=[4, 7, 4, 2])
    assert shop.following.tolist() == [7, 4, 2, 2]  # nothing after the last: itself
    assert shop.rank.tolist() == [0, 1, 2, 3]


def test_without_categories_what_was_first_seen_together_stands_together() -> None:
    log = random_log(1, 400, items=3 * SHELF, categories=0)
    shop = Shop(log, ROLES)
    assert set(log.category.tolist()) == {NO_CATEGORY}
    order = log.item[np.sort(np.unique(log.item, return_index=True)[1])]
    assert (shop.shelf[order] == np.arange(len(order)) // SHELF).all()


def test_a_log_without_samples_is_browsed_by_its_most_frequent_type() -> None:
    shop = Shop(random_log(1, 300, types=[3, 5, 5, 5]), ROLES)
    assert (shop.log.etype[shop.browsed] == 5).all()
    assert shop.conversions.tolist() == [5]
    assert shop.acts.tolist() == [3]
