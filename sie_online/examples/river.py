"""``python -m sie_online.examples.river``: River's logistic regression, one sample at a time, with and without weights.

River learns online, so its model is never trained anew: it learns each sample once, when that has settled. The whole
use of the weights is one argument: ``learn_one(x, y, w=w)``. Clean log, or no "they help" at the end? Leave it out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np

from sie_online.examples.command import library, parser, run
from sie_online.examples.samples import Floats, TrainingSamples

with library("river"):
    from river.linear_model import LogisticRegression
    from river.optim import AdaGrad

LEARNING_RATE = 0.1


class OnlineLogisticRegression:
    """A coefficient for every hashed feature, and an intercept."""

    def __init__(self, epochs: int = 1) -> None:
        self._epochs = epochs
        self._model = LogisticRegression(optimizer=AdaGrad(LEARNING_RATE), intercept_lr=LEARNING_RATE)

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Learn in order, ``epochs`` times."""
        for _ in range(self._epochs):
            for x, y, w in zip(_dicts(samples), samples.label == 1, weight.tolist(), strict=True):
                self._model.learn_one(x, bool(y), w=w)

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""
        probabilities = map(self._model.predict_proba_one, _dicts(samples))
        return np.array([each[True] for each in probabilities])


def _dicts(samples: TrainingSamples) -> Iterator[dict[int, float]]:
    """Features as River takes them: by name, here the hash's index; 0 means absent."""
    for row in samples.features.tolist():
        yield {feature: 1.0 for feature in row if feature}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser("river", "Train River's LogisticRegression online, with and without the weights.", epochs=1)
    return run(options, arguments, lambda given: OnlineLogisticRegression(given.epochs))


if __name__ == "__main__":
    sys.exit(main())
