"""What people say outright: what it teaches of events without an opinion, and what it can never do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.contracts import PURCHASE_CODE, RATING_CODE, RETURN_CODE, VIEW_CODE
from sie_online.importance.noise.detector import ITEM_FIELDS, POPULATION_FIELDS, USER_FIELDS
from sie_online.importance.noise.explicit import (
    CREDIT_CAP,
    EXPLICIT_CAP,
    item_explicit,
    observe_explicit,
    user_explicit,
)
from sie_online.importance.noise.population import NoiseConfig
from sie_online.metrics import auc

CFG = NoiseConfig()
FIELDS = {"user": USER_FIELDS, "item": ITEM_FIELDS, "population": POPULATION_FIELDS}
EVENT = np.dtype([("etype", "i8"), ("rating", "f8"), ("dwell_ms", "f8")])
Said = tuple[int, int, int, float, float]
"""User, item, event type, rating and dwell time."""


def record(name: str) -> Any:
    return np.zeros(1, np.dtype(FIELDS[name]))[0]


class Shop:
    """Users, items and population, and what was said."""

    def __init__(self, said: Iterable[Said] = ()) -> None:
        self.population = record("population")
        self.user: dict[int, Any] = defaultdict(lambda: record("user"))
        self.item: dict[int, Any] = defaultdict(lambda: record("item"))
        for one in said:
            self.say(*one)

    def say(self, user: int, item: int, etype: int, rating: float = np.nan, dwell_ms: float = np.nan) -> None:
        event = np.array([(etype, rating, dwell_ms)], EVENT)[0]
        if etype == VIEW_CODE:
            self.user[user]["z_views"] += 1
            self.item[item]["z_views"] += 1
        observe_explicit(CFG, self.user[user], self.item[item], self.population, event)

    def odds(self, user: int, item: int) -> float:
        of_user = user_explicit(self.user[user], self.population)
        return float(of_user + item_explicit(self.item[item], self.population))


def opinionated(n: int, told: float, seed: int = 0) -> tuple[Shop, np.ndarray, np.ndarray]:
    """A shop of ``n`` views, some bad ones, of which a share is ``told`` by a rating; truth and odds of the others."""
    dice = np.random.default_rng(seed)
    user, item = dice.integers(0, 60, n), dice.integers(0, 80, n)
    taste, appeal = dice.normal(size=60), dice.normal(size=80)
    bad = dice.random(n) < 1 / (1 + np.exp(1.5 - taste[user] - appeal[item]))
    says = dice.random(n) < told
    shop = Shop()
    for at in range(n):
        shop.say(user[at], item[at], VIEW_CODE)
        if says[at]:
            shop.say(user[at], item[at], RATING_CODE, 1.0 if bad[at] else 5.0)
    silent = np.flatnonzero(~says)
    return shop, bad[silent], np.array([shop.odds(user[at], item[at]) for at in silent])


def test_a_tenth_that_is_told_tells_of_the_rest() -> None:
    _, bad, odds = opinionated(4_000, 0.1)
    _, bad_of_more, odds_of_more = opinionated(4_000, 0.5)
    assert auc(bad, odds) > 0.68
    assert auc(bad_of_more, odds_of_more) > 0.74


def test_where_nothing_is_said_nothing_changes() -> None:
    shop, _, odds = opinionated(500, 0.0)
    assert (odds == 0).all()
    assert not shop.population["z_taught"].any()


def test_where_all_events_speak_for_themselves_nothing_is_inferred() -> None:
    shop, dice = Shop(), np.random.default_rng(0)
    for nth in range(5_000):
        shop.say(nth % 7, int(dice.integers(0, 9)), VIEW_CODE, np.nan, 9_000.0 + 1_000.0 * (nth % 7))
    silent, _, odds = opinionated(500, 0.1)
    assert np.abs(odds).max() > 0.5
    assert silent.population["z_spoken"] == pytest.approx(0.1, abs=0.05)
    assert abs(user_explicit(shop.user[6], shop.population)) < 0.01


def test_activity_teaches_where_it_tells_good_from_bad() -> None:
    shop, dice = Shop(), np.random.default_rng(0)
    for nth in range(3_000):
        newcomer = dice.random() < 0.5
        user = 1_000 + nth if newcomer else int(dice.integers(0, 20))
        shop.say(user, nth % 50, VIEW_CODE)
        if dice.random() < 0.2:
            shop.say(user, nth % 50, RATING_CODE, 1.0 if newcomer else 5.0)
    shop.say(9_999, 0, VIEW_CODE)
    shop.user[9_998]["z_views"] = 150.0
    assert shop.odds(9_999, 0) > shop.odds(9_998, 0) + 0.5


def test_who_returns_more_than_others_is_suspect_and_who_keeps_all_gets_no_credit() -> None:
    shop = Shop((user, 0, PURCHASE_CODE, np.nan, np.nan) for user in range(40))
    for _ in range(5):
        shop.say(1, 0, PURCHASE_CODE)
        shop.say(1, 0, RETURN_CODE)
        shop.say(2, 0, PURCHASE_CODE)
    assert user_explicit(shop.user[1], shop.population) > 0.5
    assert user_explicit(shop.user[2], shop.population) == 0
    assert (shop.user[1]["z_alpha"], shop.user[1]["z_beta"]) == (5, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 3),
            st.sampled_from([VIEW_CODE, RATING_CODE, PURCHASE_CODE, RETURN_CODE]),
            st.floats(allow_nan=True, allow_infinity=True),
            st.floats(allow_nan=True, allow_infinity=True),
        ),
        max_size=80,
    )
)
def test_whatever_is_said_odds_are_finite_and_bounded(said: list[Said]) -> None:
    shop = Shop(said)
    assert np.isfinite(shop.population["z_taught"]).all()
    for user in range(4):
        assert -CREDIT_CAP <= user_explicit(shop.user[user], shop.population) <= EXPLICIT_CAP
        assert -CREDIT_CAP <= item_explicit(shop.item[user], shop.population) <= EXPLICIT_CAP


@pytest.mark.parametrize(("rating", "sign"), [(1.0, 1), (5.0, -1)])
def test_ratings_without_end_convict_and_acquit_within_bounds(rating: float, sign: int) -> None:
    dice = np.random.default_rng(0)
    shop = Shop((int(user), 0, RATING_CODE, float(user % 5 + 1), np.nan) for user in dice.integers(0, 50, 2_000))
    for _ in range(500):
        shop.say(99, 0, RATING_CODE, rating)
    for nth in range(10_000):
        shop.say(nth % 50, 0, VIEW_CODE)
    odds = user_explicit(shop.user[99], shop.population)
    assert 0.05 < sign * odds <= (EXPLICIT_CAP if sign > 0 else CREDIT_CAP)
