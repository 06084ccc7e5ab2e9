"""What moved f(x): complete, right against finite differences, and silent about what does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.attribution import Attribution, attribute, baseline_vector
from models.forward import IMPORTANCE, NetWeights, input_vectors, scores
from models.inputs import Inputs, label_known, label_unknown
from tests.support.samples import made_samples, made_weights

SAMPLES = made_samples(60, seed=999)  # another seed than any net's, whose means the numbers would hit


def made_net(seed: int, embedding_scale: float = 50.0) -> NetWeights:
    """A net whose embeddings and biases matter as much as its numbers do."""
    weights, rng = made_weights(seed), np.random.default_rng(seed)
    tables = {name: getattr(weights, name) * np.float32(embedding_scale) for name in ("user", "item", "category")}
    biases = {name: rng.normal(size=getattr(weights, name).shape).astype(np.float32) for name in ("b1", "b2")}
    return weights._replace(**tables, **biases)


def one(weights: NetWeights, row: int, known: bool = True) -> Inputs:
    every = (label_known if known else label_unknown)(SAMPLES, weights.buckets)
    return Inputs(every.ids[row : row + 1], every.numbers[row : row + 1])


def logits(weights: NetWeights, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """logit f of input vectors (n, inputs), in float64."""
    w = [array.astype(np.float64) for array in weights]
    h1 = np.maximum(x @ w[6] + w[7], 0)
    h2 = np.maximum(h1 @ w[8] + w[9], 0)
    return h2 @ w[10][:, IMPORTANCE] + w[11][IMPORTANCE]


def total(found: Attribution) -> float:
    return float(found.ids.sum() + found.numbers.sum())


@given(seed=st.integers(0, 900), row=st.integers(0, 59), known=st.booleans())
def test_contributions_add_up_to_what_f_moved(seed: int, row: int, known: bool) -> None:
    weights = made_net(seed)
    sample = one(weights, row, known)
    found = attribute(weights, sample)
    assert total(found) == pytest.approx(found.logit - found.baseline_logit, abs=1e-9)
    assert 1 / (1 + np.exp(-found.logit)) == pytest.approx(scores(weights, sample)[0, IMPORTANCE], abs=1e-5)


@pytest.mark.parametrize("row", range(5))
def test_contributions_are_the_integral_of_finite_differences(row: int) -> None:
    weights, steps, h = made_net(row), 5_000, 1e-6
    sample = one(weights, row)
    x, start = input_vectors(weights, sample)[0].astype(np.float64), baseline_vector(weights, sample)
    line = start + ((np.arange(steps) + 0.5) / steps)[:, None] * (x - start)
    expected = np.zeros(len(x))
    for i in np.flatnonzero(x != start):
        step = np.zeros(len(x))
        step[i] = h
        expected[i] = (x[i] - start[i]) * (
            (logits(weights, line + step) - logits(weights, line - step)) / (2 * h)
        ).mean()
    found = attribute(weights, sample)
    width = weights.user.shape[1]
    assert found.ids == pytest.approx(expected[: 3 * width].reshape(3, width).sum(axis=1), abs=2e-3)
    assert found.numbers == pytest.approx(expected[-len(weights.mean) :], abs=2e-3)
    assert np.abs(found.numbers).max() > 0.1  # there is something to agree on


@given(seed=st.integers(0, 900), row=st.integers(0, 59))
def test_an_input_that_nothing_depends_on_contributes_nothing(seed: int, row: int) -> None:
    weights = made_net(seed)
    width, dead = weights.user.shape[1], weights.w1.copy()
    dead[:width] = 0  # the user
    dead[-3] = 0  # the feature score
    found = attribute(weights._replace(w1=dead), one(weights, row))
    assert found.ids[0] == 0
    assert found.numbers[-3] == 0


def test_the_baseline_sample_itself_has_nothing_to_explain() -> None:
    weights = made_net(3)
    sample = one(weights, 0)
    ids = sample.ids.copy()
    ids[:, :3] = 0
    found = attribute(weights, Inputs(ids, weights.mean[None].copy()))
    assert found.logit == found.baseline_logit
    assert not found.ids.any()
    assert not found.numbers.any()


def test_without_hidden_kinks_a_contribution_is_the_weight_times_the_difference() -> None:
    weights = made_net(4)
    weights = weights._replace(b1=weights.b1 + 1_000, b2=np.abs(weights.b2) + 1_000_000)  # every unit always speaks
    sample = one(weights, 7)
    x, start = input_vectors(weights, sample)[0].astype(np.float64), baseline_vector(weights, sample)
    effect = (
        weights.w1.astype(np.float64) @ weights.w2.astype(np.float64) @ weights.w3[:, IMPORTANCE].astype(np.float64)
    )
    found = attribute(weights, sample)
    assert found.numbers == pytest.approx(((x - start) * effect)[-len(weights.mean) :], rel=1e-9)


def test_one_sample_is_explained_at_a_time() -> None:
    weights = made_net(0)
    with pytest.raises(ValueError, match="one sample"):
        attribute(weights, label_known(SAMPLES, weights.buckets))
