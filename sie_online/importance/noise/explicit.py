"""What people say outright: returns, ratings and dwell times, as Beta counts of users and items.

``z_alpha`` counts evidence of noise, ``z_beta`` of the contrary; fractions where the signal is a matter of degree
(a rating or a dwell time, judged against the population's). Absent signals leave both at zero and change nothing.
"""

from __future__ import annotations

import math
from typing import Any

from sie_online.contracts import RATING_CODE, RETURN_CODE
from sie_online.importance.noise.population import NoiseConfig, standardise, track
from sie_online.jit import kernel
from sie_online.masks import has

DWELL_ROW, RATING_ROW = 0, 1  # rows of the population's quantiles
N_ROWS = 2
SIGNAL_CAP = 3.0  # robust deviations
SIGNAL_FLOOR = 0.5  # log milliseconds; steps of a rating
SIGNAL_SLOPE = 1.5  # log odds of noise per deviation below the median ...
SIGNAL_OFFSET = 1.5  # ... starting this many deviations below it
PRIOR_COUNT = 4.0  # strength of the population's share in an entity's
EXPLICIT_CAP = 3.0  # log odds: what is said outright never convicts alone

USER_FIELDS: list[tuple[Any, ...]] = [("z_alpha", "f4"), ("z_beta", "f4")]  # evidence of noise, and of the contrary
ITEM_FIELDS = USER_FIELDS
POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_alpha", "f8"),
    ("z_beta", "f8"),
    ("z_mid", "f8", (N_ROWS,)),  # medians
    ("z_low", "f8", (N_ROWS,)),  # lower quartiles
    ("z_seen", "f8", (N_ROWS,)),  # observations in both
]


@kernel
def dissatisfaction(population: Any, k: int, value: float) -> float:
    """Degree in (0, 1) to which a dwell time or rating lies below the ordinary; NaN where absent."""
    if value != value:
        return math.nan
    z = standardise(population, k, value, SIGNAL_FLOOR, SIGNAL_CAP)
    return 1.0 / (1.0 + math.exp(SIGNAL_SLOPE * (z + SIGNAL_OFFSET)))


@kernel
def log_dwell(event: Any) -> float:
    """log(1 + dwell in ms), NaN where absent or negative."""
    return math.log1p(event.dwell_ms) if event.dwell_ms >= 0.0 else math.nan


@kernel
def dwell_log_ratio(population: Any, event: Any) -> float:
    """Log odds of noise that this event's own dwell time adds; 0 where absent."""
    z = standardise(population, DWELL_ROW, log_dwell(event), SIGNAL_FLOOR, SIGNAL_CAP)
    return max(0.0, -SIGNAL_SLOPE * (z + SIGNAL_OFFSET))


@kernel
def surplus(alpha: float, beta: float, population: Any) -> float:
    """Log ratio, at least 0, of an entity's share of bad signals to the population's."""
    if alpha <= 0.0:
        return 0.0
    usual = (1.0 + population.z_alpha) / (PRIOR_COUNT + population.z_alpha + population.z_beta)
    own = (alpha + PRIOR_COUNT * usual) / (alpha + beta + PRIOR_COUNT)
    return min(max(math.log(own / usual), 0.0), EXPLICIT_CAP)


@kernel
def user_explicit(user: Any, population: Any) -> float:
    """Log odds of noise from the account's explicit signals."""
    return surplus(user.z_alpha, user.z_beta, population)


@kernel
def item_explicit(item: Any, population: Any) -> float:
    """Log odds of noise from the item's explicit signals."""
    return surplus(item.z_alpha, item.z_beta, population)


@kernel
def count_signal(record: Any, alpha: float, beta: float) -> None:
    """Add to a record's Beta counts; a return takes back the purchase counted as kept."""
    record.z_alpha += alpha
    record.z_beta = max(0.0, record.z_beta + beta)


@kernel
def observe_explicit(cfg: NoiseConfig, user: Any, item: Any, population: Any, event: Any) -> None:
    """Count what the event says outright."""
    alpha = 0.0
    beta = 0.0
    if event.etype == RETURN_CODE:
        alpha = 1.0
        beta = -1.0
    elif has(cfg.conversions, event.etype) and event.etype != RATING_CODE:
        beta = 1.0
    else:
        row = RATING_ROW if event.etype == RATING_CODE else DWELL_ROW
        value = event.rating if event.etype == RATING_CODE else log_dwell(event)
        if abs(value) < math.inf:
            alpha = dissatisfaction(population, row, value)
            beta = 1.0 - alpha
            track(population, row, value, 1.0, cfg.memory)
    count_signal(user, alpha, beta)
    count_signal(item, alpha, beta)
    count_signal(population, alpha, beta)
