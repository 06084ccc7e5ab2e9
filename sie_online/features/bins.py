"""Bins, decay and hashing: the arithmetic shared by reading and updating the counters.

Bin edges are part of the meaning of every published feature; `sie_online.features.schema_hash` covers them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sie_online.elementary import LN2, exp
from sie_online.jit import kernel

# Seconds: from "the same glance" (5 s) over a session (30 min) to "another day".
AGE_S = np.array([5, 15, 30, 60, 120, 300, 900, 3_600, 14_400, 43_200, 86_400, 259_200], dtype=np.float64)
COUNT = np.array([1, 2, 3, 4, 6, 9, 15, 30], dtype=np.float64)
VOLUME = np.array([1, 3, 10, 30, 100, 300, 1_000], dtype=np.float64)
PACE = np.array([1.5, 2.5, 4, 6, 10, 16, 30, 60], dtype=np.float64)  # events within some minutes
LIFT = np.array([-2, -1.2, -0.7, -0.35, -0.1, 0.1, 0.35, 0.7, 1.2, 2], dtype=np.float64)  # log of a ratio of rates
REPEAT = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2], dtype=np.float64)  # repeat exposures per user of an item
PRICE = np.array([-1.5, -0.7, -0.3, -0.1, 0.1, 0.3, 0.7, 1.5], dtype=np.float64)  # log of price / category's price
EDGES = {"age_s": AGE_S, "count": COUNT, "volume": VOLUME, "pace": PACE, "lift": LIFT, "repeat": REPEAT, "price": PRICE}

SEEN_CAP = 6  # more views of one item by one user say nothing new
POSITION_CAP = 30

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)


@kernel
def bin_of(x: float, edges: Any) -> int:
    """Number of edges that are not above ``x`` (0 for NaN)."""
    n = 0
    for edge in edges:
        if not x >= edge:
            break
        n += 1
    return n


@kernel
def elapsed_ms(now_ms: int, then_ms: Any) -> Any:
    """Milliseconds since ``then_ms``; 0 for a late event and for *never*."""
    if then_ms == 0 or now_ms <= then_ms:
        return 0
    return now_ms - then_ms


@kernel
def age_bin(now_ms: int, then_ms: Any) -> int:
    """0 for never, else 1 + the bin of the age."""
    if then_ms == 0:
        return 0
    return 1 + bin_of(elapsed_ms(now_ms, then_ms) / 1000.0, AGE_S)


@kernel
def share_left(elapsed: float, half_life_ms: float) -> float:
    """What share of a decaying counter is left after ``elapsed`` milliseconds."""
    return exp(-LN2 * elapsed / half_life_ms) if elapsed > 0 else 1.0


class Fading(NamedTuple):
    """What share of the decaying counters of an event's records is left at the event."""

    pace: float  # of a user, and ...
    activity: float
    item: float
    category: float


@kernel
def fading_of(cfg: Any, user: Any, item: Any, category: Any, event: Any) -> Fading:
    """Before ``last_ms`` moves: the user's by the event's own time, those that all share by the stream's."""
    gap, half_life = elapsed_ms(event.time_ms, user.last_ms), cfg.popularity_half_life_ms
    return Fading(
        pace=share_left(gap, cfg.pace_half_life_ms),
        activity=share_left(gap, cfg.activity_half_life_ms),
        item=share_left(elapsed_ms(event.now_ms, item.last_ms), half_life),
        category=share_left(elapsed_ms(event.now_ms, category.last_ms), half_life),
    )


@kernel
def is_price(price: float) -> bool:
    """Whether a price is known, and one of which a logarithm can be taken."""
    return 0.0 < price < math.inf


@kernel
def mixed(x: Any) -> Any:
    """A well spread 64-bit hash of a 64-bit integer (the finaliser of SplitMix64, Steele et al., OOPSLA'14)."""
    x = np.uint64(x)
    x = (x ^ (x >> np.uint64(30))) * MIX_1
    x = (x ^ (x >> np.uint64(27))) * MIX_2
    return x ^ (x >> np.uint64(31))


@kernel
def slot(column: int, value: Any, dim: int) -> Any:
    """Index of ``value`` in feature ``column``: in [1, dim), for a power of two ``dim``."""
    index = np.int64(mixed(np.uint64(value) + np.uint64(column + 1) * GOLDEN) & np.uint64(dim - 1))
    return index if index != 0 else 1
