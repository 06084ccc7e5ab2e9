"""Factor `balance`: no class and no group may drown the others.

Class: a sample of known label weighs (n_other / n_same) ** power, bounded. Group: the events of a category that makes
up more than a bound of the stream are weighed down to that bound.
"""

from __future__ import annotations

import math
from typing import Any

from sie_online.jit import kernel

POPULATION_FIELDS: list[tuple[Any, ...]] = [("labelled", "f8", (2,)), ("grouped", "f8")]
CLASS_BOUND = math.log(10.0)
"""A class is weighed up or down at most tenfold: beyond, a handful of samples would be the whole effective sample."""
FIRST_GROUPS = 1_000.0
"""Events before any share of a category means anything."""


@kernel
def class_log_weight(population: Any, label: int, power: float) -> float:
    """Log weight of a sample with ``label`` (0 or 1) given the labels counted so far."""
    same, other = population.labelled[label] + 1.0, population.labelled[1 - label] + 1.0
    return min(CLASS_BOUND, max(-CLASS_BOUND, power * math.log(other / same)))


@kernel
def group_log_weight(population: Any, category: Any, bound: float) -> float:
    """Log weight of an event of ``category`` whose share of all events may be at most ``bound``."""
    if population.grouped < FIRST_GROUPS or category.n_events <= bound * population.grouped:
        return 0.0
    return math.log(bound * population.grouped / category.n_events)
