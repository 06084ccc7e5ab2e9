"""The area under the ROC curve by hand; a mean's bound against Student's, and where values of a user agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from sie_online.metrics import LEAST_CLUSTERS, auc, clustered_mean, counted_auc


def test_it_counts_ordered_pairs_and_halves_ties() -> None:
    assert auc(np.array([0, 1]), np.array([0.1, 0.2])) == 1.0
    assert auc(np.array([0, 1]), np.array([0.2, 0.1])) == 0.0
    assert auc(np.array([0, 1, 1]), np.array([0.1, 0.1, 0.2])) == 0.75


def test_it_equals_scikit_learns_on_scores_with_many_ties() -> None:
    dice = np.random.default_rng(0)
    positive, score = dice.random(1_000) < 0.1, dice.integers(0, 20, 1_000) / 20
    assert auc(positive, score) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_a_counted_auc_is_that_of_samples_that_are_there_as_often() -> None:
    rng = np.random.default_rng(3)
    positive, score = rng.random(500) < 0.2, np.round(rng.random(500), 1)  # many tie
    level, times = np.unique(score, return_inverse=True)[1], rng.integers(0, 4, 500)
    repeated = np.repeat(np.arange(500), times)
    assert counted_auc(positive, level, times) == pytest.approx(auc(positive[repeated], score[repeated]), abs=1e-12)


def test_one_class_has_no_auc() -> None:
    assert math.isnan(auc(np.zeros(3), np.arange(3.0)))
    assert math.isnan(counted_auc(np.zeros(3, np.bool_), np.arange(3), np.ones(3)))


@given(st.lists(st.integers(-1_000, 1_000), min_size=LEAST_CLUSTERS, max_size=40), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_bound_is_students_where_every_value_is_a_cluster(drawn: list[int], level: float) -> None:
    values = np.array(drawn) / 100
    found = clustered_mean(values, np.arange(len(values)), level)
    deviation = values.std(ddof=1) / math.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean())
    expected = values.mean() - stats.t.ppf(level, len(values) - 1) * deviation
    assert found.lower == pytest.approx(expected, abs=0.003 * deviation + 1e-12)


def test_it_is_the_jackknife_over_clusters_of_any_size() -> None:
    dice = np.random.default_rng(0)
    cluster, values = dice.geometric(0.1, 500), dice.normal(size=500)
    kept = [values[cluster != one].mean() for one in np.unique(cluster)]
    n = len(kept)
    deviation = math.sqrt((n - 1) / n * np.square(np.array(kept) - values.mean()).sum())
    found = clustered_mean(values, cluster, 0.95)
    assert found.clusters == n
    assert found.lower == pytest.approx(values.mean() - stats.t.ppf(0.95, n - 1) * deviation, rel=1e-5)


def test_the_bound_keeps_its_level_where_the_values_of_a_user_agree() -> None:
    dice = np.random.default_rng(0)
    size = np.maximum(1, dice.pareto(1.5, 60).astype(int))  # a few users have much of the log
    cluster = np.repeat(np.arange(60), size)

    def above_zero(one: np.ndarray) -> float:
        drawn = (np.repeat(dice.normal(size=60), size) + 0.1 * dice.normal(size=len(cluster)) for _ in range(2_000))
        return float(np.mean([clustered_mean(values, one, 0.95).lower > 0 for values in drawn]))

    assert above_zero(cluster) < 0.07
    assert above_zero(np.arange(len(cluster))) > 0.1  # what it is without the users


def test_few_clusters_bound_nothing() -> None:
    values = np.arange(1.0, 9.0)
    assert clustered_mean(values, np.arange(8) % (LEAST_CLUSTERS - 1), 0.95).lower == -math.inf
    assert clustered_mean(values, np.arange(8) % LEAST_CLUSTERS, 0.95).lower > 0
    assert clustered_mean(np.empty(0), np.empty(0), 0.95).lower == -math.inf
