"""From factors to the published weight: log w = sum of factors, normalised, guarded, clipped.

Every step is itself a column (`normaliser`, `guard`, `clip`), so that log w is exactly the sum of all columns.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.contracts import FACTORS
from sie_online.elementary import exp, expm1, log, log1p
from sie_online.importance.factor import Learned, Moment
from sie_online.importance.factors import RAW_PLACES, UNLEARNED_PLACES, raw_factors
from sie_online.importance.guard import GuardConfig, strength
from sie_online.jit import kernel

NORMALISER, GUARD, CLIP = (FACTORS.index(name) for name in ("normaliser", "guard", "clip"))

POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("raw_n", "f8"),  # samples seen, forgetting
    ("raw_sum", "f8"),  # of exp(sum of factors)
    ("learning_sum", "f8"),  # the same of the factors that are learned
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
    """The guard's settings, clip bounds, and the least effective sample size as a share of n."""

    guard: GuardConfig
    minimum: float
    maximum: float
    effective_share: float


@kernel
def weigh(factor_settings: Any, cfg: WeightConfig, learned: Learned, moment: Moment, factors: Any) -> float:
    """The weight of an event as it is known at ``moment``; its parts are left in ``factors`` (one per column)."""
    raw_factors(factor_settings, learned, moment, factors)
    return compose(cfg, learned.population, factors)


@kernel
def compose(cfg: WeightConfig, population: Any, factors: Any) -> float:
    """Complete ``factors`` (float64, one per column; the raw ones given) and return the weight."""
    total = _raw(factors)
    cut = total - _sum(factors)
    factors[NORMALISER] = -log((population.raw_sum + PRIOR) / (population.raw_n + PRIOR))
    total += factors[NORMALISER]
    factors[GUARD], allowed = 0.0, strength(cfg.guard, population)
    if allowed < 1.0:
        factors[GUARD] = log1p(allowed * expm1(total)) - total
    total += factors[GUARD]
    weight = exp(total)
    clipped = float(min(cfg.maximum, max(cfg.minimum, 1.0 + _temper(cfg, population) * (weight - 1.0))))
    factors[CLIP] = cut + (log(clipped) - total if clipped != weight else 0.0)
    return clipped


@kernel
def learning_weight(cfg: WeightConfig, population: Any, factors: Any) -> float:
    """Weight with which the weighted twin learns: full strength, and only with the factors that are learned."""
    mean = (population.learning_sum + PRIOR) / (population.raw_n + PRIOR)
    return float(min(cfg.maximum, max(cfg.minimum, exp(_raw(factors) - _unlearned(factors)) / mean)))


@kernel
def observe_weight(population: Any, factors: Any) -> None:
    """Move the running mean and the effective sample size by one sample's first statement."""
    keep = 1.0 if population.raw_n < MEMORY else 1.0 - 1.0 / MEMORY
    total = _raw(factors)
    guarded = exp(total + factors[NORMALISER] + factors[GUARD])
    population.raw_n = population.raw_n * keep + 1.0
    population.raw_sum = population.raw_sum * keep + exp(total)
    population.learning_sum = population.learning_sum * keep + exp(total - _unlearned(factors))
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
    """The sum of the raw factors."""
    total = 0.0
    for at in RAW_PLACES:
        total += factors[at]
    return total


@kernel
def _unlearned(factors: Any) -> float:
    """The sum of the raw factors that the weighted twin does not learn with."""
    total = 0.0
    for at in UNLEARNED_PLACES:
        total += factors[at]
    return total


@kernel
def _raw(factors: Any) -> float:
    """`_sum`, cut to a range whose exponential is harmless."""
    return min(LOG_BOUND, max(-LOG_BOUND, _sum(factors)))
