"""The AUC of a stream is the AUC of its newest samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from streams.observe.running_auc import RunningAuc

FOR_EVER = 1e12


def samples(n: int, base: float, spread: float, seed: int = 0) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Labels (n,) and probabilities (n,) around ``base``, the wider apart the larger ``spread``."""
    rng = np.random.default_rng(seed)
    logit = math.log(base / (1 - base)) + spread * rng.normal(size=n)
    probability = 1 / (1 + np.exp(-logit))
    return rng.random(n) < probability, probability


@pytest.mark.parametrize(("base", "spread"), [(0.5, 1.0), (0.02, 1.5), (0.001, 2.0), (0.3, 0.2), (0.9, 4.0)])
def test_it_is_the_auc(base: float, spread: float) -> None:
    positive, probability = samples(50_000, base, spread)
    auc = RunningAuc(FOR_EVER)
    auc.add(positive, probability)
    assert auc.value == pytest.approx(roc_auc_score(positive, probability), abs=5e-4)


def test_old_samples_fade() -> None:
    positive, probability = samples(6_000, 0.2, 1.5)
    upside_down = ~positive
    auc = RunningAuc(half_life=1_000)
    auc.add(upside_down, probability)
    auc.add(positive, probability)
    age = np.concatenate([np.arange(12_000)[::-1]])
    truth = roc_auc_score(
        np.concatenate([upside_down, positive]), np.tile(probability, 2), sample_weight=0.5 ** (age / 1_000)
    )
    assert auc.value == pytest.approx(truth, abs=2e-3)


def test_how_samples_arrive_makes_no_difference() -> None:
    positive, probability = samples(3_000, 0.1, 1.0)
    whole, parts = RunningAuc(500), RunningAuc(500)
    whole.add(positive, probability)
    for first in range(0, 3_000, 7):
        parts.add(positive[first : first + 7], probability[first : first + 7])
    assert parts.value == pytest.approx(whole.value, rel=1e-9)


def test_certainties_are_probabilities_too() -> None:
    auc = RunningAuc()
    auc.add(np.array([False, True, False]), np.array([0.0, 1.0, 0.5]))
    assert auc.value == 1.0


def test_it_is_undefined_until_both_labels_were_seen() -> None:
    auc = RunningAuc()
    assert math.isnan(auc.value)
    auc.add(np.array([True]), np.array([0.5]))
    assert math.isnan(auc.value)
    auc.add(np.array([False]), np.array([0.4]))
    assert auc.value == 1.0
