"""How people shop: sessions at their pace, back to what they liked, an order for what they came back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sie_online.behaviours import chance
from sie_online.behaviours.chance import Rng, about, one_of
from sie_online.behaviours.draft import Draft, added, joined
from sie_online.behaviours.log import Floats, Ints
from sie_online.behaviours.programme import types
from sie_online.behaviours.shop import Shop
from sie_online.behaviours.sources import beside, popular

RETURN_FACTOR = 3.0
"""How much likelier an item is converted that was looked at again."""


class Outing(NamedTuple):
    """A kind of session."""

    looks: float  # mean
    unevenness: float  # of their number, log scale
    revisits: float  # share of looks at an item of the session seen before
    orders: float  # conversions for each look
    asides: float  # share of looks at other items of the same shelf
    pace: float  # gaps, relative to the shop's
    baskets: float  # share of orders that come by way of a cart or the like


def outing(
    rng: Rng, looks: float, revisits: float, orders: float, asides: float = 0.0, pace: float | None = None
) -> Outing:
    """One whose further traits are drawn, its pace too if it is None."""
    own = one_of(rng, 1.0, about(rng, 0.3, 4)) if pace is None else pace
    return Outing(looks, rng.uniform(0, 1), revisits, orders, asides, own, rng.uniform(0, 0.8))


def outings(budget: int, kind: Outing) -> int:
    """How many make about ``budget`` events."""
    return max(1, round(budget / (max(1.0, kind.looks) * (1 + (1 + kind.baskets) * kind.orders))))


def shopped(shop: Shop, rng: Rng, users: Ints, at: Floats, kind: Outing, choose: Callable[[Ints], Ints]) -> Draft:
    """Sessions of ``users`` (s,) that begin ``at`` (s,); ``choose`` names an item for each session that it is given."""
    scale = rng.lognormal(-0.5 * kind.unevenness**2, kind.unevenness, len(users))
    lengths = 1 + rng.poisson(np.minimum(scale * max(0.0, kind.looks - 1), 20 * kind.looks))
    session, step = chance.steps(lengths)
    item = choose(session)
    item = np.where(rng.random(len(item)) < kind.asides, beside(shop, rng, item), item)
    again = (step > 0) & (rng.random(len(item)) < kind.revisits)
    seen = np.arange(len(item)) - step + np.floor(step * rng.random(len(item))).astype(np.int64)
    item = np.where(again, item[seen], item)
    gaps = kind.pace * shop.pauses[rng.integers(0, len(shop.pauses), len(item))]
    when = at[session] + chance.elapsed(gaps, session, step)
    looks = added(users[session], item, shop.log.etype[chance.pick(rng, shop.browsed, len(item))], when)
    base = kind.orders / (1 + (RETURN_FACTOR - 1) * kind.revisits)
    likely = np.minimum(1.0, base * np.where(again, RETURN_FACTOR, 1.0))
    bought = np.flatnonzero(rng.random(len(item)) < likely)
    return joined([looks, *_orders(shop, rng, kind, users[session[bought]], item[bought], when[bought])])


def liked(shop: Shop, rng: Rng, users: Ints) -> Ints:
    """An item that each of ``users`` (n,) looked at; one in demand for those who never did."""
    rows, first = shop.trails
    known = users < shop.users
    old = np.where(known, users, 0)
    width = np.where(known, first[old + 1] - first[old], 0)
    place = first[old] + np.floor(width * rng.random(len(users))).astype(np.int64)
    item = shop.log.item[rows[np.minimum(place, len(rows) - 1)]]
    return np.where(width > 0, item, popular(shop, rng, len(users)))


def _orders(shop: Shop, rng: Rng, kind: Outing, user: Ints, item: Ints, at: Floats) -> list[Draft]:
    """Conversions a while after ``at`` (n,), some by way of a cart or the like."""
    parts = []
    if shop.acts.size:
        first = np.flatnonzero(rng.random(len(user)) < kind.baskets)
        at = at + rng.lognormal(0.0, 1.2, len(user)) * about(rng, 5_000, 300_000)
        parts.append(added(user[first], item[first], types(shop, rng, "act", len(first)), at[first]))
    if shop.conversions.size:
        later = at + rng.lognormal(0.0, 1.5, len(user)) * about(rng, 20_000, 3_600_000)
        parts.append(added(user, item, types(shop, rng, "conversion", len(user)), later))
    return parts
