"""Families that are odd and genuine and add nothing: lives as they were, under other accounts or at other times."""

from __future__ import annotations

import numpy as np

from sie_online.behaviours import chance
from sie_online.behaviours.chance import Rng, happens, whole
from sie_online.behaviours.draft import Draft, moved
from sie_online.behaviours.log import Ints
from sie_online.behaviours.shop import Shop
from sie_online.behaviours.timing import DAY_MS, HOUR_MS


def household(shop: Shop, rng: Rng, budget: int) -> Draft:
    """People share an account: what one of them did is on the other's."""
    users = rng.permutation(np.flatnonzero(shop.activity))
    guests, hosts = users[: len(users) // 2], users[len(users) // 2 :]
    guests = _as_many(shop, guests, budget)
    host = np.full(shop.users, -1)
    host[guests] = hosts[np.arange(len(guests)) // whole(rng, 1, 3)] if len(guests) else -1
    rows = np.flatnonzero(host[shop.log.user] >= 0)
    return moved(shop, rows, user=host[shop.log.user[rows]])


def new_accounts(shop: Shop, rng: Rng, budget: int) -> Draft:
    """People begin anew under another account, from a moment on or, after some sessions, for good."""
    rows, run = _pieces(shop, rng, budget, to_the_end=True)
    return moved(shop, rows, user=shop.users + run)


def newcomers(shop: Shop, rng: Rng, budget: int) -> Draft:
    """A wave of people who stay for a session or a few."""
    rows, run = _pieces(shop, rng, budget, to_the_end=False)
    return moved(shop, rows, user=shop.users + run)


def long_pauses(shop: Shop, rng: Rng, budget: int) -> Draft:
    """People return after a long time: their later events are later still, at the hours they keep."""
    rows, run = _pieces(shop, rng, budget, to_the_end=True)
    newest = np.zeros(int(run.max()) + 1)
    np.maximum.at(newest, run, shop.at[rows])
    room = np.maximum(shop.span - newest, 0.0)
    shift = room * rng.uniform(0.3, 1.0, len(room))
    days = np.floor(shift / DAY_MS) * DAY_MS
    return moved(shop, rows, at=shop.at[rows] + np.where(days > 0, days, shift)[run])


def other_hours(shop: Shop, rng: Rng, budget: int) -> Draft:
    """People of another shift or another part of the world: all they do is some hours earlier or later."""
    users = _as_many(shop, rng.permutation(np.flatnonzero(shop.activity)), budget)
    shift = np.zeros(shop.users)
    common = rng.uniform(-11, 11) if happens(rng, 0.5) else rng.uniform(-11, 11, len(users))
    shift[users] = np.clip(common * HOUR_MS, -0.4 * shop.span, 0.4 * shop.span)
    rows = np.flatnonzero(shift[shop.log.user] != 0)
    at = shop.at[rows] + shift[shop.log.user[rows]]
    return moved(shop, rows, at=np.where((at < 0) | (at >= shop.span), shop.at[rows], at))


def _as_many(shop: Shop, users: Ints, budget: int) -> Ints:
    """The first of ``users`` that have about ``budget`` events together."""
    return users[: int(np.searchsorted(np.cumsum(shop.activity[users]), budget)) + 1]


def _pieces(shop: Shop, rng: Rng, budget: int, *, to_the_end: bool) -> tuple[Ints, Ints]:
    """Pieces of lives, one of an account, that begin with a session which is not its first; ``budget`` events or so.

    Returns:
        Rows (m,), and the piece that each is of, from 0.
    """
    first, last = shop.sittings
    later = np.flatnonzero(shop.rank[shop.by_user[first]] > 0)
    begin = first[rng.permutation(later if later.size else np.arange(len(first)))]
    user = shop.log.user[shop.by_user[begin]]
    begin = begin[np.sort(np.unique(user, return_index=True)[1])]
    user = shop.log.user[shop.by_user[begin]]
    end = shop.user_first[user + 1]
    if not to_the_end:
        sitting = np.searchsorted(first, begin) + rng.geometric(rng.uniform(0.3, 1.0), len(begin)) - 1
        end = np.minimum(end, last[np.minimum(sitting, len(last) - 1)])
    count = int(np.searchsorted(np.cumsum(end - begin), budget)) + 1
    run, step = chance.steps((end - begin)[:count])
    return shop.by_user[begin[run] + step], run


LIVES = {family.__name__: family for family in (household, new_accounts, newcomers, long_pauses, other_hours)}
