"""Weights that know something help, inverted ones harm, and those that know nothing do neither."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from sie_online.errors import UsageError
from sie_online.evaluation.compare.arms import PERMUTED, PUBLISHED, SEEDS, UNIFORM, arms
from sie_online.evaluation.compare.learners import LEARNERS, Learner
from sie_online.evaluation.compare.settled import Collector, Settled, split
from sie_online.evaluation.compare.trial import ALL, ESTABLISHED, Comparison, compare
from sie_online.metrics import auc
from tests.support.samples import samples_table
from tests.support.settled import WINDOW_MS, settled, weighted


def of_people(samples: Settled) -> NDArray[np.bool_]:
    return samples.user >= 20


def compared(weight_of_noise: float) -> Comparison:
    samples, is_noise = settled(noise=0.4)
    return compare(weighted(samples, np.where(is_noise, weight_of_noise, 1.0)), of_people)


def test_weights_that_leave_noise_out_help() -> None:
    found = compared(1e-3)
    assert found.verdict.word == "helps"
    assert found.verdict.population == ESTABLISHED
    assert "context logistic regression: AUC +" in found.verdict.sentence


def test_inverted_weights_harm() -> None:
    found = compared(50.0)
    assert found.verdict.word == "harms"
    assert "AUC -" in found.verdict.sentence


def test_equal_weights_are_no_evidence() -> None:
    found = compared(1.0)
    assert found.verdict.word == "no evidence"
    for population in found.populations:
        for learner in population.learners:
            assert {gain.value for gain in learner.published.values()} == {0.0}


@pytest.mark.parametrize("seed", range(3))
def test_weights_without_information_do_not_help(seed: int) -> None:
    samples, _ = settled(noise=0.2)
    drawn = np.exp(np.random.default_rng(seed).normal(0.0, 0.7, len(samples)))
    found = compare(weighted(samples, drawn), of_people)
    assert found.verdict.word != "helps"


def test_weights_help_more_than_the_same_ones_permuted() -> None:
    for learner in compared(1e-3).populations[-1].learners:
        gains = {arm.name: arm.gains["auc"].value for arm in learner.arms if arm.gains}
        assert gains[PUBLISHED] > gains[PERMUTED] + 0.02
        assert gains["noise alone"] == pytest.approx(gains[PUBLISHED], abs=1e-9)


def test_without_enough_established_accounts_all_are_judged() -> None:
    samples, _ = settled(2_000)
    found = compare(samples, lambda scored: np.zeros(len(scored), np.bool_))
    assert [population.name for population in found.populations] == [ALL]
    assert found.verdict.population == ALL


def test_the_same_samples_give_the_same_comparison() -> None:
    first, again = (compared(0.1) for _ in range(2))
    assert (first.populations, first.verdict) == (again.populations, again.verdict)


def test_progress_ends_with_all_done() -> None:
    seen: list[tuple[int, float]] = []
    compare(settled(2_000)[0], of_people, on_progress=lambda done, share: seen.append((done, share)))
    assert [done for done, _ in seen] == list(range(1, len(seen) + 1))
    assert seen[-1][1] == 1.0


def test_no_label_is_learned_before_it_was_known() -> None:
    samples, _ = settled()
    learned, scored = (samples.take(rows) for rows in split(samples))
    assert learned.settled_ms.max() <= scored.event_time_ms.min()
    assert len(learned) + len(scored) == len(samples) - WINDOW_MS // 1_000
    assert (np.diff(scored.event_time_ms) >= 0).all()


@pytest.mark.parametrize("learner", LEARNERS, ids=lambda learner: learner.name)
def test_a_learner_finds_what_is_planted(learner: Learner) -> None:
    samples, _ = settled()
    learned, scored = (samples.take(rows) for rows in split(samples))
    p = learner.predictions(learned, np.ones(len(learned)), scored, 0)
    assert auc(scored.label, p) > 0.6
    assert p.mean() == pytest.approx(scored.label.mean(), abs=0.05)
    unlike = learner.predictions(learned, np.where(learned.label == 1, 5.0, 1.0), scored, 0)
    assert unlike.mean() > p.mean() + 0.1


def test_a_weight_of_zero_is_a_sample_left_out() -> None:
    samples, is_noise = settled(noise=0.4)
    learned, scored = (samples.take(rows) for rows in split(samples))
    rows = ~is_noise[: len(learned)]
    for learner in LEARNERS:
        without = learner.predictions(learned.take(rows), np.ones(rows.sum()), scored, 0)
        zero = learner.predictions(learned, rows.astype(np.float64), scored, 0)
        assert without == pytest.approx(zero, abs=1e-12)


def test_arms_have_mean_one_and_permuted_ones_the_same_histogram_by_label() -> None:
    samples, is_noise = settled(noise=0.4)
    found = {arm.name: arm.weights for arm in arms(weighted(samples, np.where(is_noise, 0.1, 1.0)))}
    assert list(found) == [UNIFORM, PUBLISHED, PERMUTED, "noise alone"]
    assert len(found[PERMUTED]) == SEEDS
    for weights in found.values():
        assert [weight.mean() for weight in weights] == pytest.approx([1.0] * len(weights))
    for label in (0, 1):
        rows = samples.label == label
        assert np.array_equal(np.sort(found[PERMUTED][3][rows]), np.sort(found[PUBLISHED][0][rows]))
    assert not np.array_equal(found[PERMUTED][0], found[PERMUTED][1])


def test_factors_are_left_out_one_by_one_where_there_are_several() -> None:
    samples, _ = settled()
    factors = samples.factors.copy()
    factors[:, 0], factors[:, 2] = -1.0 * (samples.user % 2), 0.5 * (samples.item % 3)
    both = arms(replace(samples, factors=factors))
    found = {arm.name: arm.weights[0] for arm in both[3:]}
    assert list(found) == ["noise alone", "balance alone", "without noise", "without balance"]
    assert found["without noise"] == pytest.approx(found["balance alone"])


def test_collected_samples_are_in_order_of_settlement() -> None:
    table, collector = samples_table(300), Collector()
    order = np.random.default_rng(0).permutation(300)
    for part in np.array_split(order, 3):
        collector.settled(table.take(pa.array(part)).combine_chunks().to_batches()[0])
    found = collector.samples()
    assert found.offset.tolist() == list(range(300))
    assert found.label.tolist() == table["label"].to_pylist()
    hashes = np.array(table["user_hash"].to_pylist())
    assert np.array_equal(found.user[:, None] == found.user, hashes[:, None] == hashes)
    given = np.array(table["features"].to_pylist())
    assert np.array_equal(found.features[:, None] == found.features, given[:, None] == given)


def test_too_little_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="no settled samples"):
        Collector().samples()
    samples, _ = settled(400)
    with pytest.raises(UsageError, match=r"labels\.window_s"):
        split(replace(samples, settled_ms=samples.settled_ms + 10**9))
    with pytest.raises(UsageError, match="same label"):
        split(replace(samples, label=np.zeros(400, np.int8)))
