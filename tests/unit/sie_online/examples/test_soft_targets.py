"""Soft targets: what a learner is given, on which part what is decided, and what is said in the end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from sie_online.errors import UsageError
from sie_online.examples.hold_out import Plan
from sie_online.examples.samples import Floats, TrainingSamples
from sie_online.examples.scoring import Difference
from sie_online.examples.soft_targets import LEARNERS, SHARES, main, softened, try_soft_targets
from sie_online.examples.verdict import judge_soft_targets
from tests.support.examples import SAMPLES

ITEMS = 400
WINDOW_MS = 20


def stream(n: int = 6_000) -> TrainingSamples:
    """One event a millisecond of one of many items, each with a rate of its own, and that rate."""
    rng = np.random.default_rng(0)
    item = rng.integers(0, ITEMS, n)
    probability = (1 / (1 + np.exp(rng.normal(1.0, 1.5, ITEMS))))[item]
    time_ms = np.arange(n)
    return TrainingSamples(
        event_id=np.array([f"e{at}" for at in range(n)]),
        features=item[:, np.newaxis],
        dense=np.zeros((n, 1), np.float32),
        probability=probability,
        label=(rng.random(n) < probability).astype(np.int8),
        weight=np.ones(n),
        noise_probability=np.zeros(n),
        user_hash=rng.integers(0, 300, n),
        event_time_ms=time_ms,
        settled_ms=time_ms + WINDOW_MS,
    )


class ItemMean:
    """The mean target of the item so far: what few samples have taught it, it takes for the truth."""

    prior = 0.1

    def __init__(self) -> None:
        self.learned: list[TrainingSamples] = []
        self.predicted: list[TrainingSamples] = []

    def learn(self, samples: TrainingSamples, weight: Floats) -> None:
        self.learned.append(samples)
        item = samples.features[:, 0]
        self._hits = 0.3 * self.prior + np.bincount(item, weight * samples.label, minlength=ITEMS)
        self._all = self.prior + np.bincount(item, weight, minlength=ITEMS)

    def predict(self, samples: TrainingSamples) -> Floats:
        self.predicted.append(samples)
        probability: Floats = (self._hits / self._all)[samples.features[:, 0]]
        return probability


class CautiousMean(ItemMean):
    """Drawn towards the mean of all: soft targets have little to add."""

    prior = 5.0


def test_two_weighted_copies_are_one_soft_target() -> None:
    samples = stream(50)
    guess = np.random.default_rng(1).uniform(0.1, 0.9, 50)
    for share in SHARES:
        twice, weight = softened(samples, share)
        target = share * samples.label + (1 - share) * samples.probability
        of_truth = np.where(twice.label == 1, np.repeat(guess, 2), 1 - np.repeat(guess, 2))
        loss = (-weight * np.log(of_truth)).reshape(-1, 2).sum(axis=1)
        assert loss == pytest.approx(-(target * np.log(guess) + (1 - target) * np.log(1 - guess)))
        assert weight.sum() == pytest.approx(50)
        assert (twice.event_time_ms[::2] == samples.event_time_ms).all()
    assert set(softened(samples, 1.0)[1]) == {0.0, 1.0}


def test_a_learner_that_knows_little_is_helped_by_probabilities_that_know_much() -> None:
    outcome = try_soft_targets(stream(), ItemMean, Plan())
    assert outcome.chosen < 1
    assert outcome.choices[outcome.chosen]["NLL"] < outcome.choices[1.0]["NLL"]
    assert outcome.difference["NLL"].high is not None
    assert outcome.difference["NLL"].high < 0
    assert outcome.difference["AUC"].value == pytest.approx(outcome.soft["AUC"] - outcome.labels["AUC"])
    assert outcome.verdict.word == "helps"
    assert outcome.verdict.sentence.startswith("Soft targets help here (a = ")


def test_probabilities_that_are_wrong_are_not_chosen() -> None:
    samples = stream()
    outcome = try_soft_targets(replace(samples, probability=1 - samples.probability), CautiousMean, Plan())
    assert outcome.chosen == 1
    assert outcome.soft == outcome.labels
    assert outcome.difference["AUC"].value == outcome.difference["NLL"].value == 0
    assert outcome.verdict.sentence.startswith("Keep the labels as they are")


def test_no_part_is_learned_before_its_time() -> None:
    made: list[ItemMean] = []

    def new() -> ItemMean:
        made.append(ItemMean())
        return made[-1]

    begun: list[str] = []
    samples = stream()
    outcome = try_soft_targets(samples, new, Plan(resamples=0), begun.append)
    assert len(begun) == len(made) + 1
    first, second = np.quantile(samples.event_time_ms, (0.5, 0.7))
    *choosing, plain, soft = made
    assert len(choosing) == len(SHARES)
    for learner in choosing:
        assert learner.learned[0].settled_ms.max() <= first
        assert learner.predicted[0].event_time_ms.min() > first
        assert learner.predicted[0].settled_ms.max() <= second
    for learner in (plain, soft):
        assert learner.learned[0].settled_ms.max() <= second
        assert (np.diff(learner.learned[0].settled_ms) >= 0).all()
        assert learner.predicted[0].event_time_ms.min() > second
        assert len(learner.predicted[0]) == outcome.scored == 1_800
    assert outcome.difference["AUC"].low is None


def test_what_harms_is_said_to_harm() -> None:
    """Probabilities that were right when a was chosen, and are wrong from then on."""
    samples = stream()
    turned = samples.event_time_ms > np.quantile(samples.event_time_ms, 0.5)
    probability = np.where(turned, 1 - samples.probability, samples.probability)
    outcome = try_soft_targets(replace(samples, probability=probability), ItemMean, Plan())
    assert outcome.chosen < 1
    assert outcome.verdict.sentence.startswith("Soft targets harm here")


@pytest.mark.parametrize(("n", "said"), [(40, "longer than its attribution window"), (250, "decide nothing")])
def test_a_log_that_is_too_short_is_refused(n: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        try_soft_targets(stream(n), ItemMean, Plan())


def test_only_what_is_sound_chooses_and_is_scored() -> None:
    samples = stream()
    noisy = np.arange(len(samples)) % 2 == 0
    made: list[ItemMean] = []

    def new() -> ItemMean:
        made.append(ItemMean())
        return made[-1]

    try_soft_targets(replace(samples, noise_probability=noisy * 1.0), new, Plan(noise_below=0.5, resamples=0))
    for learner in made:
        assert (learner.predicted[0].noise_probability == 0).all()
        assert learner.learned[0].noise_probability.any()


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_command_tries_the_learner_of_an_example(
    learner: str, planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--file", str(planted / SAMPLES), "--learner", learner, "--resamples", "20", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {float(share) for share in told["choices"]} == set(SHARES)
    assert told["labels"]["AUC"] > 0.52
    assert told["chosen"] == float(min(told["choices"], key=lambda share: told["choices"][share]["NLL"]))
    assert told["verdict"]["sentence"]


def test_the_table_shows_every_choice(planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--file", str(planted / SAMPLES), "--resamples", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines if line} >= {f"{share:g}" for share in SHARES}
    assert lines[-1].startswith(("Keep", "Soft targets", "No measurable difference"))


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, planted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pq.write_table(pq.read_table(planted / SAMPLES).drop_columns("probability"), tmp_path / SAMPLES)
    assert main(["--file", str(tmp_path / "nothing.parquet")]) == 2
    assert main(["--file", str(tmp_path / SAMPLES)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert "nothing.parquet" in first
    assert "column 'probability' is missing" in second


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    for word in ("sie evaluate", "--samples", "sie tail samples", "how to read it", "interval", "exit codes"):
        assert word in said


def test_an_outcome_without_intervals_is_not_judged() -> None:
    outcome = try_soft_targets(stream(), ItemMean, Plan(resamples=0))
    assert outcome.verdict.word == "not judged"


def test_an_outcome_without_evidence_keeps_the_labels() -> None:
    difference = {"AUC": Difference(0.1, -0.1, 0.3), "NLL": Difference(-0.1, -0.3, 0.1)}
    assert judge_soft_targets(0.5, difference).sentence.startswith("No measurable difference (AUC +0.1000")
