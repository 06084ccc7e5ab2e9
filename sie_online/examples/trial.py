"""Do the weights help? The same learner trained with and without them, and both scored on what came later.

A third learner gets the same weights shuffled: what they do to it needs no knowledge of the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sie_online.examples.hold_out import HoldOut, Plan
from sie_online.examples.samples import Floats, TrainingSamples
from sie_online.examples.scoring import Difference, Prediction, Scores
from sie_online.examples.verdict import Verdict, judge

METRICS = ("AUC", "NLL", "accuracy", "precision", "recall")

CALIBRATION = 0.2  # last share of what is learned; scored before it is learned, to choose the threshold

Report = Callable[[str], None]
"""Told what begins."""


class Learner(Protocol):
    """A recommender that learns in passes over settled samples."""

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Learn ``samples`` (n of them, in order), each with its ``weight`` (n,), after those that came before."""

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """By name of ``METRICS``, on the same held-out samples."""

    learned: int
    unsettled: int
    """Events before the cut whose labels came after it: neither learned nor scored."""
    scored: int
    positives: int
    users: int
    """Of what was scored: independent evidence."""
    unweighted: Mapping[str, float]
    weighted: Mapping[str, float]
    shuffled: Mapping[str, float]
    """With the same weights, shuffled among positives and among negatives."""
    difference: Mapping[str, Difference]
    """Weighted minus unweighted."""
    over_shuffled: Mapping[str, Difference]
    """Weighted minus shuffled."""
    verdict: Verdict

    def __str__(self) -> str:
        scored = f"scored {self.scored:,} later ones ({self.positives:,} positive, {self.users:,} users)"
        rows = [
            f"{name:<10}{self.unweighted[name]:>11.4f}{self.weighted[name]:>11.4f}   {self.difference[name]}"
            for name in METRICS
        ]
        return "\n".join(
            [
                f"learned {self.learned:,} settled samples, {scored}",
                f"left out {self.unsettled:,} that had not settled when the held-out part begins",
                "",
                f"{'':<10}{'unweighted':>11}{'weighted':>11}   difference",
                *rows,
                "",
                self.verdict.sentence,
            ]
        )


def compare(
    samples: TrainingSamples,
    new_learner: Callable[[], Learner],
    plan: Plan,
    on_begin: Report = lambda _what: None,
) -> Comparison:
    """Train ``new_learner()`` without weights, with them, and with shuffled ones; score all three.

    Raises:
        UsageError: too few samples have settled before the held-out part, or one class is absent from either part.
    """
    parts = HoldOut.at(samples, plan, plan.cut_ms(samples))
    learned, scored = samples.take(parts.learned), samples.take(parts.scored)
    weight = learned.weight / learned.weight.mean()  # the mean is a step size, not a preference: all get the same
    arms = {
        "without weights": np.ones(len(learned)),
        "with the weights": weight,
        "with the weights shuffled": _shuffled(weight, learned.label, plan.seed),
    }
    predictions = []
    for name, arm in arms.items():
        on_begin(f"train {name}")
        predictions.append(_prediction(new_learner(), learned, arm, scored))
    on_begin("compare")
    scores = Scores(predictions, scored, plan)
    unweighted, weighted, shuffled = scores.of
    over_uniform, over_shuffled = scores.difference(1, 0), scores.difference(1, 2)
    return Comparison(
        learned=len(learned),
        unsettled=parts.unsettled,
        scored=len(scored),
        positives=int(scored.label.sum()),
        users=len(np.unique(scored.user_hash)),
        unweighted=unweighted,
        weighted=weighted,
        shuffled=shuffled,
        difference=over_uniform,
        over_shuffled=over_shuffled,
        verdict=judge(over_uniform, over_shuffled, noisy=plan.scores_noise),
    )


def _shuffled(weight: Floats, label: NDArray[Any], seed: int) -> Floats:
    """The same weights with no knowledge left in them but how they are spread among positives and negatives."""
    rng, out = np.random.default_rng(seed), weight.copy()
    for rows in (np.flatnonzero(label == 1), np.flatnonzero(label != 1)):
        out[rows] = rng.permutation(weight[rows])
    return out


def _prediction(learner: Learner, learned: TrainingSamples, weight: Floats, scored: TrainingSamples) -> Prediction:
    """Learn, and predict. As many of the calibration part are above the threshold as were positive in it."""
    first, last = np.split(np.arange(len(learned)), [round(len(learned) * (1 - CALIBRATION))])
    learner.learn(learned.take(first), weight[first])
    calibration = learned.take(last)
    threshold = np.quantile(learner.predict(calibration), 1.0 - calibration.label.mean())
    learner.learn(calibration, weight[last])
    return Prediction(learner.predict(scored), float(threshold))
