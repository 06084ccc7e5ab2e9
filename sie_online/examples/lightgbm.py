"""``python -m sie_online.examples.lightgbm``: gradient boosted trees on the dense features, with and without weights.

The whole use of the weights is one argument of the data: ``Dataset(…, weight=weight)``. Mind ``min_child_samples``,
which counts samples, and ``min_sum_hessian_in_leaf``, which counts weight. Clean log, or no "they help" at the end?
Leave it out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from sie_online.examples.command import library, parser, run
from sie_online.examples.samples import Floats, TrainingSamples

with library("lightgbm"):
    from lightgbm import Booster, Dataset, train

PARAMETERS = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_child_samples": 50,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
}


class BoostedTrees:
    """Trees see all samples at once: what comes later is trained together with what came before."""

    def __init__(self, rounds: int = 100, seed: int = 0) -> None:
        self._rounds = rounds
        self._parameters = {**PARAMETERS, "seed": seed}
        self._seen: list[tuple[Floats, Floats, Floats]] = []

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Train ``rounds`` trees on all that was ever learned."""
        self._seen.append((samples.dense, samples.label, weight))
        dense, label, weight = (np.concatenate(column) for column in zip(*self._seen, strict=True))
        self._trees: Booster = train(self._parameters, Dataset(dense, label, weight=weight), self._rounds)

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""
        return np.asarray(self._trees.predict(samples.dense), np.float64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    options = parser("lightgbm", "Train LightGBM's boosted trees with and without the weights.")
    options.add_argument("--rounds", type=int, default=100, metavar="N", help="trees (default 100)")
    return run(options, arguments, lambda given: BoostedTrees(given.rounds, given.seed))


if __name__ == "__main__":
    sys.exit(main())
