"""How well scores have ranked lately: the area under the ROC curve of a stream, in bounded memory.

Scores are counted by label in bins that are equally wide in log odds, where probabilities crowded near zero still lie
apart; two in one bin count as tied. Old ones fade: what was counted a half-life ago counts half.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BINS = 512
LARGEST_LOGIT = 14.0
"""Probabilities from 8e-7 to 1 - 8e-7 are told apart, in bins .055 wide: by 6 % of small ones."""
HALF_LIFE = 10_000
"""Samples. So about 14,000 count; with 2 % positives the standard error of their AUC is about .015."""


class RunningAuc:
    """The AUC of the newest samples; which are added at once makes no difference.

    >>> auc = RunningAuc()
    >>> auc.add(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.4, 0.8]))
    >>> round(auc.value, 3)
    0.875
    """

    def __init__(self, half_life: float = HALF_LIFE) -> None:
        self._half_life = half_life
        self._counts = np.zeros((2, BINS))  # by label; replaced, never written to: any thread may read

    def add(self, positive: NDArray[np.bool_], probability: NDArray[np.float64]) -> None:
        """Count samples, the oldest first: their labels (n,) and the probabilities (n,) that were said beforehand."""
        n = len(positive)
        weight = np.exp2(-np.arange(n - 1, -1, -1) / self._half_life)
        cell = positive * BINS + _bin_of(probability)
        added = np.bincount(cell, weights=weight, minlength=2 * BINS).reshape(2, BINS)
        self._counts = self._counts * 2.0 ** (-n / self._half_life) + added

    @property
    def value(self) -> float:
        """The chance that a positive scores higher than a negative, ties counting half; NaN while one is missing."""
        negative, positive = self._counts
        pairs = negative.sum() * positive.sum()
        if not pairs:
            return math.nan
        below = np.cumsum(negative) - negative / 2
        return float((positive * below).sum() / pairs)


def _bin_of(probability: NDArray[np.float64]) -> NDArray[np.int64]:
    with np.errstate(divide="ignore"):
        logit = np.log(probability) - np.log1p(-probability)
    place = (np.clip(logit, -LARGEST_LOGIT, LARGEST_LOGIT) + LARGEST_LOGIT) * (BINS / (2 * LARGEST_LOGIT))
    bins: NDArray[np.int64] = np.minimum(place.astype(np.int64), BINS - 1)
    return bins
