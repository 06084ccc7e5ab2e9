"""``python -m sie_online.examples.vowpal_wabbit``: Vowpal Wabbit's logistic regression with and without the weights.

The weight is the *importance* behind the label of VW's text format: ``1 0.25 |f 17 4711``. Its updates are invariant
to it (Karampatziakis & Langford, UAI 2011): a weight of 2 does what the sample twice would do. The same lines in a file
are what ``vw --loss_function logistic`` on the command line reads. Clean log, or no "they help" at the end? Leave it
out.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import numpy as np

from sie_online.examples.command import library, parser, run
from sie_online.examples.samples import Floats, TrainingSamples

with library("vowpalwabbit"):
    from vowpalwabbit import Workspace

OPTIONS = "--loss_function logistic --link logistic --bit_precision 18 --learning_rate 0.1 --quiet"


class VowpalWabbit:
    """Hashed features in one namespace, ``f``, and VW's own intercept."""

    def __init__(self, epochs: int = 1) -> None:
        self._epochs = epochs
        self._workspace = Workspace(OPTIONS)

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Learn in order, ``epochs`` times."""
        for _ in range(self._epochs):
            for features, label, importance in zip(_features(samples), samples.label, weight.tolist(), strict=True):
                self._workspace.learn(f"{1 if label == 1 else -1} {importance:.6g} {features}")

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""
        return np.array([self._workspace.predict(features) for features in _features(samples)], np.float64)


def _features(samples: TrainingSamples) -> Iterator[str]:
    """Features as VW's text format has them: indices, which it takes as they are; 0 means absent."""
    for row in samples.features.tolist():
        yield "|f " + " ".join(str(feature) for feature in row if feature)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser("vowpal_wabbit", "Train Vowpal Wabbit with and without the weights.", epochs=1)
    return run(options, arguments, lambda given: VowpalWabbit(given.epochs))


if __name__ == "__main__":
    sys.exit(main())
