"""Surprises of a single view by an ordinary account: a step out of its way, in a hurry.

The only event-level evidence; it is stored with the view and weighed again, with the shares then known, when the view
settles. It says less than an account's history does, so its component lies nearer to the ordinary one.
"""

from __future__ import annotations

from typing import Any

from sie_online.importance.noise.mixtures.account import STRANGE_CATEGORY, SWITCH, Tempo
from sie_online.importance.noise.mixtures.mixture import log_ratio
from sie_online.importance.noise.mixtures.order import PURCHASE_SUM
from sie_online.importance.noise.population import standardise
from sie_online.jit import kernel

HASTE_ROW = PURCHASE_SUM + 1
STRANGENESS_ROW = HASTE_ROW + 1
EVENT_SUM = STRANGENESS_ROW + 1
EVENT_ROLE = 2

EVENT_CAP = 4.0
EVENT_FLOOR = 0.25
SUM_FLOOR = 1.0
ON_THE_WAY = -100.0  # sum for a view in the category of the one before: nothing odd about it
EVENT_MARGIN = 1.0  # people do wander: one such view in four is no slip even where slips are common
EVENT_ODDS_CAP = 2.5
EVENT_SEPARATION = 2.0  # a slip differs from a view in two or three details only


@kernel
def summed_event(population: Any, tempo: Tempo, x: Any) -> float:
    """Sum of the view's standardised surprises; ``x`` are its trait values."""
    if x[SWITCH] != 1.0:
        return ON_THE_WAY
    return standardise(population, HASTE_ROW, -tempo.log_gap, EVENT_FLOOR, EVENT_CAP) + standardise(
        population, STRANGENESS_ROW, x[STRANGE_CATEGORY], EVENT_FLOOR, EVENT_CAP
    )


@kernel
def event_log_ratio(population: Any, total: float) -> float:
    """Log likelihood ratio of noise against an ordinary view."""
    t = standardise(population, EVENT_SUM, total, SUM_FLOOR, EVENT_CAP)
    return min(log_ratio(t, EVENT_SEPARATION) - EVENT_MARGIN, EVENT_ODDS_CAP)
