"""The logistic loss: what an importance weight is worth (Karampatziakis & Langford, UAI'11, section 3)."""

from __future__ import annotations

import math

from sie_online.elementary import exp, log
from sie_online.jit import kernel

LOGIT_CAP = 35.0  # exp(35) is far from overflow, 1 - s(35) far below any floor of a probability
SOLVER_STEPS = 30  # Newton needs 2 to 6; the bound is for odd numbers
SOLVER_TOLERANCE = 1e-9  # Newton squares its error: the step after this one would change nothing


@kernel
def sigmoid(z: float) -> float:
    """Logistic function, without overflow."""
    if z >= 0.0:
        return 1.0 / (1.0 + exp(-z))
    e = exp(z)
    return e / (1.0 + e)


@kernel
def bounded(z: float) -> float:
    """``z`` within ``LOGIT_CAP`` of 0; 0 where it is not finite."""
    if not math.isfinite(z):
        return 0.0
    return min(max(z, -LOGIT_CAP), LOGIT_CAP)


@kernel
def _flow(z: float, area: float) -> float:
    """The u >= z with u + exp(u) = z + exp(z) + area: where the logistic loss drives z after ``area`` of steps."""
    e = exp(z)
    target = z + e + area
    u = z + area / (1.0 + e)
    if area > 1.0:
        u = min(u, log(target) if target > 1.0 else target)
    for _ in range(SOLVER_STEPS):
        e = exp(u)
        change = (u + e - target) / (1.0 + e)
        u -= change
        if abs(change) < SOLVER_TOLERANCE:
            break
    return max(u, z)


@kernel
def pull_of(z: float, y: float, h: float, rate: float) -> float:
    """Total gradient factor of weight ``h`` when one unit of it moves z by ``rate``; about h (y - p) for small ones."""
    if not (rate > 0.0 and math.isfinite(rate)):
        return 0.0
    z = bounded(z)
    if y > 0.5:
        return (_flow(z, h * rate) - z) / rate
    return -(_flow(-z, h * rate) + z) / rate
