"""AUC, PR-AUC and NLL of predictions of the same samples, and how sure their differences are.

The samples of one user are no independent evidence: users are drawn with replacement, all predictions are scored on the
same draws, and what is reported of a difference is its spread over them (Cameron, Gelbach & Miller, REStat 2008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import PROBABILITY_FLOOR
from sie_online.evaluation.compare.settled import Floats
from sie_online.jit import kernel

METRICS = ("auc", "prauc", "nll")
GAIN_SIGN = np.array([1.0, 1.0, -1.0])
"""What a rise of each metric means: of the log loss, no gain."""
RESAMPLES = 300
LEVEL = 0.95


class Gain(NamedTuple):
    """By how much one prediction is better than another, and the standard deviation of that over draws of users."""

    value: float
    deviation: float

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Two-sided, normal."""
        half = NormalDist().inv_cdf(0.5 + level / 2) * self.deviation
        return self.value - half, self.value + half

    def plus(self, deviation: float) -> Gain:
        """With another, independent cause of uncertainty."""
        return Gain(self.value, math.hypot(self.deviation, deviation))


@dataclass(frozen=True)
class Scores:
    """Of P predictions.

    Attributes:
        values: (P, len(METRICS)).
        drawn: (RESAMPLES, P, len(METRICS)), the same on draws of users.
    """

    values: Floats
    drawn: Floats

    def gain(self, better: NDArray[Any], worse: NDArray[Any]) -> list[Gain]:
        """Of the mean over predictions ``better`` over that over ``worse`` (indices), by metric."""
        value = GAIN_SIGN * (self.values[better].mean(axis=0) - self.values[worse].mean(axis=0))
        drawn = self.drawn[:, better].mean(axis=1) - self.drawn[:, worse].mean(axis=1)
        return [Gain(float(v), float(d)) for v, d in zip(value, np.nanstd(drawn, axis=0), strict=True)]

    def path(self, several: NDArray[Any], worse: NDArray[Any]) -> list[float]:
        """Standard deviation, by metric, of the gains of each of ``several`` over its counterpart in ``worse``."""
        gains = self.values[several] - self.values[np.resize(worse, len(several))]
        return [float(each) for each in np.std(gains, axis=0, ddof=1)]


def scores(label: NDArray[np.int8], predictions: Floats, user: NDArray[Any], seed: int = 0) -> Scores:
    """Of ``predictions`` (P, n) of P(label = 1); ``label`` and ``user`` are (n,). NaN where one class is absent."""
    _, code = np.unique(user, return_inverse=True)
    users, rng = int(code.max(initial=-1)) + 1, np.random.default_rng(seed)
    times = np.ones((1 + RESAMPLES, users), np.uint16)
    for draw in range(1, 1 + RESAMPLES):
        times[draw] = np.bincount(rng.integers(users, size=users), minlength=users)
    out = np.empty((len(times), len(predictions), len(METRICS)))
    for nth, prediction in enumerate(predictions):
        order = np.argsort(-prediction, kind="stable")
        loss = log_loss(label, prediction)[order]
        score_draws(prediction[order], label[order], loss, code[order], times, out[:, nth])
    return Scores(out[0], out[1:])


def log_loss(label: NDArray[Any], prediction: Floats) -> Floats:
    """Of each sample, in nats, (n,)."""
    of_truth = np.where(label == 1, prediction, 1.0 - prediction)
    loss: Floats = -np.log(np.maximum(of_truth, PROBABILITY_FLOOR))
    return loss


@kernel
def score_draws(prediction: Any, label: Any, loss: Any, user: Any, times: Any, out: Any) -> None:
    """Write AUC, average precision and mean loss with every user counted ``times`` (draws, users) to ``out``.

    Samples are in descending order of ``prediction`` (n,); those that tie share their credit.
    """
    for draw in range(times.shape[0]):
        hits = misses = area = precision = total_loss = 0.0
        at = 0
        while at < prediction.shape[0]:
            end, positive, negative = at, 0.0, 0.0
            while end < prediction.shape[0] and prediction[end] == prediction[at]:
                count = times[draw, user[end]]
                total_loss += count * loss[end]
                positive += count * label[end]
                negative += count * (1 - label[end])
                end += 1
            area += negative * (hits + 0.5 * positive)
            hits += positive
            misses += negative
            if positive > 0.0:
                precision += positive * hits / (hits + misses)
            at = end
        both = hits > 0.0 and misses > 0.0
        out[draw, 0] = area / (hits * misses) if both else np.nan
        out[draw, 1] = precision / hits if both else np.nan
        out[draw, 2] = total_loss / (hits + misses) if hits + misses > 0.0 else np.nan
