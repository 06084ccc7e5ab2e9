"""Logistic regression of a few columns, coefficients bounded from below: projected Newton (Bertsekas 1982, eq. 32)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.forward import logistic

Floats = NDArray[np.float64]
STEPS = 100
HALVINGS = 40
FLAT = 1e-8
"""A gradient below it, of a loss per unit of weight, is none."""
ENOUGH = 1e-4
"""Share of the promised fall of the loss that a step must keep (Armijo)."""


def regress(x: Floats, target: Floats, weight: Floats, start: Floats, lower: Floats, ridge: float) -> Floats:
    """Coefficients c (d,) >= ``lower`` (d,) that minimise the logistic loss of x (n, d) c.

    ``target`` (n,) in [0, 1]; ``weight`` (n,) of sum 1; ``ridge`` / 2 |c - start|^2 is added to the loss.
    """
    found = np.maximum(start, lower)
    for _ in range(STEPS):
        p = logistic(x @ found)
        slope = x.T @ (weight * (p - target)) + ridge * (found - start)
        free = (found > lower) | (slope < 0)
        if not free.any() or np.abs(slope[free]).max() < FLAT:
            break
        some = x[:, free]
        curvature = some.T @ (some * (weight * p * (1 - p))[:, None]) + ridge * np.eye(int(free.sum()))
        direction = np.zeros_like(found)
        direction[free] = np.linalg.solve(curvature, slope[free])
        after = _searched(x, target, weight, (start, lower, ridge), found, direction, slope)
        if np.array_equal(after, found):
            break
        found = after
    return found


def _searched(
    x: Floats,
    target: Floats,
    weight: Floats,
    rule: tuple[Floats, Floats, float],
    found: Floats,
    direction: Floats,
    slope: Floats,
) -> Floats:
    """The farthest of ever shorter steps that lowers the loss by enough; ``found`` itself where none does."""
    start, lower, ridge = rule

    def loss(c: Floats) -> float:
        z = x @ c
        return float(weight @ (np.logaddexp(0.0, z) - target * z)) + ridge / 2 * float(np.square(c - start).sum())

    before = loss(found)
    for halving in range(HALVINGS):
        after = np.maximum(found - 0.5**halving * direction, lower)
        if loss(after) <= before - ENOUGH * float(slope @ (found - after)):
            return after
    return found
