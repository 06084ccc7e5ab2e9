"""Clean logs of random shops, of which everything is drawn: what a model that must fit any shop is fitted on.

`genuine` (``behaviour``) is one shop, drawn in detail. These are many, in outline: how many people, items and
categories there are, how popularity and activity are spread, how long sessions are and how fast, how often people
return to what they saw, leave their way, act and order, and how late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import TYPE_CODES
from sie_online.moments import HOUR_MS
from sie_online.simulator.behaviour import seen_before
from sie_online.simulator.scenario import MONDAY_MS
from sie_online.simulator.world import Floats, Ints, Mask

DAY_MS = 24 * HOUR_MS
LEAST_EVENTS, MOST_EVENTS = 20_000, 45_000
PERIODS = (2, 4, 7, 9, 14, 30)
"""Days that a log covers."""
VIEW, CART, FAVORITE, PURCHASE = (TYPE_CODES[name] for name in ("view", "cart", "favorite", "purchase"))


class ShopLog(NamedTuple):
    """A log in order of time: codes from 0 on, event types by ``contracts.TYPE_CODES``."""

    user: Ints  # (n,)
    item: Ints
    category: Ints
    etype: Ints
    time_ms: Ints


@dataclass(frozen=True)
class _Shop:
    """What was drawn of a shop."""

    days: int
    activity: Floats  # (users,), sum 1
    favourites: Ints  # (users, some): categories that a person comes for
    start: Floats  # (users,): share of the period that passes before a person comes
    pace: Floats  # (users,)
    eagerness: Floats  # (users,): how readily a person acts
    shift_h: Floats  # (users,)
    category: Ints  # (items,)
    first: Ints  # (categories + 1,): items are ordered by category
    mass: Floats  # (items + 1,): running sum of popularity
    hours: Floats  # (24,): running sum of traffic over the day
    session_events: float
    gap_s: float
    gap_spread: float
    again: float  # of steps that go back to what the session has seen
    back: float  # that go back to what the person saw in earlier sessions
    leap: float  # that leave the category
    stray: float  # sessions that begin outside the favourites
    acts: tuple[tuple[int, float, float], ...]  # type, probability per view, median delay in s


def random_shop(seed: int) -> ShopLog:
    """The log of the shop that ``seed`` draws, without noise; in whole seconds or in milliseconds."""
    rng = np.random.default_rng([seed, 20_251])
    events = int(rng.integers(LEAST_EVENTS, MOST_EVENTS))
    shop = _drawn(rng, events)
    user, time_ms, item, seen = _views(shop, rng, int(events * 0.9))
    parts = [(user, item, np.full(len(user), VIEW), time_ms)]
    for etype, chance, delay_s in shop.acts:
        odds = chance * shop.eagerness[user] * (1.0 + 0.8 * np.minimum(seen, 3))
        acted = _first_of_pair(user, item, rng.random(len(user)) < odds)
        wait = delay_s * rng.lognormal(0.0, 1.3, int(acted.sum()))
        at = time_ms[acted] + (1_000 * np.maximum(wait, 2.0)).astype(np.int64)
        parts.append((user[acted], item[acted], np.full(int(acted.sum()), etype), at))
    users, items, types, times = (np.concatenate(column) for column in zip(*parts, strict=True))
    if rng.random() < 0.5:
        times = times // 1_000 * 1_000
    order = np.argsort(times, kind="stable")
    order = order[times[order] < MONDAY_MS + shop.days * DAY_MS]
    return ShopLog(users[order], items[order], shop.category[items[order]], types[order], times[order])


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform in the logarithm."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _drawn(rng: np.random.Generator, events: int) -> _Shop:
    users = max(150, int(events / _between(rng, 8, 120)))
    items = int(_between(rng, 600, 1.2 * events))
    categories = min(int(_between(rng, 10, 1_500)), items // 4)
    category = np.sort(rng.choice(categories, items, p=_shares(np.arange(1, categories + 1) ** -rng.uniform(0.3, 1.0))))
    popularity = rng.permutation((np.arange(items) + _between(rng, 1, 50)) ** -rng.uniform(0.4, 1.2))
    hour = np.arange(24)
    rhythm = np.exp(1.6 * rng.uniform(0.4, 1.0) * np.cos((hour - rng.uniform(9, 21)) / 24 * 2 * np.pi))
    newcomers = rng.random(users) < rng.uniform(0.1, 0.5)
    return _Shop(
        days=int(rng.choice(PERIODS)),
        activity=_shares(rng.lognormal(0.0, rng.uniform(0.7, 1.4), users)),
        favourites=rng.choice(category, (users, int(rng.integers(1, 8)))),
        start=np.where(newcomers, rng.uniform(0, 0.9, users), 0.0),
        pace=rng.lognormal(0.0, rng.uniform(0.2, 0.7), users),
        eagerness=rng.lognormal(0.0, rng.uniform(0.3, 1.0), users),
        shift_h=rng.normal(0.0, rng.uniform(0.5, 3.5), users),
        category=category,
        first=np.searchsorted(category, np.arange(categories + 1)),
        mass=np.concatenate([[0.0], np.cumsum(_shares(popularity))]),
        hours=np.cumsum(_shares(rhythm)),
        session_events=_between(rng, 2.5, 16),
        gap_s=_between(rng, 6, 70),
        gap_spread=rng.uniform(0.8, 1.6),
        again=rng.uniform(0.03, 0.4),
        back=rng.uniform(0.02, 0.25),
        leap=rng.uniform(0.02, 0.35),
        stray=rng.uniform(0.05, 0.5),
        acts=_acts(rng),
    )


def _acts(rng: np.random.Generator) -> tuple[tuple[int, float, float], ...]:
    """Event types beside views, how often and how late; some shops send none but orders, or none at all."""
    all_ = (
        (CART, _between(rng, 0.01, 0.12), _between(rng, 10, 200)),
        (FAVORITE, _between(rng, 0.005, 0.06), _between(rng, 10, 120)),
        (PURCHASE, _between(rng, 0.004, 0.06), _between(rng, 60, 20_000)),
    )
    kind = rng.random()
    return all_ if kind < 0.7 else all_[2:] if kind < 0.9 else ()


def _shares(values: NDArray[Any]) -> Floats:
    return np.asarray(values / values.sum())


def _views(shop: _Shop, rng: np.random.Generator, n: int) -> tuple[Ints, Ints, Ints, Ints]:
    """User, time, item of every view, and how often the user had seen the item; users in blocks, in order of time."""
    sessions = 1 + int(n / shop.session_events)
    who = rng.choice(len(shop.activity), sessions, p=shop.activity)
    begin = _beginnings(shop, rng, who)
    order = np.lexsort((begin, who))
    who, begin = who[order], begin[order]
    length = rng.geometric(1 / shop.session_events, sessions)
    session = np.repeat(np.arange(sessions), length)
    user = who[session]
    gap = 1_000 * shop.gap_s * shop.pace[user] * rng.lognormal(0.0, shop.gap_spread, len(user))
    passed = np.cumsum(gap) - gap
    first = np.searchsorted(session, session)
    time_ms = begin[session] + (passed - passed[first]).astype(np.int64)
    item = _items(shop, rng, user, session, first)
    return user, time_ms, item, seen_before(user, item)


def _beginnings(shop: _Shop, rng: np.random.Generator, who: Ints) -> Ints:
    day = np.floor(rng.uniform(shop.start[who] * shop.days, shop.days))
    hour = np.searchsorted(shop.hours, rng.random(len(who))) + rng.random(len(who)) + shop.shift_h[who]
    return MONDAY_MS + ((day * 24 + hour % 24) * HOUR_MS).astype(np.int64)


def _items(shop: _Shop, rng: np.random.Generator, user: Ints, session: Ints, first: Ints) -> Ints:
    """A new item of the session's category, or of another, or one that was seen before."""
    n, sessions = len(user), int(session[-1]) + 1
    anywhere = shop.category[_by_popularity(shop, rng.random(sessions))]
    begun = np.searchsorted(session, np.arange(sessions))
    favourite = shop.favourites[user[begun], rng.integers(shop.favourites.shape[1], size=sessions)]
    wish = np.where(rng.random(sessions) < shop.stray, anywhere, favourite)
    leaps = rng.random(n) < shop.leap
    shelf = np.where(leaps, shop.category[_by_popularity(shop, rng.random(n))], wish[session])
    low, high = shop.mass[shop.first[shelf]], shop.mass[shop.first[shelf + 1]]
    fresh = _by_popularity(shop, low + rng.random(n) * (high - low))
    nth, of_user = np.arange(n) - first, np.arange(n) - np.searchsorted(user, user)
    chance = rng.random(n)
    back = np.where(chance < shop.again, rng.geometric(0.4, n), nth + rng.geometric(0.1, n))
    returns = (chance < shop.again + shop.back) & (back <= np.where(chance < shop.again, nth, of_user))
    origin = np.where(returns, np.arange(n) - back, np.arange(n))
    while (origin[origin] != origin).any():
        origin = origin[origin]
    return np.asarray(fresh[origin])


def _by_popularity(shop: _Shop, level: Floats) -> Ints:
    return np.minimum(np.searchsorted(shop.mass, level, side="right") - 1, len(shop.category) - 1)


def _first_of_pair(user: Ints, item: Ints, chosen: Mask) -> Mask:
    """The first chosen view of every user and item: nobody orders the same thing over and over."""
    rows = np.flatnonzero(chosen)
    pair = user[rows] * (int(item.max(initial=0)) + 1) + item[rows]
    found = np.zeros(len(user), np.bool_)
    found[rows[np.unique(pair, return_index=True)[1]]] = True
    return found
