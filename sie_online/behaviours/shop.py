"""What behaviours need to know of a log: who did what when, what stands together, how people move about.

Times are in ms since the log's first event, as floats: events of a log that is in whole seconds (or days) are spread
over their tick in order, so that what is added falls between them as it would have in life.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sie_online.behaviours.log import Bools, Floats, Ints, Log, Roles
from sie_online.contracts import RATING_CODE, RETURN_CODE

TICKS_MS = (86_400_000, 3_600_000, 60_000, 1_000, 100, 10)
"""Resolutions that a log may have, coarsest first; else 1 ms."""
SITTING_MS = 1_800_000.0
"""A pause that ends a session."""
SHELF = 24
"""Items of one shelf in a shop without categories: those that were first seen one after the other."""


class Shop:
    """A log, indexed. Everything but what its constructor sorts is found when first asked for."""

    def __init__(self, log: Log, roles: Roles) -> None:
        self.log = log
        self.roles = roles
        self.n = len(log.time_ms)
        self.users = int(log.user.max()) + 1
        self.items = int(log.item.max()) + 1
        self.start_ms = int(log.time_ms[0])
        self.last_ms = int(log.time_ms[-1])
        self.tick_ms = tick_of(log.time_ms)
        self.at = spread(log.time_ms - self.start_ms, self.tick_ms)
        self.span = float(self.last_ms - self.start_ms)
        self.by_user, self.user_first = grouped(log.user, self.users)
        self.conversions, self.acts = deeds_of(log, roles)
        samples = np.isin(log.etype, list(roles.samples))
        self.browsing: Bools = samples if samples.any() else log.etype == np.bincount(log.etype).argmax()
        self.browsed: Ints = np.flatnonzero(self.browsing)
        """Rows (m,) of samples; in a log of none, of its most frequent type."""

    def time_ms(self, at: Floats) -> Ints:
        """Times in ms since 1970 as this log has them, of ms since its start."""
        return self.start_ms + np.floor(at / self.tick_ms).astype(np.int64) * self.tick_ms

    def rows_of(self, user: int) -> Ints:
        """Rows of the account, in order."""
        return self.by_user[self.user_first[user] : self.user_first[user + 1]]

    @cached_property
    def activity(self) -> Ints:
        """Events of each account, (users,)."""
        return np.diff(self.user_first)

    @cached_property
    def rank(self) -> Ints:
        """Of each row, how many rows of its account come before it, (n,)."""
        out = np.empty(self.n, np.int64)
        out[self.by_user] = np.arange(self.n) - np.repeat(self.user_first[:-1], self.activity)
        return out

    @cached_property
    def catalogue(self) -> Ints:
        """Items that occur, ascending."""
        return np.unique(self.log.item)

    @cached_property
    def popularity(self) -> Ints:
        """Samples of each item, (items,)."""
        return np.bincount(self.log.item[self.browsed], minlength=self.items)

    @cached_property
    def category(self) -> Ints:
        """Each item's category, the first that it was seen with, (items,); -1: none."""
        out = np.full(self.items, -1, np.int64)
        out[self.log.item[::-1]] = self.log.category[::-1]
        return out

    @cached_property
    def shelf(self) -> Ints:
        """What stands together, as a code of each item, (items,): its category, else when it was first seen."""
        if self.category.max() >= 0:
            return self.category + 1
        first = np.full(self.items, self.n, np.int64)
        first[self.log.item[::-1]] = np.arange(self.n)[::-1]
        place = np.empty(self.items, np.int64)
        place[np.argsort(first, kind="stable")] = np.arange(self.items)
        return place // SHELF

    @cached_property
    def shelves(self) -> tuple[Ints, Ints]:
        """Items that occur, grouped by shelf, and the first place of each shelf among them, (shelves + 1,)."""
        order, first = grouped(self.shelf[self.catalogue], int(self.shelf.max()) + 1)
        return self.catalogue[order], first

    @cached_property
    def by_item(self) -> tuple[Ints, Ints]:
        """Rows of samples grouped by item, and the first place of each item among them, (items + 1,)."""
        order, first = grouped(self.log.item[self.browsed], self.items)
        return self.browsed[order], first

    @cached_property
    def trails(self) -> tuple[Ints, Ints]:
        """Rows of samples grouped by account, and the first place of each account among them, (users + 1,)."""
        order, first = grouped(self.log.user[self.browsed], self.users)
        return self.browsed[order], first

    @cached_property
    def following(self) -> Ints:
        """Of each row of a sample, the item that its account looked at next, (n,); its own where it was the last."""
        rows, _ = self.trails
        out = self.log.item.copy()
        same = self.log.user[rows[1:]] == self.log.user[rows[:-1]]
        out[rows[:-1][same]] = self.log.item[rows[1:][same]]
        return out

    @cached_property
    def sittings(self) -> tuple[Ints, Ints]:
        """Places in ``by_user`` at which sessions begin and where they end."""
        rows = self.by_user
        new = np.ones(self.n, np.bool_)
        pause = np.diff(self.log.time_ms[rows]) > max(SITTING_MS, self.tick_ms - 1)
        new[1:] = pause | (np.diff(self.log.user[rows]) != 0)
        first = np.flatnonzero(new)
        return first, np.append(first[1:], self.n)

    @cached_property
    def pauses(self) -> Floats:
        """Gaps within sessions, ms, (m,), m > 0."""
        rows = self.by_user
        within = np.ones(self.n, np.bool_)
        within[self.sittings[0]] = False
        at = np.flatnonzero(within)
        gaps = self.at[rows[at]] - self.at[rows[at - 1]] if at.size else np.array([30_000.0])
        return np.asarray(np.maximum(gaps, 1.0), np.float64)


def deeds_of(log: Log, roles: Roles) -> tuple[Ints, Ints]:
    """Types of the log's conversions, and of its other acts: carts and the like, no returns and no ratings."""
    types = np.unique(log.etype)
    kept = [*roles.samples, *roles.conversions, RETURN_CODE, RATING_CODE]
    return types[np.isin(types, list(roles.conversions))], types[~np.isin(types, kept)]


def tick_of(time_ms: Ints) -> int:
    """The coarsest of the known resolutions that all differences of ``time_ms`` (n,) are multiples of, ms."""
    since = time_ms - time_ms[0]
    return next((tick for tick in TICKS_MS if not (since % tick).any()), 1)


def spread(since_ms: Ints, tick_ms: int) -> Floats:
    """Times (n,), ascending, with those of one tick spread over it evenly and in order."""
    first = np.searchsorted(since_ms, since_ms, "left")
    count = np.searchsorted(since_ms, since_ms, "right") - first
    return np.asarray(since_ms + tick_ms * (np.arange(len(since_ms)) - first + 0.5) / count, np.float64)


def grouped(codes: Ints, count: int) -> tuple[Ints, Ints]:
    """Rows sorted by code (n,), stable, and the first place of each code among them, (count + 1,)."""
    order = np.argsort(codes, kind="stable")
    first = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(codes, minlength=count), out=first[1:])
    return order, first
