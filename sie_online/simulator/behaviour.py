"""What real people do on purpose: sessions of views, and what follows from them.

A view's *interest* decides how long it is looked at, whether the item is seen again, carted, saved, bought, returned.
"""

from __future__ import annotations

import numpy as np

from sie_online.moments import HOUR_MS, MINUTE_MS
from sie_online.simulator.columns import EventColumns
from sie_online.simulator.scenario import Scenario
from sie_online.simulator.world import Floats, Ints, Mask, World

VIEWS_PER_SESSION = 7.0
VIEW_SHARE = 0.89  # of genuine events; the rest are carts, favourites, purchases, returns and ratings
CANDIDATES = 4  # items considered before one is opened
STRAY = 0.15  # views outside the session's category
DWELL_MISSING = 0.08  # beacons get lost


def genuine(scenario: Scenario, world: World, rng: np.random.Generator) -> EventColumns:
    """All clean events, in no order; those that would fall outside the span are left out."""
    session_user, session_start = _sessions(scenario, world, rng)
    views = int(scenario.genuine_events * VIEW_SHARE)
    length = 1 + rng.geometric(1 / VIEWS_PER_SESSION, len(session_user))
    session = np.repeat(np.arange(len(session_user)), length)[:views]
    user = session_user[session]
    phase = (session_start[session] >= scenario.span_ms // 2).astype(np.int64)
    item = _browse(world, rng, user, session, phase)
    interest = _interest(world, user, item, phase)
    dwell_ms = rng.lognormal(np.log(9_000) + 0.35 * interest, 0.8)
    time_ms = scenario.start_ms + session_start[session] + _elapsed(rng, session, dwell_ms)
    dwell_ms[rng.random(views) < DWELL_MISSING] = np.nan
    position = rng.geometric(0.12, views)
    seen = EventColumns.of(time_ms, "view", user, item, session, position=position, dwell_ms=np.round(dwell_ms))
    events = EventColumns.concat([seen, *_consequences(rng, seen, interest)])
    return events.take(events.time_ms < scenario.end_ms)


def _sessions(scenario: Scenario, world: World, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """User and start (ms after the beginning) of every session, ordered by user and start."""
    n = 1 + int(scenario.genuine_events * VIEW_SHARE / VIEWS_PER_SESSION)
    user = rng.choice(world.users, n, p=world.activity)
    minutes = np.arange(scenario.span_ms // MINUTE_MS)
    rhythm = np.cumsum(_day_and_night(minutes / 60))
    at = np.searchsorted(rhythm, rng.random(n) * rhythm[-1]) * MINUTE_MS + rng.integers(0, MINUTE_MS, n)
    start = (at + (world.night_shift_h[user] * HOUR_MS).astype(np.int64)) % scenario.span_ms
    order = np.lexsort((start, user))
    return user[order], start[order]


def _day_and_night(hour: Floats) -> Floats:
    """Relative traffic: low at four in the morning, a plateau by day, a peak at nine in the evening."""
    clock = hour % 24
    day = 1 / (1 + np.exp(-(clock - 8))) - 1 / (1 + np.exp(-(clock - 23.5)))
    evening = np.exp(-0.5 * ((clock - 21) / 1.8) ** 2)
    rhythm: Floats = 0.08 + 0.7 * day + 0.9 * evening
    return rhythm


def _browse(world: World, rng: np.random.Generator, user: Ints, session: Ints, phase: Ints) -> Ints:
    """The item of every view: by category, popularity and taste, or one seen before."""
    n = len(user)
    category = _session_category(world, rng, user, session, phase)
    shelf = np.where(rng.random(n) < STRAY, world.category[world.popular(rng, n)], category)
    candidates = world.popular_in(rng, np.repeat(shelf[:, None], CANDIDATES, axis=1))
    fit = [world.affinity(phase, user, candidates[:, k]) + rng.gumbel(size=n) for k in range(CANDIDATES)]
    fresh = candidates[np.arange(n), np.argmax(fit, axis=0)]
    nth = np.arange(n) - np.searchsorted(user, user)  # of this user; users are in blocks
    back = np.where(rng.random(n) < 0.7, rng.geometric(0.3, n), rng.geometric(0.03, n))
    earlier = np.arange(n) - back
    liked = world.affinity(phase, user, fresh[earlier])
    again = (back <= nth) & (rng.random(n) < 0.5 / (1 + np.exp(-liked)))
    origin = np.where(again, earlier, np.arange(n))
    while (origin[origin] != origin).any():
        origin = origin[origin]
    item: Ints = fresh[origin]
    return item


def _session_category(world: World, rng: np.random.Generator, user: Ints, session: Ints, phase: Ints) -> Ints:
    first = np.flatnonzero(np.diff(session, prepend=-1))
    wish = 1.5 * world.taste[phase[first], user[first]] @ world.category_vectors.T
    wish += np.log(np.diff(world.mass[world.first_item]))
    chosen = np.argmax(wish + rng.gumbel(size=wish.shape), axis=1)
    category: Ints = chosen[np.cumsum(np.diff(session, prepend=-1) > 0) - 1]
    return category


def _interest(world: World, user: Ints, item: Ints, phase: Ints) -> Floats:
    """Log-odds scale: taste, repetition, the item's appeal, the person's readiness to buy, the price."""
    log_price = np.log(world.price)
    expensive = (log_price - log_price.mean()) / log_price.std()
    taste = 0.9 * world.affinity(phase, user, item) + 0.8 * world.appeal[phase, item]
    habit = 0.5 * np.minimum(seen_before(user, item), 4) + 0.8 * world.buying[user]
    interest: Floats = taste + habit - 0.3 * expensive[item]
    return interest


def seen_before(user: Ints, item: Ints) -> Ints:
    """How many earlier rows have the same user and item."""
    order = np.lexsort((np.arange(len(user)), item, user))
    fresh = (np.diff(user[order], prepend=-1) != 0) | (np.diff(item[order], prepend=-1) != 0)
    start = np.maximum.accumulate(np.where(fresh, np.arange(len(user)), 0))
    count = np.empty(len(user), np.int64)
    count[order] = np.arange(len(user)) - start
    return count


def _elapsed(rng: np.random.Generator, session: Ints, dwell_ms: Floats) -> Ints:
    """Time since the session's start: each view is looked at, then comes a pause; people differ by session in pace."""
    pace = rng.lognormal(0.0, 0.5, session[-1] + 1)[session]
    step = dwell_ms + pace * rng.lognormal(np.log(6_000), 1.0, len(session))
    total = np.cumsum(step) - step
    first = np.searchsorted(session, session)
    elapsed: Ints = (total - total[first]).astype(np.int64)
    return elapsed


def _consequences(rng: np.random.Generator, seen: EventColumns, interest: Floats) -> list[EventColumns]:
    n = len(seen)
    glance = np.nan_to_num(seen.dwell_ms, nan=8_000.0) * rng.random(n)
    carted = _chance(rng, interest - 4.4)
    saved = _chance(rng, 0.8 * interest - 4.9)
    bought = _chance(rng, interest - np.where(carted, 2.4, 6.6))
    wait = np.where(carted, rng.lognormal(np.log(18 * MINUTE_MS), 1.6, n), rng.lognormal(np.log(5 * MINUTE_MS), 1.1, n))
    wait = np.clip(wait, 20_000, 40 * HOUR_MS)
    purchases = _first(_after(seen, bought, wait, "purchase"))
    returned = rng.random(len(purchases)) < 0.09
    rated = rng.random(len(purchases)) < 0.08
    stars = np.where(returned, rng.integers(1, 4, len(purchases)), rng.integers(3, 6, len(purchases)))
    later = rng.lognormal(np.log(5 * HOUR_MS), 0.8, (2, len(purchases)))
    ratings = EventColumns.of(
        (purchases.time_ms + later[1])[rated], "rating", purchases.user[rated], purchases.item[rated],
        purchases.session[rated], rating=stars[rated],
    )  # fmt: skip
    return [
        _first(_after(seen, carted, glance, "cart")),
        _first(_after(seen, saved, glance, "favorite")),
        purchases,
        _after(purchases, returned, later[0], "return"),
        ratings,
    ]


def _chance(rng: np.random.Generator, log_odds: Floats) -> Mask:
    return rng.random(len(log_odds)) < 1 / (1 + np.exp(-log_odds))


def _after(cause: EventColumns, where: Mask, wait_ms: Floats, etype: str) -> EventColumns:
    at = cause.time_ms + wait_ms.astype(np.int64)
    return EventColumns.of(at[where], etype, cause.user[where], cause.item[where], cause.session[where])


def _first(events: EventColumns) -> EventColumns:
    """The earliest event of every (user, item): nobody carts or buys the same thing over and over."""
    in_time = events.take(np.argsort(events.time_ms, kind="stable"))
    pair = in_time.user * (int(in_time.item.max(initial=0)) + 1) + in_time.item
    return in_time.take(np.sort(np.unique(pair, return_index=True)[1]))
