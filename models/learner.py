"""The gate's fixed learner: logistic regression on the samples' hashed bins, one pass in time order.

It stands for what subscribers train, and so it must not depend on anything a candidate could touch. Steps are the
diagonal-curvature ones of the online recommender, theta -= rate * g / Q with Q the running curvature sum w p (1 - p)
per bin, taken on small batches so that numpy alone is quick enough.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.forward import logistic

RATE = 2.5
"""Of a whole step, shared by the sample's bins: with the online recommender's 25 it is its 0.1 each."""
CURVATURE_START = 3.0
BATCH = 64
"""Samples per step: few enough that a bin rarely occurs more than some ten times in one."""
LARGEST_STEP = 0.5
"""In log odds, per bin and batch: rare bins must not jump."""


class GateLearner:
    """Probabilities of samples whose ``features`` are (n, F) uint32 bins; bin 0 means absent."""

    def __init__(self, features: NDArray[np.uint32]) -> None:
        """``features`` of every sample it will ever see, in time order."""
        bins, rows = np.unique(features, return_inverse=True)
        self._rows = rows.reshape(features.shape) + 1  # 0 is the bias
        self._present = (features != 0).astype(np.float64)
        self._rate = RATE / features.shape[1]
        self._theta = np.zeros(len(bins) + 1)
        self._curvature = np.full(len(bins) + 1, CURVATURE_START)

    def learn(self, part: slice, label: NDArray[np.int8], weight: NDArray[np.float64]) -> None:
        """One pass over the rows of ``part``; label and weight are those rows'."""
        self._theta[0] = _log_odds(label, weight)
        for at in range(0, len(label), BATCH):
            some = slice(part.start + at, min(part.start + at + BATCH, part.stop))
            within = slice(at, at + BATCH)
            self._step(some, label[within], weight[within])

    def predict(self, part: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        """P(label) of the rows of ``part``."""
        return logistic(self._score(part))

    def _score(self, part: slice | NDArray[np.int64]) -> NDArray[np.float64]:
        active = self._theta[self._rows[part]] * self._present[part]
        return np.asarray(active.sum(axis=1) + self._theta[0])

    def _step(self, part: slice, label: NDArray[np.int8], weight: NDArray[np.float64]) -> None:
        p = self.predict(part)
        slope, curve = weight * (p - label), weight * p * (1.0 - p)
        rows, place = np.unique(self._rows[part], return_inverse=True)
        place, present = place.ravel(), self._present[part]
        gradient = np.bincount(place, (slope[:, None] * present).ravel(), len(rows))
        self._curvature[rows] += np.bincount(place, (curve[:, None] * present).ravel(), len(rows))
        self._move(rows, gradient)
        self._curvature[0] += curve.sum()
        self._move(np.zeros(1, np.int64), slope.sum(keepdims=True))

    def _move(self, rows: NDArray[np.int64], gradient: NDArray[Any]) -> None:
        step = self._rate * gradient / self._curvature[rows]
        self._theta[rows] -= np.clip(step, -LARGEST_STEP, LARGEST_STEP)


def _log_odds(label: NDArray[np.int8], weight: NDArray[np.float64]) -> float:
    """Of the weighted positive rate, with one sample of each kind added."""
    positive = float(weight[label == 1].sum()) + 1.0
    negative = float(weight[label == 0].sum()) + 1.0
    return float(np.log(positive / negative))
