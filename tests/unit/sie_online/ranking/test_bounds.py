"""What is shared has bounds: the most popular items, of each the strongest neighbours among them."""

from __future__ import annotations

import numpy as np
import pytest

from sie_online.ranking.pooling import bounded, pack, summed, tables_from
from sie_online.ranking.tables import RankingSizes
from tests.support.neighbourhoods import neighbourhoods, read

PAIRS = {("a", "b"): 1.0, ("a", "c"): 3.0, ("a", "d"): 2.0, ("b", "c"): 1.0, ("d", "a"): 9.0}


def test_the_strongest_neighbours_of_the_most_popular_items_are_kept() -> None:
    found = bounded(neighbourhoods({"d": 1, "a": 4, "b": 3, "c": 2}, PAIRS), 3, 1)
    assert read(found) == ({"a": 4, "b": 3, "c": 2}, {("a", "c"): 3, ("b", "c"): 1})
    popular = {found.ids[item].decode(): count for item, count in zip(*found.popular[1:], strict=True)}
    assert popular == {"a": 4, "b": 3, "c": 2}
    assert (found.keys[1:] > found.keys[:-1]).all()


def test_what_is_within_its_bounds_stays_as_it_is() -> None:
    whole = neighbourhoods({"a": 4, "b": 3, "c": 2, "d": 1}, PAIRS)
    assert read(bounded(whole)) == read(whole)
    assert pack(bounded(bounded(whole, 3, 2), 3, 2)) == pack(bounded(whole, 3, 2))


def test_what_is_kept_can_be_summed_and_looked_up() -> None:
    one, two = (bounded(neighbourhoods({"a": 4, "b": 3}, {("a", "b"): n}), 2, 2) for n in (1, 2))
    assert read(summed([one, two], 0.0)) == ({"a": 8, "b": 6}, {("a", "b"): 3})


@pytest.mark.parametrize("n", [256, 1_024])
def test_tables_of_what_others_have_counted_evict_none_of_it(n: int) -> None:
    names = [f"item {number}" for number in range(n)]
    found = neighbourhoods(dict.fromkeys(names, 1.0), {})
    tables = tables_from(found, RankingSizes(items=64))
    assert int(tables.items.evicted[0]) == 0
    assert set(tables.items.rows["key"][: int(tables.items.used[0])].tolist()) == set(found.keys.tolist())
    assert np.unique(tables.items.rows["key"][:n]).size == n
