"""The factorisation machine's pairwise terms: `factors` of shape (factor_dim, 8), four values and four curvatures.

`fields` are the columns that take part; `sums` holds the factor sums of the last call of `pairwise`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sie_online.jit import kernel

N_FACTORS = 4  # a true constant, so that its loops unroll: three times as fast
FACTOR_CAP = 4.0  # pairwise terms grow with the square


@kernel
def pairwise(factors: Any, fields: Any, sums: Any, idx: Any, x: Any) -> float:
    """Sum of the pairwise terms; leaves the factor sums in ``sums``."""
    mask = np.uint32(len(factors) - 1)
    squares = 0.0
    for f in range(N_FACTORS):
        sums[f] = 0.0
    for n in range(len(fields)):
        j = fields[n]
        if idx[j] != 0:
            row = idx[j] & mask
            for f in range(N_FACTORS):
                v = factors[row, f] * x[j]
                sums[f] += v
                squares += v * v
    total = 0.0
    for f in range(N_FACTORS):
        total += sums[f] * sums[f]
    return 0.5 * (total - squares)


@kernel
def add_pairwise_contributions(factors: Any, fields: Any, sums: Any, idx: Any, x: Any, out: Any) -> None:
    """Add each column's part of the mean logit's pairwise terms: half the machine's vote, half of each pair."""
    mask = np.uint32(len(factors) - 1)
    for n in range(len(fields)):
        j = fields[n]
        if idx[j] != 0:
            row = idx[j] & mask
            part = 0.0
            for f in range(N_FACTORS):
                v = factors[row, f] * x[j]
                part += v * (sums[f] - v)
            out[j] += 0.25 * part


@kernel
def factor_rate(step: float, factors: Any, fields: Any, sums: Any, idx: Any, x: Any) -> float:
    """How far one unit of gradient factor moves the pairwise terms; ``sums`` are those of the last `pairwise`."""
    mask = np.uint32(len(factors) - 1)
    rate = 0.0
    for n in range(len(fields)):
        j = fields[n]
        if idx[j] != 0:
            row = idx[j] & mask
            for f in range(N_FACTORS):
                slope = (sums[f] - factors[row, f] * x[j]) * x[j]
                rate += slope * slope / factors[row, N_FACTORS + f]
    return step * rate


@kernel
def move_factors(
    cfg: Any, factors: Any, fields: Any, sums: Any, idx: Any, x: Any, pull: float, curvature: float
) -> None:
    """Move all factors at once: slopes come from ``sums``, taken before the first of them moved."""
    if not math.isfinite(pull):
        return
    mask = np.uint32(len(factors) - 1)
    fade = cfg.forgetting if curvature > 0.0 else 0.0
    for n in range(len(fields)):
        j = fields[n]
        if idx[j] != 0:
            row = idx[j] & mask
            for f in range(N_FACTORS):
                v = factors[row, f]
                q = factors[row, N_FACTORS + f]
                slope = (sums[f] - v * x[j]) * x[j]
                v += cfg.factor_step * pull * slope / q
                q += curvature * slope * slope - fade * (q - cfg.factor_curvature)
                factors[row, f] = min(max(v, -FACTOR_CAP), FACTOR_CAP)
                factors[row, N_FACTORS + f] = q
