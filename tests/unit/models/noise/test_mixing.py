"""The second stage: what the logits of event, user and item are worth together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from models.metrics import auc
from models.noise.forward import log_ratios
from models.noise.mixing import FREE, fit_mix
from models.noise.regression import regress
from sie_online.contracts import NOISE_MIXED
from tests.support.noise_examples import QUICK, made_examples

EXAMPLES = made_examples()
N = len(EXAMPLES.head)


def mixed_columns(examples: Any = EXAMPLES) -> Any:
    """The user's mean knows what is noise, the item's says the contrary, the event's own logit knows a little."""
    rng, sign = np.random.default_rng(0), np.where(examples.noise, 1.0, -1.0)
    known = {"one": np.ones(len(sign)), "user_mean": 2 * sign, "logit": 0.5 * sign, "item_mean": -0.5 * sign}
    columns = [
        known.get(name, np.zeros(len(sign))) + (name != "one") * rng.normal(size=len(sign)) for name in NOISE_MIXED
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def fitted(mixed: Any, examples: Any = EXAMPLES) -> Any:
    return fit_mix(mixed, examples.head, examples.noise, examples.innocent, examples.group, QUICK)


def test_what_knows_counts_and_nothing_but_constant_and_newness_is_ever_negative() -> None:
    mixed = mixed_columns()
    mix = fitted(mixed)
    assert mix.dtype == np.float32
    assert mix.shape == (3, len(NOISE_MIXED))
    by_name = dict(zip(NOISE_MIXED, mix.T, strict=True))
    assert (by_name["item_mean"] == 0).all()
    assert (by_name["user_mean"] > by_name["logit"]).all()
    assert all((column >= 0).all() for name, column in by_name.items() if name not in FREE)
    assert auc(EXAMPLES.noise, log_ratios(mix, mixed, EXAMPLES.head)) > 0.97


def test_a_head_without_noise_has_a_ratio_of_1_whatever_is_mixed() -> None:
    rows = np.flatnonzero((EXAMPLES.head != 2) | ~EXAMPLES.noise)
    mix = fitted(mixed_columns()[rows], EXAMPLES.take(rows))
    assert not mix[2].any()
    assert mix[:2].any(axis=1).all()


def test_examples_that_teach_nothing_are_refused_in_words() -> None:
    mixed, noise = mixed_columns(), np.flatnonzero(EXAMPLES.noise)
    with pytest.raises(ValueError, match="no head has both"):
        fitted(mixed[noise], EXAMPLES.take(noise))
    for wrong in (mixed[:, 1:], mixed[1:], mixed * np.float32(np.nan)):
        with pytest.raises(ValueError, match="what is mixed"):
            fitted(wrong)


@given(st.integers(0, 10_000))
def test_the_regression_is_scikit_learns_where_no_bound_is_met_and_within_bounds_always(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(200, 3))
    target = (rng.random(200) < 1 / (1 + np.exp(-x @ rng.normal(size=3)))).astype(np.float64)
    weight = rng.random(200)
    weight /= weight.sum()
    if len(np.unique(target)) < 2:
        return
    free, start = np.full(3, -np.inf), np.zeros(3)
    found = regress(x, target, weight, start, free, 0.01)
    reference = LogisticRegression(C=100.0, fit_intercept=False, tol=1e-10, max_iter=1000)
    assert found == pytest.approx(reference.fit(x, target, sample_weight=weight).coef_[0], abs=1e-3)
    bounded = regress(x, target, weight, start, np.zeros(3), 0.01)
    assert (bounded >= 0).all()
    p = 1 / (1 + np.exp(-x @ bounded))
    slope = x.T @ (weight * (p - target)) + 0.01 * bounded
    assert np.abs(slope[bounded > 0]).max(initial=0) < 1e-6  # Karush-Kuhn-Tucker
    assert slope[bounded == 0].min(initial=0) > -1e-6
