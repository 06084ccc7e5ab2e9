"""Factor `balance`: no class and no group may drown the others.

Class: a sample of known label weighs (n_other / n_same) ** power, bounded. Group: the events of a category that makes
up more than a bound of the stream are weighed down to that bound.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.elementary import log
from sie_online.importance.factor import UNKNOWN, EntityRecords, Factor, Learned, Moment, Need
from sie_online.jit import kernel
from sie_online.settings import Settings

CLASS_BOUND = math.log(10.0)
"""A class is weighed up or down at most tenfold: beyond, a handful of samples would be the whole effective sample."""
FIRST_GROUPS = 1_000.0
"""Events before any share of a category means anything."""


class BalanceConfig(NamedTuple):
    """Whether the factor is ``on``, the power of the class ratio, and the largest share that a category keeps."""

    on: bool
    class_power: float
    group_share: float


@kernel
def class_log_weight(population: Any, label: int, power: float) -> float:
    """Log weight of a sample with ``label`` (0 or 1) given the labels counted so far."""
    same, other = population.labelled[label] + 1.0, population.labelled[1 - label] + 1.0
    return min(CLASS_BOUND, max(-CLASS_BOUND, power * log(other / same)))


@kernel
def group_log_weight(population: Any, category: Any, bound: float) -> float:
    """Log weight of an event of ``category`` whose share of all events may be at most ``bound``."""
    if population.grouped < FIRST_GROUPS or category.n_events <= bound * population.grouped:
        return 0.0
    return log(bound * population.grouped / category.n_events)


@kernel
def log_weight(cfg: BalanceConfig, learned: Learned, moment: Moment) -> float:
    """The factor of one statement."""
    by_class = 0.0
    if moment.label != UNKNOWN:
        by_class = class_log_weight(learned.population, moment.label, cfg.class_power)
    return float(moment.kept.group_log_weight + by_class)


@kernel
def remember(cfg: BalanceConfig, population: Any, entities: EntityRecords, kept: Any) -> None:
    """Keep what the event's category was worth."""
    kept.group_log_weight = group_log_weight(population, entities.category, cfg.group_share) if cfg.on else 0.0


@kernel
def observe(cfg: BalanceConfig, population: Any, moment: Moment) -> None:
    """Count an event."""
    population.grouped += 1.0


@kernel
def settle(cfg: BalanceConfig, population: Any, label: int) -> None:
    """Count a final label."""
    population.labelled[label] += 1.0


def _settings_of(settings: Settings) -> BalanceConfig:
    importance = settings.importance
    return BalanceConfig("balance" in importance.factors, importance.class_power, importance.group_share)


FACTOR = Factor(
    log_weight,
    _settings_of,
    Need.EVENT | Need.LABEL | Need.REVISION,
    bounds=lambda cfg: (math.log(cfg.group_share) - CLASS_BOUND, CLASS_BOUND),
    remember=remember,
    observe=observe,
    settle=settle,
    fields={"population": [("labelled", "f8", (2,)), ("grouped", "f8")]},
    kept=[("group_log_weight", "f8")],
)
