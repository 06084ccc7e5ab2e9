"""The linear part: one weight and one curvature per hashed feature, `linear` of shape (dim, 2)."""

from __future__ import annotations

import math
from typing import Any

from sie_online.jit import kernel


@kernel
def linear_logit(prior: float, linear: Any, idx: Any, x: Any) -> float:
    """z_lr: ``prior`` plus weight times value of every feature; index 0 means absent."""
    z = prior
    for j in range(len(idx)):
        i = idx[j]
        if i != 0:
            z += linear[i, 0] * x[j]
    return z


@kernel
def linear_contributions(linear: Any, idx: Any, x: Any, out: Any) -> float:
    """Write each column's part of z_lr; return the variance of z_lr."""
    variance = 0.0
    for j in range(len(idx)):
        i = idx[j]
        out[j] = 0.0
        if i != 0:
            out[j] = linear[i, 0] * x[j]
            variance += x[j] * x[j] / linear[i, 1]
    return variance


@kernel
def linear_variance(linear: Any, idx: Any, x: Any) -> float:
    """Variance of z_lr, the sum of x^2 / curvature: by so much, times a step, one unit of gradient factor moves it."""
    variance = 0.0
    for j in range(len(idx)):
        i = idx[j]
        if i != 0:
            variance += x[j] * x[j] / linear[i, 1]
    return variance


@kernel
def move_linear(cfg: Any, linear: Any, idx: Any, x: Any, pull: float, curvature: float) -> None:
    """Move the weights by the gradient factor ``pull``, unless it is not finite; then let their curvatures grow by
    ``curvature`` x^2 and, where that is not 0, fade towards where they began.
    """
    if not math.isfinite(pull):
        return
    fade = cfg.forgetting if curvature > 0.0 else 0.0
    for j in range(len(idx)):
        i = idx[j]
        if i != 0:
            q = linear[i, 1]
            w = linear[i, 0] + cfg.step * pull * x[j] / q
            q += curvature * x[j] * x[j] - fade * (q - cfg.curvature)
            linear[i, 0] = w
            linear[i, 1] = q
