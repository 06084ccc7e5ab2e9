"""Made-up logs of dense codes, and a small shop whose people have tastes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from sie_online.behaviours import NO_CATEGORY, Log, Roles
from sie_online.contracts import CART_CODE, FAVORITE_CODE, PURCHASE_CODE, VIEW_CODE
from tests.support.events import START_MS

ROLES = Roles(frozenset({0, 1, 2}), frozenset({PURCHASE_CODE}))
TICK_MS = 1_000


def random_log(
    seed: int,
    events: int,
    *,
    users: int = 10,
    items: int = 20,
    categories: int = 4,
    types: Sequence[int] = (VIEW_CODE, PURCHASE_CODE),
    tick_ms: int = TICK_MS,
    ticks: int = 1_000_000,
) -> Log:
    """Anybody does anything at any time."""
    rng = np.random.default_rng(seed)
    item = rng.integers(0, items, events)
    category = item % categories if categories else np.full(events, NO_CATEGORY)
    time_ms = START_MS + np.sort(rng.integers(0, ticks, events)) * tick_ms
    return Log(rng.integers(0, users, events), item, category, rng.choice(types, events), time_ms)


@cache
def shop_log(users: int = 120) -> Log:
    """A week, in whole seconds, of people who keep to two of twenty shelves and look at them in sessions of ten."""
    rng = np.random.default_rng(users)
    sessions = 6 * users
    user = np.repeat(rng.integers(0, users, sessions), 10)
    begin = rng.integers(0, 7 * 24, sessions) * 3_600 + rng.integers(0, 3_000, sessions)
    when = np.repeat(begin, 10) + np.cumsum(rng.integers(1, 60, (sessions, 10)), axis=1).ravel()
    shelf = (user + 7 * rng.integers(0, 2, len(user))) % 20
    item = shelf * 25 + np.floor(25 * rng.random(len(user)) ** 2).astype(np.int64)
    types = (VIEW_CODE, CART_CODE, FAVORITE_CODE, PURCHASE_CODE)
    etype = rng.choice(types, len(user), p=(0.88, 0.05, 0.03, 0.04))
    order = np.argsort(when, kind="stable")
    return Log(user, item, shelf, etype, START_MS + when * TICK_MS).take(order)
