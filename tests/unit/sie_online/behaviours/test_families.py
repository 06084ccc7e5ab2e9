"""Each family does what its name says, alone in a shop whose people are known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from sie_online.behaviours import ALL, INNOCENT, POLLUTING, Log, Mixture, mix
from sie_online.contracts import PURCHASE_CODE, VIEW_CODE
from tests.support.shops import ROLES, random_log, shop_log

SEEDS = range(12)
BASE = shop_log()
USERS = int(BASE.user.max()) + 1
MOVING = {"crossed_accounts", "wrong_clocks", "household", "new_accounts", "newcomers", "long_pauses", "other_hours"}
EXISTING = {
    "hijacked_bursts", "takeover", "parasite", "dormant_takeover", "retries", "stuck_pages", "prefetching",
    "resynchronising", "phantom_deeds", "late_orders", "bulk_buying", "price_comparison", "repeat_buying",
    "window_shopping", "many_tabs", "enthusiasts", "gift_shopping",
}  # fmt: skip
NEW = {
    "click_farm", "view_inflation", "rank_boosting", "crawler", "price_monitor", "random_clicking", "trend_following",
    "relay", "camouflaged_buyers", "sleepers", "decoy_trails",
}  # fmt: skip


def alone(family: str, seeds: Iterable[int] = SEEDS) -> list[Mixture]:
    numbers = {"polluting": int(family in POLLUTING), "innocent": int(family in INNOCENT)}
    return [mix(BASE, ROLES, seed, families=[family], **numbers) for seed in seeds]


def done(mixture: Mixture) -> Log:
    """Its events in order of account and time."""
    events = mixture.log.take(np.flatnonzero(mixture.behaviour > 0))
    return events.take(np.lexsort((events.time_ms, events.user)))


def pairs(log: Log) -> set[tuple[int, int]]:
    return set(zip(log.user.tolist(), log.item.tolist(), strict=True))


@pytest.mark.parametrize("family", ALL)
def test_a_family_has_events_and_nobody_elses(family: str) -> None:
    shares = []
    for mixture in alone(family):
        (behaviour,) = mixture.behaviours
        assert behaviour.family == family
        assert behaviour.events == np.count_nonzero(mixture.behaviour)
        shares.append(behaviour.events / len(mixture.log.user))
        if family in MOVING:
            assert len(mixture.log.user) == len(BASE.user)
        else:
            assert (mixture.source[mixture.behaviour > 0] == -1).all()
    assert min(shares) < 0.06 < max(shares) < 0.45


@pytest.mark.parametrize("family", ALL)
def test_two_hours_are_enough_for_it(family: str) -> None:
    log = random_log(1, 900, users=60, items=80, types=[1, 1, 1, 3, 5], ticks=7_200)
    numbers = {"polluting": int(family in POLLUTING), "innocent": int(family in INNOCENT)}
    assert all(mix(log, ROLES, seed, families=[family], **numbers).behaviours for seed in range(15))


@pytest.mark.parametrize("family", sorted(EXISTING))
def test_accounts_that_were_there(family: str) -> None:
    assert all((done(mixture).user < USERS).all() for mixture in alone(family))


@pytest.mark.parametrize("family", sorted(NEW))
def test_accounts_of_its_own(family: str) -> None:
    assert all((done(mixture).user >= USERS).all() for mixture in alone(family))


@pytest.mark.parametrize("family", ["view_inflation", "crawler", "price_monitor"])
def test_views_alone(family: str) -> None:
    assert all((done(mixture).etype == VIEW_CODE).all() for mixture in alone(family))


@pytest.mark.parametrize("family", ["rank_boosting", "camouflaged_buyers", "fake_orders", "late_orders", "flash_sale"])
def test_conversions_beyond_the_shops_own_share(family: str) -> None:
    share = (BASE.etype == PURCHASE_CODE).mean()
    assert np.mean([(done(mixture).etype == PURCHASE_CODE).mean() for mixture in alone(family)]) > 1.5 * share


@pytest.mark.parametrize("family", ["mosaic", "hijacked_bursts", "takeover", "stolen_histories"])
def test_some_act_and_some_never_do(family: str) -> None:
    looks = [bool((done(mixture).etype == VIEW_CODE).all()) for mixture in alone(family, range(30))]
    assert {True, False} == set(looks)


@pytest.mark.parametrize("family", ["retries", "stuck_pages", "resynchronising"])
def test_what_is_repeated_had_happened(family: str) -> None:
    for mixture in alone(family):
        assert pairs(done(mixture)) <= pairs(BASE)


@pytest.mark.parametrize("family", ["retries", "stuck_pages", "prefetching", "resynchronising"])
def test_a_fault_sits_upon_what_its_account_did(family: str) -> None:
    began = dict(zip(BASE.user[::-1].tolist(), BASE.time_ms[::-1].tolist(), strict=True))
    for mixture in alone(family):
        events = done(mixture)
        assert all(at >= began[user] for user, at in zip(events.user.tolist(), events.time_ms.tolist(), strict=True))


@pytest.mark.parametrize("family", ["hijacked_bursts", "takeover", "parasite", "dormant_takeover"])
def test_whose_account_is_hijacked_goes_on_as_before(family: str) -> None:
    for mixture in alone(family):
        as_it_was = mixture.behaviour == 0
        assert np.array_equal(mixture.source[as_it_was], np.arange(len(BASE.user)))


def test_accounts_that_boost_a_rank_are_many_and_do_little() -> None:
    for mixture in alone("rank_boosting"):
        count = np.unique(done(mixture).user, return_counts=True)[1]
        assert np.median(count) <= 40
        assert len(count) > count.sum() / 60


@pytest.mark.parametrize("family", ["fake_orders", "cart_stuffing", "takeover", "hijacked_bursts"])
def test_deeds_of_pollution_do_not_go_by_what_an_account_likes(family: str) -> None:
    liked = set(zip(BASE.user.tolist(), BASE.category.tolist(), strict=True))
    fitting = []
    for mixture in alone(family, range(25)):
        events = done(mixture)
        acts = events.take(np.flatnonzero((events.etype != VIEW_CODE) & (events.user < USERS)))
        fitting += [pair in liked for pair in zip(acts.user.tolist(), acts.category.tolist(), strict=True)]
    assert len(fitting) > 100
    assert np.mean(fitting) < 0.3  # two of twenty shelves are an account's own


@pytest.mark.parametrize("family", ["bulk_buying", "price_comparison", "repeat_buying", "many_tabs", "enthusiasts"])
def test_innocents_go_by_what_they_like(family: str) -> None:
    liked = set(zip(BASE.user.tolist(), BASE.category.tolist(), strict=True))
    for mixture in alone(family):
        events = done(mixture)
        fitting = [pair in liked for pair in zip(events.user.tolist(), events.category.tolist(), strict=True)]
        assert np.mean(fitting) > (0.5 if family == "enthusiasts" else 0.999)


def company(mixture: Mixture) -> float:
    """How many events there are, in the mean over its events, on the same item in the same hour."""
    events = done(mixture)
    hour = (events.time_ms - BASE.time_ms[0]) // 3_600_000
    place = np.unique(events.item * 1_000 + hour, return_inverse=True)[1]
    return float(np.bincount(place)[place].mean())


def test_a_lockstep_group_is_together() -> None:
    together, apart = ([company(each) for each in alone(family)] for family in ("lockstep", "random_clicking"))
    assert np.median(together) > 3 * np.median(apart)


def test_camouflaged_buyers_live_other_peoples_sessions() -> None:
    for mixture in alone("camouflaged_buyers"):
        events = done(mixture)
        looks = events.take(np.flatnonzero(events.etype == VIEW_CODE))
        near = np.diff(looks.category)[np.diff(looks.user) == 0] == 0
        assert near.mean() > 0.2  # of twenty shelves: they stay on one as people do


def test_crawlers_leave_out_little() -> None:
    distinct = []
    for mixture in alone("crawler", range(30)):
        events = done(mixture)
        own = np.unique(events.user, return_inverse=True)[1]
        distinct.append(len(pairs(events)) / np.minimum(np.bincount(own), len(np.unique(BASE.item))).sum())
    assert np.median(distinct) > 0.6  # those that keep to a shelf go round it


def test_price_monitors_come_back_to_the_same() -> None:
    assert np.mean([len(pairs(done(mixture))) / len(done(mixture).user) for mixture in alone("price_monitor")]) < 0.5


def test_the_dormant_were_not_seen_for_long() -> None:
    last = np.zeros(USERS)
    np.maximum.at(last, BASE.user, BASE.time_ms - BASE.time_ms[0])
    woken = [last[np.unique(done(mixture).user)].mean() for mixture in alone("dormant_takeover", range(25))]
    assert np.mean(woken) < last.mean()


def test_accounts_are_crossed_and_clocks_are_wrong() -> None:
    for crossed in alone("crossed_accounts"):
        moved = np.flatnonzero(crossed.behaviour > 0)
        assert (crossed.log.user[moved] != BASE.user[crossed.source[moved]]).all()
        assert np.array_equal(np.sort(crossed.log.time_ms), BASE.time_ms)
    for wrong in alone("wrong_clocks"):
        moved = np.flatnonzero(wrong.behaviour > 0)
        assert np.array_equal(wrong.log.user[moved], BASE.user[wrong.source[moved]])
        assert (wrong.log.time_ms[moved] != BASE.time_ms[wrong.source[moved]]).mean() > 0.9


def test_a_household_is_fewer_accounts_and_a_wave_of_newcomers_more() -> None:
    for mixture in alone("household"):
        guests = set(BASE.user[mixture.source[mixture.behaviour > 0]].tolist())
        assert not guests & set(mixture.log.user.tolist())
        assert mixture.log.user.max() < USERS
    for mixture in (*alone("newcomers"), *alone("new_accounts")):
        assert (done(mixture).user >= USERS).all()
        assert np.array_equal(mixture.log.time_ms, BASE.time_ms)


def test_who_pauses_comes_back_later_and_other_hours_are_other_hours() -> None:
    for mixture in alone("long_pauses"):
        moved = np.flatnonzero(mixture.behaviour > 0)
        shift = mixture.log.time_ms[moved] - BASE.time_ms[mixture.source[moved]]
        assert (shift >= 0).all()
        assert shift.mean() > 3_600_000
    for mixture in alone("other_hours"):
        moved = np.flatnonzero(mixture.behaviour > 0)
        assert (
            np.abs(mixture.log.time_ms[moved] - BASE.time_ms[mixture.source[moved]]) <= 11 * 3_600_000 + 1_000
        ).all()


def test_a_launch_is_of_items_that_hardly_anyone_knew() -> None:
    popularity = np.bincount(BASE.item)
    for mixture in alone("item_launch"):
        items, count = np.unique(done(mixture).item, return_counts=True)
        assert popularity[items[count.argmax()]] <= np.median(popularity[popularity > 0])
