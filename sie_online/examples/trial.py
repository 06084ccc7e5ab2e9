"""Do the weights help? The same learner trained with and without them, and both scored on what came later.

Chronological: at the cut, only samples that had *settled* by then are learned, in the order in which they settled, and
what is scored are samples whose events came after it. A label is never known before the stream knew it. A third
learner gets the same weights shuffled: what they do to it needs no knowledge of the samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online.errors import UsageError
from sie_online.examples.samples import TrainingSamples
from sie_online.examples.verdict import Difference, Verdict, judge
from sie_online.metrics import counted_auc

METRICS = ("AUC", "NLL", "accuracy", "precision", "recall")

CALIBRATION = 0.2  # last share of what is learned; scored before it is learned, to choose the threshold
MIN_LEARNED = 100
LEVEL = 0.95  # of the intervals

Floats = NDArray[np.float64]


class Learner(Protocol):
    """A recommender that learns in passes over settled samples."""

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        """Learn ``samples`` (n of them, in order), each with its ``weight`` (n,), after those that came before."""

    def predict(self, samples: TrainingSamples) -> Floats:
        """P(label = 1), (n,)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``held_out``: last share of the events that is scored. ``noise_below``: of these, only samples with a lower
    ``noise_probability``; ``genuine``: only these events, by id. ``resamples``: of the bootstrap behind the intervals;
    0: no intervals.
    """

    held_out: float = 0.3
    noise_below: float = 1.0
    genuine: pa.Array | None = None
    resamples: int = 200
    seed: int = 0

    @property
    def scores_noise(self) -> bool:
        """Whether what is scored holds the stream's own noise."""
        return self.noise_below >= 1.0 and self.genuine is None


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


def compare(
    samples: TrainingSamples,
    new_learner: Callable[[], Learner],
    plan: Plan,
    on_begin: Callable[[str], None] = lambda _what: None,
) -> Comparison:
    """Train ``new_learner()`` without weights, with them, and with shuffled ones; score all three.

    ``on_begin`` is told what begins.

    Raises:
        UsageError: too few samples have settled before the held-out part, or one class is absent from either part.
    """
    learned, scored, unsettled = _split(samples, plan)
    weight = learned.weight / learned.weight.mean()  # the mean is a step size, not a preference: all get the same
    arms = {
        "without weights": np.ones(len(learned)),
        "with the weights": weight,
        "with the weights shuffled": _shuffled(weight, learned.label, plan.seed),
    }
    guesses = []
    for name, arm in arms.items():
        on_begin(f"train {name}")
        guesses.append(_Guess.of(new_learner(), learned, arm, scored))
    on_begin("compare")
    once = np.ones(len(scored))
    unweighted, weighted, shuffled = (_scores(scored.label == 1, guess, once) for guess in guesses)
    drawn = _drawn_scores(scored, guesses, plan)
    over_uniform, over_shuffled = (
        _differences(weighted, other, drawn, at) for at, other in ((0, unweighted), (2, shuffled))
    )
    return Comparison(
        learned=len(learned),
        unsettled=unsettled,
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


def _split(samples: TrainingSamples, plan: Plan) -> tuple[TrainingSamples, TrainingSamples, int]:
    """What is learned (in order of settlement), what is scored, and how many are neither."""
    cut = np.quantile(samples.event_time_ms, 1.0 - plan.held_out)
    later = samples.event_time_ms > cut
    settled = samples.settled_ms <= cut
    learned = samples.take(np.flatnonzero(settled)[np.argsort(samples.settled_ms[settled], kind="stable")])
    scored = samples.take(later & _may_be_scored(samples, plan))
    if len(learned) < MIN_LEARNED:
        raise UsageError(
            f"only {len(learned)} of {len(samples)} samples had settled when the held-out part begins: the stream must "
            "be longer than its attribution window; read more of it, or hold out less (--held-out)"
        )
    for part, name in ((learned, "learned"), (scored, "held-out")):
        if not 0 < part.label.sum() < len(part):
            raise UsageError(f"all {len(part)} {name} samples have the same label: there is nothing to compare")
    return learned, scored, int((~later & ~settled).sum())


def _may_be_scored(samples: TrainingSamples, plan: Plan) -> NDArray[np.bool_]:
    sound: NDArray[np.bool_] = samples.noise_probability < plan.noise_below
    if plan.genuine is not None:
        sound &= pc.is_in(pa.array(samples.event_id, pa.string()), plan.genuine).to_numpy(zero_copy_only=False)
    return sound


def _shuffled(weight: Floats, label: NDArray[Any], seed: int) -> Floats:
    """The same weights with no knowledge left in them but how they are spread among positives and negatives."""
    rng, out = np.random.default_rng(seed), weight.copy()
    for rows in (np.flatnonzero(label == 1), np.flatnonzero(label != 1)):
        out[rows] = rng.permutation(weight[rows])
    return out


@dataclass(frozen=True, slots=True)
class _Guess:
    """Predicted P(label = 1) of the scored samples, (n,), places in their order, and which are predicted positives."""

    probability: Floats
    level: NDArray[np.intp]
    named: NDArray[np.bool_]

    @classmethod
    def of(cls, learner: Learner, learned: TrainingSamples, weight: Floats, scored: TrainingSamples) -> _Guess:
        """Learn, and predict. As many of the calibration part are above the threshold as were positive in it."""
        first, last = np.split(np.arange(len(learned)), [round(len(learned) * (1 - CALIBRATION))])
        learner.learn(learned.take(first), weight[first])
        calibration = learned.take(last)
        threshold = np.quantile(learner.predict(calibration), 1.0 - calibration.label.mean())
        learner.learn(calibration, weight[last])
        probability = learner.predict(scored)
        return cls(probability, np.unique(probability, return_inverse=True)[1], probability > threshold)


def _scores(positive: NDArray[np.bool_], guess: _Guess, times: Floats) -> dict[str, float]:
    """``METRICS`` of ``guess``, with each sample counted ``times`` (n,); its weight is of no matter."""
    hits = float(times @ (guess.named & positive))
    of_truth = np.where(positive, guess.probability, 1.0 - guess.probability)
    return {
        "AUC": counted_auc(positive, guess.level, times),
        "NLL": float(times @ -np.log(np.clip(of_truth, 1e-7, None)) / times.sum()),
        "accuracy": float(times @ (guess.named == positive) / times.sum()),
        "precision": hits / max(float(times @ guess.named), 1.0),
        "recall": hits / max(float(times @ positive), 1.0),
    }


def _drawn_scores(scored: TrainingSamples, guesses: list[_Guess], plan: Plan) -> Floats:
    """Scores of all guesses on the same draws of users, (resamples, guesses, metrics).

    One user's samples are no independent evidence, so users are drawn; this says nothing of other streams.
    """
    rng = np.random.default_rng(plan.seed)
    _, user = np.unique(scored.user_hash, return_inverse=True)
    users, positive = int(user.max()) + 1, scored.label == 1
    drawn = np.empty((plan.resamples, len(guesses), len(METRICS)))
    for each in drawn:
        times = np.bincount(rng.integers(users, size=users), minlength=users)[user].astype(np.float64)
        each[:] = [list(_scores(positive, guess, times).values()) for guess in guesses]
    return drawn


def _differences(
    weighted: Mapping[str, float], other: Mapping[str, float], drawn: Floats, at: int
) -> dict[str, Difference]:
    """Weighted (guess 1 of the draws) minus guess ``at``, paired draw by draw."""
    bands: list[tuple[float, ...]] = [()] * len(METRICS)
    if len(drawn):
        tails = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
        low, high = np.nanpercentile(drawn[:, 1] - drawn[:, at], tails, axis=0)
        bands = list(zip(low.tolist(), high.tolist(), strict=True))
    return {name: Difference(weighted[name] - other[name], *bands[i]) for i, name in enumerate(METRICS)}
