"""Whatever is mixed in: the log that was there is there, nothing lies where it cannot, and the seed decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from sie_online.behaviours import ALL, INNOCENT, POLLUTING, Log, Mixture, Roles, mix
from tests.support.shops import ROLES, random_log, shop_log

logs = st.builds(
    random_log,
    st.integers(0, 1_000),
    st.integers(20, 250),
    users=st.integers(1, 40),
    items=st.integers(1, 60),
    categories=st.sampled_from([0, 1, 5]),
    types=st.lists(st.integers(0, 7), min_size=1, max_size=8, unique=True),
    tick_ms=st.sampled_from([1, 1_000, 86_400_000]),
    ticks=st.sampled_from([3, 50, 1_000_000]),
)
families = st.sets(st.sampled_from(ALL), min_size=1)


def same(a: Mixture, b: Mixture) -> bool:
    columns = zip((*a.log, a.source, a.behaviour), (*b.log, b.source, b.behaviour), strict=True)
    return a.behaviours == b.behaviours and all(np.array_equal(*pair) for pair in columns)


@bounds(max_examples=150)
@given(log=logs, seed=st.integers(0, 1 << 40), chosen=families)
def test_a_mixture_keeps_what_was_there_and_lies_within_it(log: Log, seed: int, chosen: set[str]) -> None:
    assume(log.time_ms[0] < log.time_ms[-1])
    mixture = mix(log, ROLES, seed, families=chosen)
    mixed, source, behaviour = mixture.log, mixture.source, mixture.behaviour

    there = source >= 0
    assert np.array_equal(np.sort(source[there]), np.arange(len(log.user)))  # each once
    untouched = behaviour == 0
    assert there[untouched].all()
    for after, before in zip(mixed, log, strict=True):
        assert np.array_equal(after[untouched], before[source[untouched]])
    for column in ("item", "category", "etype"):  # what moves changes its account or its time alone
        assert np.array_equal(getattr(mixed, column)[there], getattr(log, column)[source[there]])
    assert (np.diff(source[untouched]) > 0).all()  # stable

    assert (np.diff(mixed.time_ms) >= 0).all()
    assert mixed.time_ms[0] >= log.time_ms[0]
    assert mixed.time_ms[-1] <= log.time_ms[-1]
    assert set(mixed.item.tolist()) <= set(log.item.tolist())
    assert set(mixed.etype.tolist()) <= set(log.etype.tolist())
    categories = dict(zip(log.item[::-1].tolist(), log.category[::-1].tolist(), strict=True))
    assert mixed.category.tolist() == [categories[item] for item in mixed.item.tolist()]
    new = np.unique(mixed.user[mixed.user > log.user.max()])
    assert len(new) == 0 or new[0] > log.user.max()
    assert mixed.user.min() >= 0

    assert {each.family for each in mixture.behaviours} <= chosen
    counts = np.bincount(behaviour, minlength=len(mixture.behaviours) + 1)[1:]
    assert counts.tolist() == [each.events for each in mixture.behaviours]
    assert all(each.events and each.polluting == (each.family in POLLUTING) for each in mixture.behaviours)
    assert not (mixture.polluting() & mixture.innocent()).any()
    assert np.array_equal(mixture.polluting() | mixture.innocent(), behaviour > 0)


@bounds(max_examples=30)
@given(log=logs, seed=st.integers(0, 1 << 40))
def test_the_same_seed_is_the_same_mixture_however_families_are_ordered(log: Log, seed: int) -> None:
    assume(log.time_ms[0] < log.time_ms[-1])
    assert same(mix(log, ROLES, seed), mix(log, ROLES, seed, families=list(reversed(ALL))))


def test_another_seed_is_another_mixture() -> None:
    assert not same(mix(shop_log(), ROLES, 1), mix(shop_log(), ROLES, 2))


def test_new_accounts_are_numbered_without_a_gap_by_no_two_behaviours() -> None:
    log = shop_log()
    mixture = mix(log, ROLES, 5, families=["click_farm", "crawler", "newcomers"], polluting=4, innocent=2)
    new = mixture.log.user > log.user.max()
    pairs = {(user, k) for user, k in zip(mixture.log.user[new].tolist(), mixture.behaviour[new].tolist(), strict=True)}
    assert len({k for _, k in pairs}) == 6
    assert len(pairs) == len({user for user, _ in pairs})


def test_pollution_is_anything_from_a_trace_to_nearly_half_of_the_log() -> None:
    log = shop_log()
    shares = np.array([np.count_nonzero(mix(log, ROLES, seed).polluting()) / len(log.user) for seed in range(80)])
    assert shares.min() < 0.02
    assert 0.35 < shares.max() <= 0.45
    assert np.quantile(shares, 0.25) < 0.12 < np.quantile(shares, 0.75)


@bounds(max_examples=60)
@given(log=logs, seed=st.integers(0, 1 << 40), polluting=st.integers(0, 12))
def test_no_number_of_polluters_is_more_than_is_said(log: Log, seed: int, polluting: int) -> None:
    assume(log.time_ms[0] < log.time_ms[-1])
    mixture = mix(log, ROLES, seed, polluting=polluting)
    n, events = len(log.user), [each.events for each in mixture.behaviours if each.polluting]
    assert all(each <= max(1, 0.3 * n) for each in events)
    assert sum(events) <= 0.45 * n + polluting  # one event each at least


def test_every_family_is_drawn_and_several_at_a_time() -> None:
    drawn = [[each.family for each in mix(shop_log(), ROLES, seed).behaviours] for seed in range(80)]
    assert {family for each in drawn for family in each} == set(ALL)
    assert np.mean([len(each) for each in drawn]) > 4


@pytest.mark.parametrize("kind", [POLLUTING, INNOCENT], ids=["polluting", "innocent"])
def test_families_are_drawn_alike(kind: tuple[str, ...]) -> None:
    log = random_log(4, 300, types=[1, 1, 1, 3, 5])
    drawn = [each.family for seed in range(400) for each in mix(log, ROLES, seed).behaviours]
    counts = np.array([drawn.count(family) for family in kind])
    assert 0.5 * counts.mean() < counts.min()
    assert counts.max() < 1.8 * counts.mean()


def test_the_log_that_is_mixed_into_stays_as_it_was() -> None:
    log = random_log(3, 400)
    before = [column.tobytes() for column in log]
    for family in ALL:
        mix(log, ROLES, 0, families=[family])
    assert [column.tobytes() for column in log] == before


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(random_log(1, 50, users=1, items=5), id="tiny"),
        pytest.param(random_log(1, 900, categories=0, items=1, types=[1]), id="one-item"),
        pytest.param(random_log(1, 900, users=1, tick_ms=86_400_000, ticks=3), id="one-account-in-days"),
        pytest.param(random_log(1, 900, users=300, types=[5]), id="orders-alone"),
        pytest.param(random_log(1, 900, users=800, items=800, types=[1], ticks=5), id="seconds"),
    ],
)
def test_odd_shops_are_polluted_all_the_same(log: Log) -> None:
    polluted = [bool(mix(log, ROLES, seed).polluting().any()) for seed in range(20)]
    assert np.mean(polluted) > 0.8


def test_as_many_are_mixed_in_as_are_asked_for() -> None:
    mixture = mix(shop_log(), ROLES, 3, polluting=9, innocent=5)
    assert [each.polluting for each in mixture.behaviours] == [False] * 5 + [True] * 9
    assert len({each.family for each in mixture.behaviours}) == 14
    twice = mix(shop_log(), ROLES, 3, families=["crawler"], polluting=3, innocent=0)
    assert [each.family for each in twice.behaviours] == ["crawler"] * 3


def test_nothing_asked_for_is_the_log_itself() -> None:
    mixture = mix(shop_log(), ROLES, 3, polluting=0, innocent=0)
    assert all(np.array_equal(*pair) for pair in zip(mixture.log, shop_log(), strict=True))
    assert mixture.behaviours == ()
    assert np.array_equal(mixture.source, np.arange(len(shop_log().user)))


@pytest.mark.parametrize("tick_ms", [1_000, 60_000, 86_400_000])
def test_a_log_keeps_its_resolution(tick_ms: int) -> None:
    log = random_log(1, 2_000, users=60, tick_ms=tick_ms, ticks=200)
    for seed in range(10):
        mixed = mix(log, ROLES, seed).log
        assert not ((mixed.time_ms - log.time_ms[0]) % tick_ms).any()


def test_added_events_fall_between_those_of_their_tick() -> None:
    log = random_log(1, 2_000, users=60, tick_ms=86_400_000, ticks=7)
    mixture = mix(log, ROLES, 1, families=["click_farm"], polluting=1, innocent=0)
    day = mixture.source[mixture.log.time_ms == log.time_ms[1_000]]
    added = np.flatnonzero(day < 0)
    assert len(added) > 5
    assert added.mean() < len(day) - 1 - len(added) / 2  # not all of them behind what was there


def test_a_shop_without_conversions_has_none_mixed_in() -> None:
    log = random_log(2, 3_000, users=80, types=[1])
    for seed in range(20):
        mixture = mix(log, ROLES, seed)
        assert mixture.behaviours
        assert set(mixture.log.etype.tolist()) == {1}


def test_what_is_a_conversion_is_a_matter_of_the_roles() -> None:
    log, carts_count = shop_log(), Roles(frozenset({1}), frozenset({3}))
    mixture = mix(log, carts_count, 1, families=["late_orders"], polluting=1, innocent=0)
    assert set(mixture.log.etype[mixture.behaviour > 0].tolist()) == {3}


def columns(**changes: Any) -> Log:
    return shop_log()._replace(**changes)


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        pytest.param(random_log(0, 19), "too short", id="short"),
        pytest.param(columns(time_ms=shop_log().time_ms[::-1]), "order of time", id="disorder"),
        pytest.param(columns(time_ms=np.full(len(shop_log().user), 5)), "one moment", id="one-moment"),
        pytest.param(columns(user=shop_log().user - 1), "negative", id="negative"),
        pytest.param(columns(etype=shop_log().etype + 5), "event type", id="heartbeats"),
        pytest.param(columns(item=shop_log().item[:-1]), "length", id="length"),
    ],
)
def test_a_log_that_cannot_be_mixed_into_is_refused_in_words(log: Log, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        mix(log, ROLES, 0)


def test_roles_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="not both"):
        mix(shop_log(), Roles(frozenset({1, 5}), frozenset({5})), 0)


def test_what_cannot_be_drawn_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="named martians"):
        mix(shop_log(), ROLES, 0, families=["martians", "crawler"])
    with pytest.raises(ValueError, match="none of the families is innocent"):
        mix(shop_log(), ROLES, 0, families=["crawler"], innocent=1)
    with pytest.raises(ValueError, match="at least 0"):
        mix(shop_log(), ROLES, 0, polluting=-1)
    views = random_log(2, 3_000, types=[1])
    with pytest.raises(ValueError, match="has what it needs"):
        mix(views, ROLES, 0, families=["fake_orders"], polluting=1)
    assert mix(views, ROLES, 0, families=["fake_orders"]).behaviours == ()


def test_there_are_families_enough() -> None:
    assert len(set(POLLUTING)) >= 14
    assert len(set(INNOCENT)) >= 8
    assert not set(POLLUTING) & set(INNOCENT)
