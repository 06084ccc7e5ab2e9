"""Lists with River's protocol: its checks, what is learned, and that nothing is left to chance."""

from __future__ import annotations

import doctest
import pickle
from collections.abc import Callable

import pytest
from river import reco
from river.checks import yield_checks

from sie_online.recommender import NeighbourhoodRanker, ranker

DAY_MS = 86_400_000


def small(**options: object) -> NeighbourhoodRanker:
    return NeighbourhoodRanker(**{"users": 64, "items": 64, "pairs": 64, **options})  # type: ignore[arg-type]


def taught(*pairs: tuple[str, str], **options: object) -> NeighbourhoodRanker:
    model = small(**options)
    for user, item in pairs:
        model.learn_one(user, item, 1)
    return model


@pytest.mark.parametrize("check", list(yield_checks(NeighbourhoodRanker())), ids=lambda check: check.__name__)
def test_river_checks(check: Callable[[reco.base.Ranker], None]) -> None:
    check(small())


def test_the_example_runs() -> None:
    assert doctest.testmod(ranker).failed == 0


def test_what_others_had_next_comes_before_what_is_popular() -> None:
    model = taught(*[("a", "tea"), ("a", "pot"), ("b", "tea"), ("b", "pot")], *[(f"u{n}", "hit") for n in range(9)])
    model.learn_one("joe", "tea", 1)
    assert model.rank("joe", {"hit", "pot"}) == ["pot", "hit"]
    assert model.recommend("joe", 2) == ["pot", "hit"]


def test_a_neighbour_met_at_once_counts_more_than_one_met_later() -> None:
    model = taught(*[("a", item) for item in ("tea", "pot", "cup", "van")], ("joe", "tea"))
    assert model.recommend("joe", 3) == ["pot", "cup", "van"]


def test_users_of_whom_nothing_is_known_get_what_is_popular() -> None:
    model = taught(("a", "tea"), ("b", "tea"), ("c", "pot"))
    assert model.recommend("nobody", 5) == ["tea", "pot"]
    assert model.recommend("nobody", -1) == []


def test_the_categorys_popular_items_come_before_everybodys() -> None:
    model = small()
    for user in range(5):
        model.learn_one(f"u{user}", "hit", 1, {"category_id": "music"})
    model.learn_one("a", "tea", 1, {"category_id": "kitchen"})
    model.learn_one("joe", "pot", 1, {"category_id": "kitchen"})
    assert model.recommend("joe", 2) == ["tea", "hit"]


def test_what_a_user_had_is_left_out_until_things_come_again() -> None:
    pairs = [("a", "tea"), ("a", "pot"), ("joe", "tea")]
    assert "tea" not in taught(*pairs).recommend("joe", 5)
    assert "tea" in taught(*pairs, seen="include").recommend("joe", 5)
    assert "tea" in taught(*pairs, *[("a", "tea")] * 9).recommend("joe", 5)
    assert "tea" not in taught(*pairs, *[("a", "tea")] * 9, seen="exclude").recommend("joe", 5)


def test_what_is_long_ago_counts_less() -> None:
    model = small(half_life_s=86_400)
    for item, day in [("old", 1), ("old", 1), ("old", 1), ("new", 9)]:
        model.learn_one(f"{item}{day}", item, 1, {"timestamp_ms": day * DAY_MS})
    assert model.recommend("nobody", 2) == ["new", "old"]


def test_decades_later_the_counts_are_finite() -> None:
    model = small(half_life_s=60)
    for day in range(0, 20_000, 500):
        model.learn_one("a", "tea", 1, {"timestamp_ms": day * DAY_MS + 1})
        model.learn_one("b", "pot", 1, {"timestamp_ms": day * DAY_MS + 1})
    assert 0.0 < model.predict_one("b", "tea") < 1.0


def test_a_reward_that_is_none_teaches_nothing() -> None:
    model = small()
    for reward in (0, False, -1.0, float("nan"), float("inf")):
        model.learn_one("a", "tea", reward)
    assert model.recommend("a", 5) == []


def test_a_full_ranker_ranks_whom_it_knows() -> None:
    model = taught(*[(f"u{n}", f"i{n}") for n in range(1_000)])
    listed = model.recommend("nobody", 100)
    assert 0 < len(listed) <= 64
    assert len(set(listed)) == len(listed)


def test_saved_and_loaded_it_goes_on_the_same() -> None:
    model = taught(("a", "tea"), ("a", "pot"), ("b", "tea"))
    again = pickle.loads(pickle.dumps(model))
    for each in (model, again):
        each.learn_one("b", "cup", 1)
    assert model.recommend("b", 5) == again.recommend("b", 5)
    assert model.predict_one("a", "cup") == again.predict_one("a", "cup")
