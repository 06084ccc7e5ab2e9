"""``python -m sie_online.examples.sklearn``: scikit-learn's ``partial_fit`` with and without the weights.

A logistic regression over the hashed features (``SGDClassifier``), learning chunk by chunk as samples settle. The whole
use of the weights is one argument: ``sample_weight=``, which every ``fit`` of scikit-learn's estimators takes, too.
Clean log, or no "they help" at the end? Leave it out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sie_online.examples.command import library, parser, run
from sie_online.examples.samples import Floats, TrainingSamples

with library("scikit-learn"):
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import SGDClassifier

BUCKETS = 1 << 16  # columns of the model: hashed features beyond share one
CHUNK = 512  # samples per call of partial_fit


class HashedLogisticRegression:
    """Features are 0/1 in ``BUCKETS`` columns; index 0 means absent."""

    def __init__(self, epochs: int = 1, seed: int = 0) -> None:
        self._epochs = epochs
        self._model = SGDClassifier(
            loss="log_loss", learning_rate="constant", eta0=0.02, alpha=1e-6, average=True, random_state=seed
        )

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Learn in order, ``epochs`` times."""
        rows = _one_hot(samples.features)
        for _ in range(self._epochs):
            for start in range(0, len(samples), CHUNK):
                part = slice(start, start + CHUNK)
                self._model.partial_fit(
                    rows[part], samples.label[part].astype(np.int8), classes=[0, 1], sample_weight=weight[part]
                )

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""
        probability: Floats = self._model.predict_proba(_one_hot(samples.features))[:, 1]
        return probability


def _one_hot(features: NDArray[np.integer]) -> csr_matrix:
    present = features != 0
    columns = (features[present] % BUCKETS).astype(np.int32)
    ends = np.concatenate([[0], np.cumsum(present.sum(axis=1))])
    return csr_matrix((np.ones(len(columns)), columns, ends), shape=(len(features), BUCKETS))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser("sklearn", "Train scikit-learn's SGDClassifier with and without the weights.", epochs=1)
    return run(options, arguments, lambda given: HashedLogisticRegression(given.epochs, given.seed))


if __name__ == "__main__":
    sys.exit(main())
