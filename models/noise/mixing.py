"""The second stage: per head, what the logits of an event, of its user and of its item are worth together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.errors import ExamplesError
from models.noise.examples import N_HEADS, weights
from models.noise.regression import regress
from models.settings import NoiseFit
from sie_online.contracts import NOISE_MIXED

RIDGE = 5e-4
FREE = ("one", "newness")
"""The rest are logits and means of logits: more of them never speaks against noise."""


def fit_mix(
    mixed: NDArray[np.float32],
    head: NDArray[np.int8],
    noise: NDArray[np.bool_],
    innocent: NDArray[np.bool_],
    group: NDArray[np.int64],
    settings: NoiseFit,
) -> NDArray[np.float32]:
    """``mix`` (heads, M) for ``mixed`` (n, M), columns as ``NOISE_MIXED``; the others (n,), as in ``Examples``.

    The log likelihood ratio of a head of which there is no noise, or nothing else, is 0 whatever is mixed.

    Raises:
        ExamplesError: a ValueError; the columns do not fit, or that goes for every head.
    """
    if mixed.shape != (len(head), len(NOISE_MIXED)) or not np.isfinite(mixed).all():
        raise ExamplesError(
            f"what is mixed is {mixed.shape}, or not finite; it must be finite, {len(NOISE_MIXED)} wide"
        )
    weight = weights(head, noise, innocent, group, settings.innocent_share)
    target = np.where(noise, 1 - settings.smoothing, settings.smoothing)
    start = np.array([float(name == "logit") for name in NOISE_MIXED])
    lower = np.array([-np.inf if name in FREE else 0.0 for name in NOISE_MIXED])
    found = np.zeros((N_HEADS, len(NOISE_MIXED)))
    for number in range(N_HEADS):
        rows = (head == number) & (weight > 0)
        if rows.any():
            own = weight[rows] / weight[rows].sum()
            found[number] = regress(mixed[rows].astype(np.float64), target[rows], own, start, lower, RIDGE)
    return found.astype(np.float32)
