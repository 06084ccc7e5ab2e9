"""The trial: chronological, the same for all trainings but for the weights, and judged so that a person can act."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from sie_online.errors import UsageError
from sie_online.examples.hold_out import HoldOut, Plan
from sie_online.examples.samples import Floats, TrainingSamples
from sie_online.examples.scoring import Difference, Prediction, Scores
from sie_online.examples.trial import compare
from sie_online.examples.verdict import judge
from sie_online.metrics import auc


class NotingLearner:
    """A learner that notes what it is shown and predicts the label's rate so far."""

    def __init__(self) -> None:
        self.learned: list[TrainingSamples] = []
        self.weights: list[Floats] = []
        self.predicted: list[TrainingSamples] = []

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        self.learned.append(samples)
        self.weights.append(weight)

    def predict(self, samples: TrainingSamples) -> Floats:
        self.predicted.append(samples)
        return np.full(len(samples), 0.1)


def stream(n: int = 1_000, window_ms: int = 100) -> TrainingSamples:
    """One event a millisecond; every third is positive and settles at once, the others after the window."""
    rng = np.random.default_rng(0)
    time_ms, label = np.arange(n), (np.arange(n) % 3 == 0).astype(np.int8)
    return TrainingSamples(
        event_id=np.array([f"e{number}" for number in range(n)]),
        features=rng.integers(0, 50, (n, 4)),
        dense=rng.normal(size=(n, 2)).astype(np.float32),
        probability=np.full(n, 1 / 3),
        label=label,
        weight=rng.uniform(0.5, 4.0, n),
        noise_probability=np.zeros(n),
        user_hash=rng.integers(0, 30, n),
        event_time_ms=time_ms,
        settled_ms=time_ms + np.where(label == 1, 0, window_ms),
    )


def test_only_what_has_settled_before_the_cut_is_learned_in_that_order() -> None:
    made: list[NotingLearner] = []

    def new() -> NotingLearner:
        made.append(NotingLearner())
        return made[-1]

    begun: list[str] = []
    result = compare(stream(), new, Plan(held_out=0.3, resamples=0), begun.append)
    assert len(begun) == 4
    for learner in made:
        settled = np.concatenate([part.settled_ms for part in learner.learned])
        assert (np.diff(settled) >= 0).all()
        assert settled.max() < learner.predicted[-1].event_time_ms.min()
        calibration, scored = learner.predicted
        assert (calibration.settled_ms == learner.learned[1].settled_ms).all()
        assert len(scored) == result.scored == 300
    plain, weighted, shuffled = (np.concatenate(learner.weights) for learner in made)
    assert (plain == 1).all()
    assert weighted.mean() == pytest.approx(1)
    assert weighted.std() > 0.1
    label = np.concatenate([part.label for part in made[0].learned])
    for value in (0, 1):
        ours, theirs = weighted[label == value], shuffled[label == value]
        assert (np.sort(ours) == np.sort(theirs)).all()
        assert (ours != theirs).any()
    assert result.learned + result.unsettled + result.scored == 1_000


def test_only_what_is_known_to_be_genuine_is_scored() -> None:
    genuine = pa.array([f"e{number}" for number in range(0, 1_000, 2)])
    result = compare(stream(), NotingLearner, Plan(held_out=0.3, genuine=genuine, resamples=0))
    assert result.scored == 150
    with pytest.raises(UsageError, match="all 0 held-out samples"):
        compare(stream(), NotingLearner, Plan(genuine=pa.array(["of another log"])))


def test_a_stream_shorter_than_its_window_is_refused() -> None:
    with pytest.raises(UsageError, match="longer than its attribution window"):
        compare(stream(window_ms=2_000).take(np.arange(200)), NotingLearner, Plan())


def test_one_class_alone_is_refused() -> None:
    samples = stream()
    with pytest.raises(UsageError, match="same label"):
        compare(samples.take(samples.label == 0), NotingLearner, Plan())


def test_what_is_scored_before_an_end_had_settled_by_then() -> None:
    samples = stream()
    parts = HoldOut.at(samples, Plan(), 500, end_ms=700)
    assert samples.settled_ms[parts.learned].max() <= 500 < samples.event_time_ms[parts.scored].min()
    assert samples.settled_ms[parts.scored].max() <= 700
    with pytest.raises(UsageError, match=r"only \d+ of \d+ held-out samples are of one class, and fewer than 99"):
        HoldOut.at(samples, Plan(), 500, end_ms=700, least=99)


def test_differences_are_of_the_same_draws_of_users() -> None:
    samples = stream()
    rng = np.random.default_rng(1)
    guess = rng.uniform(0.1, 0.9, len(samples))
    better = np.clip(guess + 0.05 * samples.label, 0, 1)
    scores = Scores([Prediction(guess), Prediction(better)], samples, Plan(resamples=50))
    assert scores.of[1]["AUC"] == pytest.approx(auc(samples.label, better))
    assert set(scores.of[0]) == {"AUC", "NLL"}  # without a threshold nothing is named positive
    gain = scores.difference(1, 0)["AUC"]
    assert gain.value == pytest.approx(scores.of[1]["AUC"] - scores.of[0]["AUC"])
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low < gain.value < gain.high
    unpaired = np.std(scores._drawn[:, 0, 0])
    assert gain.high - gain.low < unpaired  # both rise and fall with the users that are drawn
    assert scores.difference(0, 0)["NLL"] == Difference(0.0, 0.0, 0.0)


def test_a_table_that_lacks_a_column_is_refused() -> None:
    with pytest.raises(UsageError, match="'features' is missing"):
        TrainingSamples.from_table(pa.table({"event_id": ["e1"], "label": [1]}))


NONE, UP, DOWN = Difference(0.0, -0.1, 0.1), Difference(0.2, 0.1, 0.3), Difference(-0.2, -0.3, -0.1)


@pytest.mark.parametrize(
    ("auc", "nll", "auc_shuffled", "nll_shuffled", "word", "says"),
    [
        (NONE, NONE, NONE, NONE, "no evidence", "No measurable difference (AUC +0.0000 [-0.1000, +0.1000], NLL"),
        (UP, NONE, UP, NONE, "helps", "They help here (AUC +0.2000 [+0.1000, +0.3000]): use them."),
        (NONE, DOWN, NONE, DOWN, "helps", "They help here (NLL -0.2000"),
        (UP, NONE, NONE, NONE, "no evidence", "against the same weights shuffled): leave them out."),
        (DOWN, NONE, NONE, NONE, "no evidence", "that the weights explain (AUC -0.2000 [-0.3000, -0.1000], but AUC +0"),
        (DOWN, NONE, DOWN, NONE, "harms", "They harm here (AUC -0.2000 [-0.3000, -0.1000]): leave them out."),
        (NONE, UP, NONE, UP, "harms", "They harm here (NLL +0.2000"),
        (UP, UP, UP, UP, "harms", "They harm here (NLL +0.2000 [+0.1000, +0.3000], although AUC +0.2000"),
        (UP, Difference(0.1), UP, UP, "not judged", "--resamples 0"),
    ],
)
def test_one_sentence_says_what_to_do(
    auc: Difference, nll: Difference, auc_shuffled: Difference, nll_shuffled: Difference, word: str, says: str
) -> None:
    uniform, shuffled = {"AUC": auc, "NLL": nll}, {"AUC": auc_shuffled, "NLL": nll_shuffled}
    verdict = judge(uniform, shuffled, noisy=False)
    assert verdict.word == word
    assert says in verdict.sentence
    on_noise = judge(uniform, shuffled, noisy=True).sentence
    assert ("as noisy as the stream" in on_noise) == (word == "harms")
