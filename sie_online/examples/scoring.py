"""How well models predict the same samples, and how sure a difference of two is.

One user's samples are no independent evidence, so users are drawn with replacement, and all models are scored on the
same draws; this says nothing of other streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.examples.hold_out import Plan
from sie_online.examples.samples import Floats, TrainingSamples
from sie_online.metrics import counted_auc

LEVEL = 0.95  # of the intervals
SURE = 1e-7  # probabilities are taken to be at least so far from the wrong end


@dataclass(frozen=True, slots=True)
class Difference:
    """One model minus another; ``low`` and ``high`` bound the 95 % interval (None: not asked for)."""

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        band = "" if self.low is None else f" [{self.low:+.4f}, {self.high:+.4f}]"
        return f"{self.value:+.4f}{band}"

    def side(self) -> int:
        """1: above 0 by evidence, -1: below, 0: neither."""
        if self.low is None or self.high is None:
            return 0
        return int(self.low > 0) - int(self.high < 0)


class Prediction:
    """P(label = 1) of n samples, (n,); ``threshold``: above it they are named positive."""

    def __init__(self, probability: Floats, threshold: float | None = None) -> None:
        self._probability = probability
        self._level = np.unique(probability, return_inverse=True)[1]  # one sort for all draws
        self._named = None if threshold is None else probability > threshold

    def scores(self, label: NDArray[Any], times: Floats) -> dict[str, float]:
        """By metric, each sample counted ``times`` (n,); its weight is of no matter."""
        positive = label == 1
        of_truth = np.where(positive, self._probability, 1.0 - self._probability)
        found = {
            "AUC": counted_auc(positive, self._level, times),
            "NLL": float(times @ -np.log(np.maximum(of_truth, SURE)) / times.sum()),
        }
        if self._named is None:
            return found
        hits = float(times @ (self._named & positive))
        return found | {
            "accuracy": float(times @ (self._named == positive) / times.sum()),
            "precision": hits / max(float(times @ self._named), 1.0),
            "recall": hits / max(float(times @ positive), 1.0),
        }


class Scores:
    """Of several predictions of the same samples, on all of them and on ``plan.resamples`` draws of their users.

    Attributes:
        of: by prediction, in order, and metric.
    """

    def __init__(self, predictions: Sequence[Prediction], samples: TrainingSamples, plan: Plan) -> None:
        rng = np.random.default_rng(plan.seed)
        _, user = np.unique(samples.user_hash, return_inverse=True)
        users = int(user.max()) + 1
        self.of = [one.scores(samples.label, np.ones(len(samples))) for one in predictions]
        self._drawn = np.empty((plan.resamples, len(predictions), len(self.of[0])))
        for draw in self._drawn:
            times = np.bincount(rng.integers(users, size=users), minlength=users)[user].astype(np.float64)
            draw[:] = [list(one.scores(samples.label, times).values()) for one in predictions]

    def difference(self, one: int, other: int) -> Mapping[str, Difference]:
        """Prediction ``one`` minus ``other``, by metric, paired draw by draw."""
        bands: list[tuple[float, ...]] = [()] * len(self.of[one])
        if len(self._drawn):
            tails = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
            low, high = np.nanpercentile(self._drawn[:, one] - self._drawn[:, other], tails, axis=0)
            bands = list(zip(low.tolist(), high.tolist(), strict=True))
        values = {name: value - self.of[other][name] for name, value in self.of[one].items()}
        return {name: Difference(value, *band) for (name, value), band in zip(values.items(), bands, strict=True)}
