"""What: the items of a behaviour's events, one after the other."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

from sie_online.behaviours.chance import Rng, happens, pick
from sie_online.behaviours.log import Floats, Ints
from sie_online.behaviours.shop import Shop

RECENT = 300
"""Events back that count as what the shop shows as new or in demand right now."""
WALK = 60
"""Steps after which a walk over what people looked at next begins anew."""

Source = Literal[
    "uniform", "popular", "rare", "target", "list", "shelf", "shelf_walk", "catalogue_walk", "copy", "trail", "recent"
]
"""Any item, those in demand, those hardly anyone looks at, targets in any order or as a list, any of a shelf, a shelf
or the catalogue from end to end, another account's history, steps from item to item that people took, what was just
looked at."""
SOURCES: tuple[Source, ...] = get_args(Source)


class Steps(NamedTuple):
    """Events to be given an item, in order within each session."""

    session: Ints  # (n,)
    step: Ints  # (n,), from 0 in each session
    turn: Ints  # (n,), from 0 in each account
    party: Ints  # (n,), who shares targets
    at: Floats  # (n,)


def items_of(shop: Shop, rng: Rng, source: Source, steps: Steps, targets: Ints) -> Ints:
    """Items (n,). ``targets`` is (parties, T)."""
    n = len(steps.step)
    place: Ints
    match source:
        case "uniform":
            return pick(rng, shop.catalogue, n)
        case "popular":
            return popular(shop, rng, n)
        case "rare":
            order = np.argsort(shop.popularity[shop.catalogue], kind="stable")
            return pick(rng, shop.catalogue[order[: max(2, len(order) // 4)]], n)
        case "target":
            return targets[steps.party, rng.integers(0, targets.shape[1], n)]
        case "list":
            place = steps.turn % targets.shape[1]
            return targets[steps.party, place]
        case "shelf":
            return beside(shop, rng, _leading(shop, rng, steps))
        case "shelf_walk":
            return _along(shop, _leading(shop, rng, steps), steps.step)
        case "catalogue_walk":
            first = rng.integers(0, len(shop.catalogue), int(steps.party.max()) + 1)
            place = (first[steps.party] + steps.turn) % len(shop.catalogue)
            return shop.catalogue[place]
        case "copy":
            return _copied(shop, rng, steps)
        case "trail":
            return _trail(shop, rng, steps)
        case "recent":
            row = np.searchsorted(shop.browsed, np.searchsorted(shop.at, steps.at))
            back = rng.integers(1, RECENT + 1, n)
            place = np.maximum(row - back, 0)
            return shop.log.item[shop.browsed[place]]


def popular(shop: Shop, rng: Rng, size: int | tuple[int, ...]) -> Ints:
    """Items as often as they are looked at."""
    return shop.log.item[pick(rng, shop.browsed, size)]


def targets_of(shop: Shop, rng: Rng, parties: int, count: int) -> Ints:
    """Items that somebody wants to see moved, (parties, count): any, or popular ones, or of one shelf."""
    kind = rng.random()
    if kind < 0.5:
        return pick(rng, shop.catalogue, (parties, count))
    if kind < 0.8:
        return popular(shop, rng, (parties, count))
    leads = np.repeat(pick(rng, shop.catalogue, parties), count)
    return beside(shop, rng, leads).reshape(parties, count)


def beside(shop: Shop, rng: Rng, items: Ints) -> Ints:
    """Any item of the shelf of each of ``items`` (n,)."""
    order, first = shop.shelves
    shelf = shop.shelf[items]
    width = first[shelf + 1] - first[shelf]
    return order[first[shelf] + np.floor(width * rng.random(len(items))).astype(np.int64)]


def next_to(shop: Shop, rng: Rng, items: Ints) -> Ints:
    """What some account looked at after each of ``items`` (n,); its own where nobody did."""
    rows, first = shop.by_item
    width = first[items + 1] - first[items]
    at = first[items] + np.floor(width * rng.random(len(items))).astype(np.int64)
    found = shop.following[rows[np.minimum(at, len(rows) - 1)]]
    return np.where(width > 0, found, items)


def _leading(shop: Shop, rng: Rng, steps: Steps) -> Ints:
    """An item of each session's shelf, (n,); shelves by demand or all as likely."""
    sessions = int(steps.session.max()) + 1
    leads = popular(shop, rng, sessions) if happens(rng, 0.5) else pick(rng, shop.catalogue, sessions)
    return leads[steps.session]


def _along(shop: Shop, leads: Ints, step: Ints) -> Ints:
    order, first = shop.shelves
    shelf = shop.shelf[leads]
    return order[first[shelf] + (leads + step) % (first[shelf + 1] - first[shelf])]


def _copied(shop: Shop, rng: Rng, steps: Steps) -> Ints:
    rows, first = shop.trails
    whose = shop.log.user[pick(rng, shop.browsed, int(steps.session.max()) + 1)]
    length = first[whose + 1] - first[whose]
    begin = np.floor(length * rng.random(len(whose))).astype(np.int64)
    place = first[whose][steps.session] + (begin[steps.session] + steps.step) % length[steps.session]
    return shop.log.item[rows[place]]


def _trail(shop: Shop, rng: Rng, steps: Steps) -> Ints:
    n = len(steps.step)
    out = np.empty(n, np.int64)
    anew = steps.step % WALK == 0
    out[anew] = popular(shop, rng, int(anew.sum()))
    at = np.flatnonzero(anew)
    for _ in range(WALK - 1):
        at = at[at + 1 < n] + 1
        at = at[~anew[at]]
        if not at.size:
            break
        out[at] = next_to(shop, rng, out[at - 1])
    return out
