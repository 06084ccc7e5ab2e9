"""When: moments at which sessions begin, and the gaps within them."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

from sie_online.behaviours.chance import Rng, about
from sie_online.behaviours.log import Floats, Ints
from sie_online.behaviours.shop import Shop

HOUR_MS = 3_600_000.0
DAY_MS = 24 * HOUR_MS
JITTER_MS = 900_000.0
"""How far from a real event a session may begin that keeps the shop's hours."""
MOST_CALLS = 400
"""Moments at which a group is called together; who comes more often comes to some of them again."""

Rhythm = Literal["human", "flat", "hours", "waves", "period", "sync", "own"]
"""The shop's hours, any moment, hours of the day, bursts, at intervals, as a group, while the account is there itself.
"""
RHYTHMS: tuple[Rhythm, ...] = get_args(Rhythm)


class Sessions(NamedTuple):
    """Sessions to be given a time: whose they are, of what group, and which of the account's they are."""

    user: Ints  # (s,)
    account: Ints  # (s,), 0 is the behaviour's first
    group: Ints  # (s,)
    turn: Ints  # (s,), from 0 in each account


class Window(NamedTuple):
    """From when to when, ms since the log's start."""

    first: float
    last: float

    @property
    def length(self) -> float:
        """In ms."""
        return self.last - self.first


def starts(shop: Shop, rng: Rng, rhythm: Rhythm, sessions: Sessions, window: Window) -> Floats:
    """When each session begins, (s,), ms since the log's start, within ``window`` but for a little."""
    n = len(sessions.user)
    match rhythm:
        case "human":
            at = human(shop, rng, n, window)
        case "flat":
            at = window.first + window.length * rng.random(n)
        case "hours":
            at = _hours(rng, n, window)
        case "waves":
            peaks = window.first + window.length * rng.random(rng.integers(1, 7))
            at = peaks[rng.integers(0, len(peaks), n)] + rng.exponential(about(rng, 0.002, 0.04) * window.length, n)
        case "period":
            at = _period(rng, sessions, window)
        case "sync":
            at = _sync(rng, sessions, window)
        case "own":
            at = _own(shop, rng, sessions)
    outside = np.flatnonzero((at < window.first) | (at >= window.last))
    at[outside] = window.first + window.length * rng.random(len(outside))
    return at


def human(shop: Shop, rng: Rng, n: int, window: Window) -> Floats:
    """Moments near real events, (n,)."""
    first, last = np.searchsorted(shop.at, window)
    rows = rng.integers(first, max(int(last), int(first) + 1), n)
    at = shop.at[np.minimum(rows, shop.n - 1)]
    return np.asarray(at + rng.uniform(-1, 1, n) * min(JITTER_MS, window.length / 20), np.float64)


def gaps(shop: Shop, rng: Rng, n: int, gap_ms: float, spread: float) -> Floats:
    """Gaps within sessions, ms, (n,): log-normal about ``gap_ms``; those of the shop where it is 0."""
    if gap_ms == 0:
        return shop.pauses[rng.integers(0, len(shop.pauses), n)]
    return gap_ms * rng.lognormal(0.0, spread, n)


def _hours(rng: Rng, n: int, window: Window) -> Floats:
    start, width = rng.uniform(0, 24), rng.uniform(1, 12)
    days = np.floor(window.first / DAY_MS) + rng.integers(0, int(window.length / DAY_MS) + 1, n)
    return np.asarray(days * DAY_MS + (start + rng.uniform(0, width, n)) % 24 * HOUR_MS, np.float64)


def _period(rng: Rng, sessions: Sessions, window: Window) -> Floats:
    most = int(sessions.turn.max()) + 1
    period = about(rng, 0.2, 1.0) * window.length / most
    accounts = int(sessions.account.max()) + 1
    phase = rng.uniform(0, max(window.length - period * most, period), accounts)[sessions.account]
    jitter = about(rng, 0.002, 0.3) * rng.normal(size=len(sessions.user))
    return np.asarray(window.first + phase + period * (sessions.turn + jitter), np.float64)


def _sync(rng: Rng, sessions: Sessions, window: Window) -> Floats:
    groups, turns = int(sessions.group.max()) + 1, min(int(sessions.turn.max()) + 1, MOST_CALLS)
    calls = window.first + window.length * rng.random((groups, turns))
    lag = rng.exponential(about(rng, 1_000, HOUR_MS), len(sessions.user))
    return np.asarray(calls[sessions.group, sessions.turn % turns] + lag, np.float64)


def _own(shop: Shop, rng: Rng, sessions: Sessions) -> Floats:
    count = shop.activity[sessions.user]
    rows = shop.by_user[shop.user_first[sessions.user] + np.floor(count * rng.random(len(count))).astype(np.int64)]
    return np.asarray(shop.at[rows] + rng.exponential(about(rng, 300, 60_000), len(rows)), np.float64)
