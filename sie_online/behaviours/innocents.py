"""Families that are odd and genuine: people who follow their own taste in unusual ways, more than they did before."""

from __future__ import annotations

import numpy as np

from sie_online.behaviours import chance
from sie_online.behaviours.chance import Rng, about, happens, one_of, whole
from sie_online.behaviours.draft import Draft, added
from sie_online.behaviours.log import Floats, Ints
from sie_online.behaviours.programme import accounts
from sie_online.behaviours.shop import Shop
from sie_online.behaviours.shopping import Outing, liked, outing, outings, shopped
from sie_online.behaviours.sources import beside, next_to, popular
from sie_online.behaviours.timing import DAY_MS, HOUR_MS, Window, human


def flash_sale(shop: Shop, rng: Rng, budget: int) -> Draft:
    """For some hours many come for a few items, and many of them convert."""
    items = chance.some(rng, shop.catalogue, whole(rng, 1, 25))
    if happens(rng, 0.5):
        items = np.unique(popular(shop, rng, len(items)))
    kind = outing(rng, about(rng, 1, 5), rng.uniform(0, 0.4), about(rng, 0.03, 0.7))
    return _occasion(shop, rng, budget, items, kind)


def viral_item(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Word of an item goes round: a rise and a long decline, of whom few convert."""
    items = chance.some(rng, shop.catalogue, whole(rng, 1, 3))
    return _occasion(
        shop,
        rng,
        budget,
        items,
        outing(rng, about(rng, 1, 6), rng.uniform(0, 0.4), rng.uniform(0, 0.06), rng.uniform(0.1, 0.9)),
    )


def item_launch(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Hardly known items get their first public, who look around on the same shelf."""
    order = shop.catalogue[np.argsort(shop.popularity[shop.catalogue], kind="stable")]
    items = chance.some(rng, order[: max(5, len(order) // 3)], whole(rng, 1, 40))
    return _occasion(
        shop,
        rng,
        budget,
        items,
        outing(rng, about(rng, 1.5, 12), rng.uniform(0.1, 0.5), about(rng, 0.01, 0.2), rng.uniform(0.2, 0.7)),
    )


def _occasion(shop: Shop, rng: Rng, budget: int, items: Ints, kind: Outing) -> Draft:
    count = outings(budget, kind)
    users = _visitors(shop, rng, count, rng.uniform(0, 0.5) if happens(rng, 0.5) else 0.0)
    begin = rng.uniform(0.05, 0.9) * shop.span
    if kind.asides:
        at = begin + rng.exponential(about(rng, 0.02, 0.3) * shop.span, count)
    else:
        at = begin + about(rng, 0.5, 30) * HOUR_MS * rng.beta(1, 2, count)
    begin_again = at >= shop.span
    at[begin_again] = begin + (shop.span - begin) * rng.random(int(begin_again.sum()))
    return shopped(shop, rng, users, at, kind, lambda session: chance.pick(rng, items, len(session)))


def bulk_buying(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Resellers: accounts that come back to a shelf and take much of it."""
    kind = outing(rng, about(rng, 2, 25), rng.uniform(0, 0.3), about(rng, 0.05, 0.6))
    users, at = _regulars(shop, rng, outings(budget, kind), whole(rng, 3, 15))
    leads = _lead_of(shop, rng, users)
    return shopped(shop, rng, users, at, kind, lambda session: beside(shop, rng, leads[session]))


def gift_shopping(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Once, before a feast, people look long for something that they never looked for; some find it."""
    kind = outing(rng, about(rng, 3, 30), rng.uniform(0.2, 0.6), one_of(rng, 0.0, rng.uniform(0.01, 0.1)))
    count = outings(budget, kind)
    first = shop.span * rng.uniform(0, 0.6)
    at = human(shop, rng, count, Window(first, first + shop.span * rng.uniform(0.1, 0.4)))
    leads = popular(shop, rng, count)
    return shopped(shop, rng, _visitors(shop, rng, count, 0.0), at, kind, lambda own: beside(shop, rng, leads[own]))


def price_comparison(shop: Shop, rng: Rng, budget: int) -> Draft:
    """A shelf is gone through and back, for days, by people who end with one order or none."""
    kind = outing(rng, about(rng, 5, 50), rng.uniform(0.3, 0.75), rng.uniform(0, 0.03))
    users, at = _regulars(shop, rng, outings(budget, kind), whole(rng, 2, 6))
    leads = _lead_of(shop, rng, users)
    return shopped(shop, rng, users, at, kind, lambda session: beside(shop, rng, leads[session]))


def repeat_buying(shop: Shop, rng: Rng, budget: int) -> Draft:
    """What is used up is bought again, at intervals, after a glance."""
    kind = outing(rng, about(rng, 1, 5), rng.uniform(0, 0.4), about(rng, 0.1, 1.0))
    count, each = outings(budget, kind), whole(rng, 3, 12)
    users = accounts(shop, rng, "anyone", max(1, count // each))
    interval = shop.span / each * rng.uniform(0.7, 1.0, len(users))
    turn = np.tile(np.arange(each), len(users)) + 0.08 * rng.normal(size=each * len(users))
    at = np.repeat(interval, each) * (turn + np.repeat(rng.random(len(users)), each))
    owner = np.repeat(users, each)
    staple = liked(shop, rng, users)[np.repeat(np.arange(len(users)), each)]
    kept = (at >= 0) & (at < shop.span)
    owner, at, staple = owner[kept], at[kept], staple[kept]
    return shopped(shop, rng, owner, at, kind, lambda session: staple[session])


def window_shopping(shop: Shop, rng: Rng, budget: int) -> Draft:
    """One long evening from item to item, of people who follow what others looked at next, and their own past."""
    kind = outing(rng, about(rng, 15, 120), rng.uniform(0.05, 0.5), rng.uniform(0, 0.02))
    count = outings(budget, kind)
    users = _visitors(shop, rng, count, 0.0)

    def wander(session: Ints) -> Ints:
        own = liked(shop, rng, users[session])
        return np.where(rng.random(len(own)) < 0.5, next_to(shop, rng, own), beside(shop, rng, own))

    return shopped(shop, rng, users, human(shop, rng, count, Window(0.0, shop.span)), kind, wander)


def many_tabs(shop: Shop, rng: Rng, budget: int) -> Draft:
    """Whatever of a shelf looks good is opened at once, in seconds, and read later."""
    kind = outing(rng, about(rng, 4, 30), rng.uniform(0, 0.3), rng.uniform(0, 0.05), pace=about(rng, 0.005, 0.2))
    users, at = _regulars(shop, rng, outings(budget, kind), whole(rng, 1, 8))
    leads = liked(shop, rng, users)
    return shopped(shop, rng, users, at, kind, lambda session: beside(shop, rng, leads[session]))


def whims(shop: Shop, rng: Rng, budget: int) -> Draft:
    """What nobody has a name for: every trait of the outings at random, but they are where the account's taste is."""
    orders = one_of(rng, 0.0, rng.uniform(0, 0.05), about(rng, 0.03, 0.5))
    asides = one_of(rng, 0.0, rng.uniform(0, 0.6))
    kind = outing(rng, about(rng, 1, 80), one_of(rng, 0.0, rng.uniform(0, 0.7)), orders, asides, about(rng, 0.05, 5))
    count = outings(budget, kind)
    if happens(rng, 0.5):
        users, at = _regulars(shop, rng, count, whole(rng, 1, 40))
    else:
        users = _visitors(shop, rng, count, one_of(rng, 0.0, rng.uniform(0, 0.5)))
        first = shop.span * rng.uniform(0, 0.8)
        at = human(shop, rng, count, Window(first, first + (shop.span - first) * rng.uniform(0.1, 1.0)))
    leads, taste = _lead_of(shop, rng, users), rng.dirichlet(np.full(4, 0.5))

    def choose(session: Ints) -> Ints:
        lead = leads[session]
        any_of = (lead, liked(shop, rng, users[session]), beside(shop, rng, lead), next_to(shop, rng, lead))
        return np.choose(rng.choice(4, len(lead), p=taste), any_of)

    return shopped(shop, rng, users, at, kind, choose)


def enthusiasts(shop: Shop, rng: Rng, budget: int) -> Draft:
    """A few people are several times as active as they were: with what people who like the same did."""
    fans = accounts(shop, rng, "active", max(1, round(budget / about(rng, 60, 1_500))))
    first, last = shop.sittings
    lead_shelf = shop.shelf[shop.log.item[shop.by_user[first]]]
    order = np.argsort(lead_shelf, kind="stable")
    owner = fans[rng.integers(0, len(fans), min(budget, 4 * len(first)))]
    taste = shop.shelf[liked(shop, rng, owner)]
    low, high = (np.searchsorted(lead_shelf[order], taste, side) for side in ("left", "right"))
    known = high > low
    owner, low, high = owner[known], low[known], high[known]
    chosen = order[low + np.floor((high - low) * rng.random(len(low))).astype(np.int64)]
    fresh = np.sort(np.unique(owner * np.int64(len(first)) + chosen, return_index=True)[1])
    owner, chosen = owner[fresh], chosen[fresh]
    count = int(np.searchsorted(np.cumsum((last - first)[chosen]), budget)) + 1
    owner, chosen = owner[:count], chosen[:count]
    run, step = chance.steps((last - first)[chosen])
    rows = shop.by_user[first[chosen][run] + step]
    shift = DAY_MS * rng.integers(-3, 4, len(chosen)) + rng.uniform(-2, 2, len(chosen)) * HOUR_MS
    at = shop.at[rows] + shift[run]
    outside = (at < 0) | (at >= shop.span)
    at = np.where(outside, shop.at[rows] + rng.uniform(-1, 1, len(chosen))[run] * HOUR_MS, at)
    return added(owner[run], shop.log.item[rows], shop.log.etype[rows], at)


def _visitors(shop: Shop, rng: Rng, count: int, new: float) -> Ints:
    """Whose each of ``count`` outings is: of accounts as active as they are, and a share of ``new`` ones, once each."""
    users = shop.log.user[rng.integers(0, shop.n, count)]
    fresh = np.flatnonzero(rng.random(count) < new)
    users[fresh] = shop.users + np.arange(len(fresh))
    return users


def _regulars(shop: Shop, rng: Rng, count: int, each: int) -> tuple[Ints, Floats]:
    """``count`` outings at the shop's hours of accounts that make about ``each`` of them."""
    users = accounts(shop, rng, one_of(rng, "anyone", "active"), max(1, count // each))
    return users[rng.integers(0, len(users), count)], human(shop, rng, count, Window(0.0, shop.span))


def _lead_of(shop: Shop, rng: Rng, users: Ints) -> Ints:
    """An item of the shelf that each account is after, the same in all of its outings."""
    known, place = np.unique(users, return_inverse=True)
    return liked(shop, rng, known)[place]


OUTINGS = {
    family.__name__: family
    for family in (
        flash_sale, viral_item, item_launch, bulk_buying, gift_shopping, price_comparison, repeat_buying,
        window_shopping, many_tabs, whims, enthusiasts,
    )
}  # fmt: skip
