"""Factor `score`: the literature's three scores (probability, error, feature score) as one weight, off by default.

Each score is scaled to running mean 1; ``sum`` or ``product`` makes f of them; the factor is log(k f / mean f).
An error that is not known yet counts as average.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.elementary import log
from sie_online.importance.factor import Factor, Learned, Moment, Need
from sie_online.jit import kernel
from sie_online.settings import Settings

SUM, PRODUCT = range(2)
"""How the scores enter."""
MEMORY = 100_000.0
"""Samples over which the running means forget."""
PRIOR = 20.0
"""Samples' worth of the starting means (1 after scaling), so that the first samples cannot be extreme."""
LARGEST = 10.0
"""No score counts for more than this many times its mean: the first means rest on a handful of samples."""
FLOOR = 1e-6


class ScoreConfig(NamedTuple):
    """Whether the factor is ``on``, whether f is the scores' `SUM` or `PRODUCT`, and the scale k."""

    on: bool
    mode: int
    k: float


@kernel
def log_weight(cfg: ScoreConfig, learned: Learned, moment: Moment) -> float:
    """The factor of one statement."""
    population = learned.population
    mean = (population.score_f + PRIOR * _neutral(cfg.mode)) / (population.score_n + PRIOR)
    return log(max(FLOOR, cfg.k * _combined(cfg.mode, population, moment) / mean))


@kernel
def observe(cfg: ScoreConfig, population: Any, moment: Moment) -> None:
    """Move the running means by one sample's first statement; for an unknown |error| the expected one counts."""
    if not cfg.on or not moment.is_sample:
        return
    keep = 1.0 if population.score_n < MEMORY else 1.0 - 1.0 / MEMORY
    p = moment.probability
    expected = 2.0 * p * (1.0 - p) if math.isnan(moment.error) else abs(moment.error)
    population.score_f = population.score_f * keep + _combined(cfg.mode, population, moment)
    population.score_means[0] = population.score_means[0] * keep + p
    population.score_means[1] = population.score_means[1] * keep + expected
    population.score_means[2] = population.score_means[2] * keep + moment.feature_score
    population.score_n = population.score_n * keep + 1.0


@kernel
def _neutral(mode: int) -> float:
    return 3.0 if mode == SUM else 1.0


@kernel
def _combined(mode: int, population: Any, moment: Moment) -> float:
    a = _scaled(population, 0, moment.probability)
    b = 1.0 if math.isnan(moment.error) else _scaled(population, 1, abs(moment.error))
    c = _scaled(population, 2, moment.feature_score)
    return a + b + c if mode == SUM else a * b * c


@kernel
def _scaled(population: Any, which: int, value: float) -> float:
    total = population.score_means[which]
    if total <= 0.0:
        return 1.0
    return float(min(LARGEST, (value * population.score_n + PRIOR * FLOOR) / (total + PRIOR * FLOOR)))


def _settings_of(settings: Settings) -> ScoreConfig:
    importance = settings.importance
    return ScoreConfig(
        importance.combine in ("sum", "product"), PRODUCT if importance.combine == "product" else SUM, importance.k
    )


FACTOR = Factor(
    log_weight,
    _settings_of,
    Need.EVENT | Need.LABEL | Need.REVISION,
    bounds=lambda cfg: (math.log(FLOOR), math.log(cfg.k * LARGEST**3 * (MEMORY + 1.0 + PRIOR) / PRIOR)),
    observe=observe,
    fields={"population": [("score_means", "f8", (3,)), ("score_f", "f8"), ("score_n", "f8")]},
)
