"""How people shop: sessions at their pace, back to what they liked, an order for what they came back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sie_online.behaviours import chance
from sie_online.behaviours.chance import Rng, about
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
    revisits: float  # share of looks at an item of the session seen before
    orders: float  # conversions for each look
    asides: float  # share of looks at other items of the same shelf


def outings(budget: int, outing: Outing) -> int:
    """How many make about ``budget`` events."""
    return max(1, round(budget / (outing.looks * (1 + 1.4 * outing.orders))))


def shopped(shop: Shop, rng: Rng, users: Ints, at: Floats, outing: Outing, choose: Callable[[Ints], Ints]) -> Draft:
    """Sessions of ``users`` (s,) that begin ``at`` (s,); ``choose`` names an item for each session that it is given."""
    lengths = np.maximum(1, rng.poisson(outing.looks, len(users)))
    session, step = chance.steps(lengths)
    item = choose(session)
    aside = rng.random(len(item)) < outing.asides
    item = np.where(aside, beside(shop, rng, item), item)
    again = (step > 0) & (rng.random(len(item)) < outing.revisits)
    seen = np.arange(len(item)) - step + np.floor(step * rng.random(len(item))).astype(np.int64)
    item = np.where(again, item[seen], item)
    gaps = shop.pauses[rng.integers(0, len(shop.pauses), len(item))]
    when = at[session] + chance.elapsed(gaps, session, step)
    looks = added(users[session], item, types(shop, rng, "sample", len(item)), when)
    base = outing.orders / (1 + (RETURN_FACTOR - 1) * outing.revisits)
    likely = np.minimum(1.0, base * np.where(again, RETURN_FACTOR, 1.0))
    bought = np.flatnonzero(rng.random(len(item)) < likely)
    return joined([looks, *_orders(shop, rng, users[session[bought]], item[bought], when[bought])])


def liked(shop: Shop, rng: Rng, users: Ints) -> Ints:
    """An item that each of ``users`` (n,) looked at; one in demand for those who never did."""
    rows, first = shop.trails
    known = users < shop.users
    old = np.where(known, users, 0)
    width = np.where(known, first[old + 1] - first[old], 0)
    place = first[old] + np.floor(width * rng.random(len(users))).astype(np.int64)
    item = shop.log.item[rows[np.minimum(place, len(rows) - 1)]]
    return np.where(width > 0, item, popular(shop, rng, len(users)))


def _orders(shop: Shop, rng: Rng, user: Ints, item: Ints, at: Floats) -> list[Draft]:
    """Conversions a while after ``at`` (n,), some by way of a cart or the like."""
    parts = []
    if shop.acts.size:
        first = np.flatnonzero(rng.random(len(user)) < 0.4)
        at = at + rng.lognormal(0.0, 1.2, len(user)) * about(rng, 20_000, 300_000)
        parts.append(added(user[first], item[first], types(shop, rng, "act", len(first)), at[first]))
    if shop.conversions.size:
        later = at + rng.lognormal(0.0, 1.5, len(user)) * about(rng, 60_000, 1_800_000)
        parts.append(added(user, item, types(shop, rng, "conversion", len(user)), later))
    return parts
