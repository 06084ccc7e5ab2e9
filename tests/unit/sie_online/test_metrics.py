"""The area under the ROC curve, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sie_online.metrics import auc


def test_it_counts_ordered_pairs_and_halves_ties() -> None:
    assert auc(np.array([0, 1]), np.array([0.1, 0.2])) == 1.0
    assert auc(np.array([0, 1]), np.array([0.2, 0.1])) == 0.0
    assert auc(np.array([0, 1, 1]), np.array([0.1, 0.1, 0.2])) == 0.75


def test_it_equals_scikit_learns_on_scores_with_many_ties() -> None:
    dice = np.random.default_rng(0)
    positive, score = dice.random(1_000) < 0.1, dice.integers(0, 20, 1_000) / 20
    assert auc(positive, score) == pytest.approx(roc_auc_score(positive, score), abs=1e-12)


def test_one_class_has_no_auc() -> None:
    assert math.isnan(auc(np.zeros(3), np.arange(3.0)))
