"""From factors to the published weight: log w = sum of factors, normalised, guarded, clipped.

Every step is itself a column (`normaliser`, `guard`, `clip`), so that log w is exactly the sum of all columns.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.contracts import FACTORS
from sie_online.jit import kernel

NOISE, DELAY, BALANCE, SCORE, NORMALISER, GUARD, CLIP, INFLUENCE = range(len(FACTORS))

POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("raw_n", "f8"),  # samples seen, forgetting
    ("raw_sum", "f8"),  # of exp(sum of factors)
    ("learning_sum", "f8"),  # the same without `delay`
    ("guarded_sum", "f8"),  # of the weights before clipping
    ("guarded_squares", "f8"),
]
MEMORY = 100_000.0
"""Samples over which mean and effective sample size forget."""
PRIOR = 50.0
"""Samples' worth of weight 1 that the running mean starts with."""
LOG_BOUND = 20.0
"""The sum of factors is cut here (`clip` takes the difference): exp(20) is beyond any clip bound."""


class WeightConfig(NamedTuple):
    """``strength`` s of the guard, clip bounds, and the least effective sample size as a share of n."""

    strength: float
    minimum: float
    maximum: float
    effective_share: float


@kernel
def compose(cfg: WeightConfig, population: Any, factors: Any) -> float:
    """Complete ``factors`` (float64, one per column; the raw ones given) and return the weight."""
    total = _raw(factors)
    cut = total - _sum(factors)
    factors[NORMALISER] = -math.log((population.raw_sum + PRIOR) / (population.raw_n + PRIOR))
    total += factors[NORMALISER]
    factors[GUARD] = 0.0
    if cfg.strength < 1.0:
        factors[GUARD] = math.log1p(cfg.strength * math.expm1(total)) - total
    total += factors[GUARD]
    weight = math.exp(total)
    clipped = float(min(cfg.maximum, max(cfg.minimum, 1.0 + _temper(cfg, population) * (weight - 1.0))))
    factors[CLIP] = cut + (math.log(clipped) - total if clipped != weight else 0.0)
    return clipped


@kernel
def learning_weight(cfg: WeightConfig, population: Any, factors: Any) -> float:
    """Weight with which the weighted twin learns: full strength, and no `delay`, since it takes fake negatives back."""
    mean = (population.learning_sum + PRIOR) / (population.raw_n + PRIOR)
    return float(min(cfg.maximum, max(cfg.minimum, math.exp(_raw(factors) - factors[DELAY]) / mean)))


@kernel
def observe_weight(population: Any, factors: Any) -> None:
    """Move the running mean and the effective sample size by one sample's first statement."""
    keep = 1.0 if population.raw_n < MEMORY else 1.0 - 1.0 / MEMORY
    total = _raw(factors)
    guarded = math.exp(total + factors[NORMALISER] + factors[GUARD])
    population.raw_n = population.raw_n * keep + 1.0
    population.raw_sum = population.raw_sum * keep + math.exp(total)
    population.learning_sum = population.learning_sum * keep + math.exp(total - factors[DELAY])
    population.guarded_sum = population.guarded_sum * keep + guarded
    population.guarded_squares = population.guarded_squares * keep + guarded * guarded


@kernel
def effective_share(population: Any) -> float:
    """Effective sample size of the unclipped weights as a share of n: (sum w)^2 / (n sum w^2); 1 before any."""
    if population.guarded_squares <= 0.0:
        return 1.0
    return float(
        min(1.0, population.guarded_sum * population.guarded_sum / (population.raw_n * population.guarded_squares))
    )


@kernel
def _temper(cfg: WeightConfig, population: Any) -> float:
    """Shrinkage a of w <- 1 + a (w - 1) that keeps the effective share at its floor: 1 / (1 + a^2 cv^2) >= floor."""
    share = effective_share(population)
    if share >= cfg.effective_share:
        return 1.0
    return math.sqrt((1.0 / cfg.effective_share - 1.0) / (1.0 / share - 1.0))


@kernel
def _sum(factors: Any) -> float:
    """The sum of the factors proper: all but `normaliser`, `guard` and `clip`."""
    return float(factors[NOISE] + factors[DELAY] + factors[BALANCE] + factors[SCORE] + factors[INFLUENCE])


@kernel
def _raw(factors: Any) -> float:
    """`_sum`, cut to a range whose exponential is harmless."""
    return min(LOG_BOUND, max(-LOG_BOUND, _sum(factors)))
