"""What is ordinary: running quantiles of surprises and of what people say over the population; the factor's settings.

Robust to a polluted population by construction: a quantity's centre is its median and its scale the distance from
there down to the lower quartile, so that noise (which by the sign convention lies above) moves neither much.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.elementary import power
from sie_online.jit import kernel
from sie_online.masks import CONVERSIONS, SAMPLES

LOWER_QUARTILE_Z = 0.6745  # distance from median to lower quartile of a standard normal
STEP_GAIN = 3.0  # in units of the scale; a median needs about 1/density = 2.5 scales
FIRST_SPREAD = 0.3  # of a surprise seen once
MIN_SPREAD = 0.02  # keeps a constant surprise's steps finite
Z_LOW = -3.0  # a very ordinary trait must not buy off several strange ones
N_ROWS = 25  # surprises, sums and opinions in the tables

POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_mid", "f8", (N_ROWS,)),  # medians
    ("z_low", "f8", (N_ROWS,)),  # lower quartiles
    ("z_seen", "f8", (N_ROWS,)),  # observations in both
]


class NoiseConfig(NamedTuple):
    """Settings of the factor; the defaults suit streams of 10^4 to 10^9 events a shard."""

    initial_share: float = 0.05
    """Share of noise assumed before any evidence."""
    separation: float = 3.0
    """Distance of the noise component from the ordinary one, in robust standard deviations of the summed surprise."""
    shrinkage: float = 10.0
    """Events of an account at which its own mean and the population's weigh the same."""
    memory: float = 5_000.0
    """Events (of a kind) over which noise shares and quantiles are averaged once warm."""
    max_probability: float = 0.999
    """Highest P(noise): bounds the factor log(1 - P) at -6.9."""
    samples: int = SAMPLES
    """Bit mask of the event types that may be slips: those that get a label."""
    conversions: int = CONVERSIONS
    """Bit mask of the event types that are orders: those that make a sample positive."""
    on: bool = True
    """Whether P(noise) enters the weight; it is estimated and published all the same."""


@kernel
def step_rate(n: float, least: float) -> float:
    """Robbins-Monro step of the ``n``-th observation: n^-0.6, faster than 1/n while the start is forgotten, at
    ``least`` in the end.
    """
    if n * n * n * (least * least * least * least * least) >= 1.0:  # what costs most of it is seldom asked
        return least
    return max(least, power(n, -0.6))


@kernel
def least_rate(cfg: NoiseConfig) -> float:
    """The rate with which `track` moves quantiles once their start is forgotten."""
    return 1.0 / math.sqrt(cfg.memory) / STEP_GAIN


@kernel
def track(population: Any, k: int, x: float, mass: float, least: float) -> None:
    """Move running median and lower quartile of surprise ``k`` by one observation of weight ``mass`` in (0, 1].

    Stochastic approximation of quantiles (Robbins & Monro 1951) with the step in units of the current scale;
    ``least`` is `least_rate`.
    """
    seen = population.z_seen[k] + mass
    population.z_seen[k] = seen
    if seen == mass:
        population.z_mid[k] = x
        population.z_low[k] = x - FIRST_SPREAD
        return
    mid = population.z_mid[k]
    low = population.z_low[k]
    rate = step_rate(max(seen, 1.0), least)
    step = STEP_GAIN * rate * mass * max(mid - low, MIN_SPREAD)
    if x > mid:
        mid += 0.5 * step
    elif x < mid:
        mid -= 0.5 * step
    low += 0.25 * step if x >= low else -0.75 * step
    population.z_mid[k] = mid
    population.z_low[k] = min(low, mid)


@kernel
def standardise(population: Any, k: int, x: float, floor: float, high: float) -> float:
    """Robust z of ``x``; 0 where ``x`` is NaN or nothing was observed yet.

    ``floor`` is the least difference that matters, ``high`` the largest z returned.
    """
    if x != x or population.z_seen[k] == 0.0:
        return 0.0
    scale = max((population.z_mid[k] - population.z_low[k]) / LOWER_QUARTILE_Z, floor)
    return float(min(max((x - population.z_mid[k]) / scale, Z_LOW), high))
