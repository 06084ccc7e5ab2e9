"""Factor `score`: the literature's three scores (probability, error, feature score) as one weight, off by default.

Each score is scaled to running mean 1; ``sum`` or ``product`` makes f of them; the factor is log(k f / mean f).
An error that is not known yet counts as average.
"""

from __future__ import annotations

import math
from typing import Any

from sie_online.jit import kernel

OFF, SUM, PRODUCT, NET = range(4)
"""How the scores enter; NET: as the importance net's f(x), factor `influence`, instead."""
POPULATION_FIELDS: list[tuple[Any, ...]] = [("score_means", "f8", (3,)), ("score_f", "f8"), ("score_n", "f8")]
MEMORY = 100_000.0
"""Samples over which the running means forget."""
PRIOR = 20.0
"""Samples' worth of the starting means (1 after scaling), so that the first samples cannot be extreme."""
LARGEST = 10.0
"""No score counts for more than this many times its mean: the first means rest on a handful of samples."""
FLOOR = 1e-6


@kernel
def log_score(mode: int, k: float, population: Any, p: float, error: float, feature_score: float) -> float:
    """The factor; ``error`` is NaN where the label is unknown. 0 when ``mode`` is OFF or NET."""
    if mode in (OFF, NET):
        return 0.0
    f = _combined(mode, population, p, error, feature_score)
    mean = (population.score_f + PRIOR * _neutral(mode)) / (population.score_n + PRIOR)
    return math.log(max(FLOOR, k * f / mean))


@kernel
def observe_scores(mode: int, population: Any, p: float, error: float, feature_score: float) -> None:
    """Move the running means by one sample's first statement; for an unknown |error| the expected one counts."""
    if mode in (OFF, NET):
        return
    keep = 1.0 if population.score_n < MEMORY else 1.0 - 1.0 / MEMORY
    expected = 2.0 * p * (1.0 - p) if math.isnan(error) else abs(error)
    population.score_f = population.score_f * keep + _combined(mode, population, p, error, feature_score)
    population.score_means[0] = population.score_means[0] * keep + p
    population.score_means[1] = population.score_means[1] * keep + expected
    population.score_means[2] = population.score_means[2] * keep + feature_score
    population.score_n = population.score_n * keep + 1.0


@kernel
def _neutral(mode: int) -> float:
    return 3.0 if mode == SUM else 1.0


@kernel
def _combined(mode: int, population: Any, p: float, error: float, feature_score: float) -> float:
    a = _scaled(population, 0, p)
    b = 1.0 if math.isnan(error) else _scaled(population, 1, abs(error))
    c = _scaled(population, 2, feature_score)
    return a + b + c if mode == SUM else a * b * c


@kernel
def _scaled(population: Any, which: int, value: float) -> float:
    total = population.score_means[which]
    if total <= 0.0:
        return 1.0
    return float(min(LARGEST, (value * population.score_n + PRIOR * FLOOR) / (total + PRIOR * FLOOR)))
