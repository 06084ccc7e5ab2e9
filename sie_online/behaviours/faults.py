"""Families that sit upon what really happened: faults of an application, and deeds fastened to real views."""

from __future__ import annotations

import numpy as np

from sie_online.behaviours import chance
from sie_online.behaviours.chance import Rng, about, happens, one_of
from sie_online.behaviours.draft import NONE, Draft, added, joined, moved
from sie_online.behaviours.log import Floats, Ints
from sie_online.behaviours.programme import types
from sie_online.behaviours.shop import Shop
from sie_online.behaviours.sources import beside, next_to, popular
from sie_online.behaviours.timing import DAY_MS, HOUR_MS
from sie_online.contracts import RETURN_CODE


def retries(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Events of any type are delivered again, once or a few times, seconds or hours later."""
    again = rng.geometric(one_of(rng, 1.0, rng.uniform(0.3, 0.9)), budget)
    rows = np.repeat(_affected(shop, rng, np.arange(shop.n), budget), again[: min(budget, shop.n)])[:budget]
    at = shop.at[rows] + rng.exponential(about(rng, 300, 6 * HOUR_MS), len(rows))
    return added(shop.log.user[rows], shop.log.item[rows], shop.log.etype[rows], at)


def stuck_pages(shop: Shop, rng: Rng, budget: int) -> Draft:
    """A page loads itself again and again."""
    rows, run, step = _bursts(shop, rng, budget, about(rng, 2, 60))
    gap = about(rng, 500, 120_000) * rng.lognormal(0.0, one_of(rng, 0.02, rng.uniform(0.05, 0.6)), len(run))
    at = shop.at[rows][run] + gap + chance.elapsed(gap, run, step)
    return added(shop.log.user[rows][run], shop.log.item[rows][run], shop.log.etype[rows][run], at)


def prefetching(shop: Shop, rng: Rng, budget: int) -> Draft:
    """With a page that was opened come pages that nobody asked for."""
    rows, run, step = _bursts(shop, rng, budget, about(rng, 1, 15))
    lead = shop.log.item[rows][run]
    match one_of(rng, "shelf", "next", "popular", "recent"):
        case "shelf":
            item = beside(shop, rng, lead)
        case "next":
            item = next_to(shop, rng, lead)
        case "popular":
            item = popular(shop, rng, len(run))
        case _:
            place = np.searchsorted(shop.browsed, rows)[run]
            item = shop.log.item[shop.browsed[np.maximum(place - rng.integers(1, 200, len(run)), 0)]]
    at = shop.at[rows][run] + rng.exponential(about(rng, 50, 3_000), len(rows))[run]
    at = at + chance.elapsed(rng.exponential(about(rng, 20, 3_000), len(run)), run, step)
    return added(shop.log.user[rows][run], item, shop.log.etype[rows][run], at)


def resynchronising(shop: Shop, rng: Rng, budget: int) -> Draft:
    """What an account did of late is sent once more, at once and in whatever order."""
    back = max(2, round(about(rng, 5, 300)))
    last = _affected(shop, rng, np.arange(shop.n), max(1, 4 * budget // back))
    lengths = np.minimum(shop.rank[last] + 1, back)
    count = int(np.searchsorted(np.cumsum(lengths), budget)) + 1
    last, lengths = last[:count], lengths[:count]
    run, step = chance.steps(lengths)
    match one_of(rng, "forth", "back", "shuffled"):
        case "forth":
            place = step
        case "back":
            place = lengths[run] - 1 - step
        case _:
            place = np.floor(lengths[run] * rng.random(len(run))).astype(np.int64)
    newest = shop.user_first[shop.log.user[last]] + shop.rank[last]
    rows = shop.by_user[newest[run] - place]
    wait, room = rng.exponential(about(rng, 60_000, 3 * DAY_MS), len(last)), shop.span - shop.at[last]
    begin = shop.at[last] + np.where(wait < room, wait, room * rng.random(len(last)))
    at = begin[run] + chance.elapsed(rng.exponential(about(rng, 20, 20_000), len(run)), run, step)
    return added(shop.log.user[rows], shop.log.item[rows], shop.log.etype[rows], at)


def phantom_deeds(shop: Shop, rng: Rng, budget: int) -> Draft:
    """A look at an item is counted as a cart or an order as well."""
    rows = _affected(shop, rng, shop.browsed, budget)
    kind = one_of(rng, "act", "conversion", "conversion")
    at = shop.at[rows] + rng.exponential(about(rng, 300, HOUR_MS), len(rows))
    etype = types(shop, rng, kind, len(rows))  # type: ignore[arg-type]
    return added(shop.log.user[rows], shop.log.item[rows], etype, at)


def late_orders(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Orders and what follows them are put down to views of long ago; some of them come back."""
    shows_returns = bool((shop.log.etype == RETURN_CODE).any())
    returned = one_of(rng, 0.0, rng.uniform(0.1, 1.0)) if shows_returns else 0.0
    old = shop.browsed[shop.at[shop.browsed] < 0.8 * shop.span]
    rows = _affected(shop, rng, old, max(1, round(budget / (1 + returned))))
    at = shop.at[rows] + (shop.span - shop.at[rows]) * rng.uniform(0.1, 1.0, len(rows)) ** one_of(rng, 1.0, 3.0)
    user = shop.log.user[rows]
    if happens(rng, 0.4):  # whoever looked, others order
        user = rng.permutation(user)
    orders = added(user, shop.log.item[rows], types(shop, rng, "conversion", len(rows)), at)
    back = np.flatnonzero(rng.random(len(rows)) < returned)
    after = at[back] + rng.exponential(about(rng, HOUR_MS, 4 * DAY_MS), len(back))
    return joined([orders, added(user[back], shop.log.item[rows][back], RETURN_CODE, after)])


def crossed_accounts(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Sessions, or single events, are put down to somebody else."""
    present = np.flatnonzero(shop.activity)
    if len(present) < 2:
        return NONE
    first, last = shop.sittings
    if happens(rng, 0.5):
        chosen = rng.permutation(len(first))
        chosen = chosen[: int(np.searchsorted(np.cumsum((last - first)[chosen]), budget)) + 1]
    else:
        chosen = chance.some(rng, np.arange(shop.n), budget)
        first, last = np.arange(shop.n), np.arange(1, shop.n + 1)
    run, step = chance.steps((last - first)[chosen])
    rows = shop.by_user[first[chosen][run] + step]
    whose = np.searchsorted(present, shop.log.user[rows[np.flatnonzero(step == 0)]])
    others = present[(whose + rng.integers(1, len(present), len(chosen))) % len(present)]
    return moved(shop, rows, user=others[run])


def wrong_clocks(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Devices keep what happened and stamp it when they send it, or their clocks are off: events lose their order."""
    share = rng.uniform(0.3, 1.0)
    users = rng.permutation(np.flatnonzero(shop.activity))
    users = users[: int(np.searchsorted(np.cumsum(shop.activity[users] * share), budget)) + 1]
    rows = np.flatnonzero(np.isin(shop.log.user, users) & (rng.random(shop.n) < share))
    width = about(rng, 0.02, 0.5) * shop.span
    match one_of(rng, "sent", "sent", "adrift", "per_type"):
        case "sent":
            at = _sent(shop, rng, rows, width)
        case "adrift":
            at = shop.at[rows] + rng.uniform(-width, width, len(rows))
        case _:
            at = shop.at[rows] + _per_type(shop, rng, rows, width)
    return moved(shop, rows, at=np.where((at < 0) | (at >= shop.span), shop.span * rng.random(len(rows)), at))


def _sent(shop: Shop, rng: Rng, rows: Ints, every: float) -> Floats:
    """The next moment at which each row's account sends what it kept, and how long that takes."""
    phase = rng.uniform(0, every, shop.users)[shop.log.user[rows]]
    due = (np.floor((shop.at[rows] + phase) / every) + 1) * every - phase
    return np.asarray(due + rng.exponential(about(rng, 50, 600_000), len(rows)), np.float64)


def _per_type(shop: Shop, rng: Rng, rows: Ints, width: float) -> Floats:
    """A shift for each account and type of event: views and orders no longer go together."""
    shifts = rng.uniform(-width, width, (shop.users, int(shop.log.etype.max()) + 1))
    return np.asarray(shifts[shop.log.user[rows], shop.log.etype[rows]], np.float64)


def _affected(shop: Shop, rng: Rng, rows: Ints, count: int) -> Ints:
    """Up to ``count`` of ``rows``, of a share of the accounts and of the time, in a random order."""
    users = rng.random(shop.users) < about(rng, 0.1, 1.0)
    start = rng.uniform(0, 0.6) if happens(rng, 0.5) else 0.0
    stop = rng.uniform(start + 0.2, 1.0) if happens(rng, 0.5) else 1.0
    at = shop.at[rows]
    found = rows[users[shop.log.user[rows]] & (at >= start * shop.span) & (at <= stop * shop.span)]
    return chance.some(rng, found if len(found) >= count else rows, count)


def _bursts(shop: Shop, rng: Rng, budget: int, mean: float) -> tuple[Ints, Ints, Ints]:
    """Rows of samples (r,), each with the run and step of what comes with it."""
    rows = _affected(shop, rng, shop.browsed, max(1, round(budget / mean)))
    if happens(rng, 0.5):
        lengths = np.full(len(rows), max(1, round(mean)))
    else:
        lengths = np.maximum(1, rng.poisson(mean, len(rows)))
    return rows, *chance.steps(lengths)


FAULTS = {
    family.__name__: family
    for family in (
        retries, stuck_pages, prefetching, resynchronising, phantom_deeds, late_orders, crossed_accounts, wrong_clocks,
    )
}  # fmt: skip
