"""Which events of a log a noise model takes for noise, with hindsight: what the whole log teaches is known beforehand.

A shard sharpens log ratios by those of the accounts that it has met (``sie_online.importance.noise.share``). Here the
same is done with the exact quantiles of a log, for events and for whole accounts: that most of what an account does
lies a little too high shows it as well as one event far above.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.noise.forward import log_ratios
from sie_online.importance.noise.model import NoiseArrays
from sie_online.importance.noise.population import LOWER_QUARTILE_Z
from sie_online.importance.noise.share import (
    DISTANCE,
    HALF_MASS_EVENTS,
    LEAST_SPREAD,
    MAX_SHARE,
    MIN_SHARE,
    SHARP_CAP,
    STRONG,
)
from sie_online.shard.trace import Trace, mixed

Floats = NDArray[np.float64]

DOUBTFUL, SUSPECT = 0.3, 0.9
"""P(noise) from which on an event is no example of what is ordinary, and from which on it is one of noise."""
FEWEST_EVENTS = 3
"""Of an account that is judged as a whole."""
FIRST_SHARE = 0.01
STEPS = 30  # of EM


def suspicion(log: Trace, model: NoiseArrays) -> Floats:
    """P(noise) of every event (n,) of a trace by ``model``: its own, its account's, or the shard's, the largest."""
    ratio = log_ratios(model.mix, mixed(log, log.logit), log.head).astype(np.float64)
    mass, z, own = mass_of(log), np.zeros(len(ratio)), np.zeros(len(ratio))
    for head in np.unique(log.head):
        rows = log.head == head
        z[rows] = _robust(ratio[rows], mass[rows])
        own[rows] = _posterior(z[rows], mass[rows])
    events = np.bincount(log.user)
    many = (events >= FEWEST_EVENTS).astype(np.float64)
    if not many.any():
        return np.maximum(own, log.probability)
    account = many * _posterior(_robust(np.bincount(log.user, z) / events, many), many)
    return np.maximum(np.maximum(own, account[log.user]), log.probability)


def mass_of(log: Trace) -> Floats:
    """What every event counts for, (n,): accounts count, not events."""
    return np.asarray(HALF_MASS_EVENTS / (HALF_MASS_EVENTS + log.events), np.float64)


def quartiles(values: NDArray[Any], mass: Floats) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile of ``values`` (n,), each with its ``mass`` (n,)."""
    order = np.argsort(values, kind="stable")
    ascending, running = values[order], np.cumsum(mass[order])
    below, middle, above = ascending[np.searchsorted(running, np.array([0.25, 0.5, 0.75]) * running[-1])]
    return float(below), float(middle), float(above)


def _robust(values: Floats, mass: Floats) -> Floats:
    """``values`` in robust standard deviations above their median."""
    below, middle, above = quartiles(values, mass)
    apart = max(middle - below, above - middle)
    return np.asarray((values - middle) / max(apart / LOWER_QUARTILE_Z, LEAST_SPREAD), np.float64)


def _posterior(z: Floats, mass: Floats) -> Floats:
    """P(noise), the share of noise learned by EM with the shard's brake: only strong evidence counts."""
    ratio = np.clip(DISTANCE * z - 0.5 * DISTANCE * DISTANCE, -SHARP_CAP, SHARP_CAP)
    share = FIRST_SHARE
    for _ in range(STEPS):
        guilt = _odds(ratio, share)
        share = float(np.clip(np.average(np.where(ratio >= STRONG, guilt, 0.0), weights=mass), MIN_SHARE, MAX_SHARE))
    return _odds(ratio, share)


def _odds(ratio: Floats, share: float) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-ratio) * (1.0 - share) / share), np.float64)
