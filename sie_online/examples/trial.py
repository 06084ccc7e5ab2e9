"""Do the weights help? The same learner trained twice, once with them, and both scored on what came later.

Chronological: at the cut, only samples that had *settled* by then are learned, in the order in which they settled, and
what is scored are samples whose events came after it. A label is never known before the stream knew it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import UsageError
from sie_online.examples.samples import TrainingSamples
from sie_online.metrics import auc

METRICS = ("AUC", "NLL", "accuracy", "precision", "recall")

CALIBRATION = 0.2  # last share of what is learned; scored before it is learned, to choose the threshold
MIN_LEARNED = 100
LEVEL = 0.95  # of the intervals

Floats = NDArray[np.float64]


class Learner(Protocol):
    """A recommender that learns in passes over settled samples."""

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Learn ``samples`` (n of them, in order), each with its ``weight`` (n,)."""

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``held_out``: last share of the events that is scored. ``noise_below``: of these, only samples with a lower
    ``noise_probability``. ``resamples``: of the bootstrap behind the intervals; 0: no intervals.
    """

    held_out: float = 0.3
    noise_below: float = 1.0
    resamples: int = 200
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """Weighted minus unweighted; ``low`` and ``high`` bound the 95 % interval (None: not asked for)."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Scores by name in ``METRICS``, on the same held-out samples."""

    learned: int
    unsettled: int
    """Events before the cut whose labels came after it: neither learned nor scored."""
    scored: int
    positives: int
    unweighted: Mapping[str, float]
    weighted: Mapping[str, float]
    difference: Mapping[str, Difference]


def compare(samples: TrainingSamples, new_learner: Callable[[], Learner], plan: Plan) -> Comparison:
    """Train ``new_learner()`` with and without the weights and score both.

    Raises:
        UsageError: too few samples have settled before the held-out part, or one class is absent from either part.
    """
    learned, scored, unsettled = _split(samples, plan)
    uniform = np.ones(len(learned))
    weight = learned.weight / learned.weight.mean()  # the mean is a step size, not a preference: both get the same
    guesses = [_Guess.of(new_learner(), learned, w, scored) for w in (uniform, weight)]
    without, with_weights = (_scores(scored.label == 1, guess) for guess in guesses)
    bands = _intervals(scored, guesses, plan)
    return Comparison(
        learned=len(learned),
        unsettled=unsettled,
        scored=len(scored),
        positives=int(scored.label.sum()),
        unweighted=without,
        weighted=with_weights,
        difference={name: Difference(with_weights[name] - without[name], *bands[name]) for name in METRICS},
    )


def _split(samples: TrainingSamples, plan: Plan) -> tuple[TrainingSamples, TrainingSamples, int]:
    """What is learned (in order of settlement), what is scored, and how many are neither."""
    cut = np.quantile(samples.event_time_ms, 1.0 - plan.held_out)
    later = samples.event_time_ms > cut
    settled = samples.settled_ms <= cut
    learned = samples.take(np.flatnonzero(settled)[np.argsort(samples.settled_ms[settled], kind="stable")])
    scored = samples.take(later & (samples.noise_probability < plan.noise_below))
    if len(learned) < MIN_LEARNED:
        raise UsageError(
            f"only {len(learned)} of {len(samples)} samples had settled when the held-out part begins: the stream must "
            "be longer than its attribution window; read more of it, or hold out less (--held-out)"
        )
    for part, name in ((learned, "learned"), (scored, "held-out")):
        if not 0 < part.label.sum() < len(part):
            raise UsageError(f"all {len(part)} {name} samples have the same label: there is nothing to compare")
    return learned, scored, int((~later & ~settled).sum())


@dataclass(frozen=True, slots=True)
class _Guess:
    """Predicted P(label = 1) of the scored samples, (n,), and from where on it counts as a predicted positive."""

    probability: Floats
    threshold: float

    @classmethod
    def of(cls, learner: Learner, learned: TrainingSamples, weight: Floats, scored: TrainingSamples) -> _Guess:
        """Learn, and predict. The threshold names as many of the calibration part as were positive in it."""
        first, last = np.split(np.arange(len(learned)), [round(len(learned) * (1 - CALIBRATION))])
        learner.learn(learned.take(first), weight[first])
        calibration = learned.take(last)
        threshold = np.quantile(learner.predict(calibration), 1.0 - calibration.label.mean())
        learner.learn(calibration, weight[last])
        return cls(learner.predict(scored), float(threshold))

    def take(self, rows: NDArray[Any]) -> _Guess:
        return _Guess(self.probability[rows], self.threshold)


def _scores(positive: NDArray[Any], guess: _Guess) -> dict[str, float]:
    """``METRICS`` of ``guess``; every sample counts the same, whatever its weight."""
    named = guess.probability > guess.threshold
    hits = float((named & positive).sum())
    of_truth = np.where(positive, guess.probability, 1.0 - guess.probability)
    return {
        "AUC": auc(positive, guess.probability),
        "NLL": float(-np.log(np.clip(of_truth, 1e-7, None)).mean()),
        "accuracy": float((named == positive).mean()),
        "precision": hits / max(float(named.sum()), 1.0),
        "recall": hits / max(float(positive.sum()), 1.0),
    }


def _intervals(
    scored: TrainingSamples, guesses: list[_Guess], plan: Plan
) -> dict[str, tuple[float, float] | tuple[()]]:
    """Paired bootstrap over users (one user's samples are no independent evidence); says nothing of other streams."""
    if not plan.resamples:
        return dict.fromkeys(METRICS, ())
    rng = np.random.default_rng(plan.seed)
    _, user = np.unique(scored.user_hash, return_inverse=True)
    drawn = [_drawn_differences(scored.label == 1, guesses, user, rng) for _ in range(plan.resamples)]
    tails = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
    low, high = np.nanpercentile(np.array(drawn), tails, axis=0)
    return {name: (float(low[i]), float(high[i])) for i, name in enumerate(METRICS)}


def _drawn_differences(
    positive: NDArray[Any], guesses: list[_Guess], user: NDArray[np.intp], rng: np.random.Generator
) -> list[float]:
    users = int(user.max()) + 1
    times = np.bincount(rng.integers(users, size=users), minlength=users)
    rows = np.repeat(np.arange(len(user)), times[user])
    without, with_weights = (_scores(positive[rows], guess.take(rows)) for guess in guesses)
    return [with_weights[name] - without[name] for name in METRICS]
