"""What shards have learned adds up; what others have learned can be put in, replaced and taken out again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online.features import FACTOR_COLUMNS, N_FEATURES
from sie_online.recommender import RecommenderArrays, RecommenderConfig, learn, new_model, predict
from sie_online.recommender.pooling import Gain, Gains, gains_of, replace, total

CFG = RecommenderConfig()
DIM = 1 << 10


def start() -> RecommenderArrays:
    return new_model(CFG, N_FEATURES, FACTOR_COLUMNS, dim=DIM, factor_dim=1 << 8, seed=3)


def taught(seed: int, n: int = 200) -> RecommenderArrays:
    """A model that has learned ``n`` samples whose label its second column gives away, in 90 of 100 cases."""
    model, rng = start(), np.random.default_rng(seed)
    for _ in range(n):
        idx = rng.integers(1, DIM, N_FEATURES).astype(np.uint32)
        label = rng.integers(0, 2)
        idx[1] = 7 + (label if rng.random() < 0.9 else 1 - label)
        for twin in range(2):
            learn(CFG, model, twin, idx, float(label), 1.0 + twin)
    return model


def same(a: RecommenderArrays, b: RecommenderArrays, tolerance: float) -> bool:
    return all(np.allclose(getattr(a, name), getattr(b, name), atol=tolerance) for name in ("linear", "factors"))


def copied(model: RecommenderArrays) -> RecommenderArrays:
    return model._replace(linear=model.linear.copy(), factors=model.factors.copy())


@pytest.fixture(scope="module")
def parts() -> list[Gains]:
    return [gains_of(taught(seed), start(), None) for seed in range(3)]


def test_who_has_learned_nothing_has_gained_nothing() -> None:
    gains = gains_of(start(), start(), None)
    assert len(gains.linear.rows) == len(gains.factors.rows) == 0


def test_what_a_model_gained_makes_it_out_of_one_that_knows_nothing(parts: list[Gains]) -> None:
    model = start()
    replace(model, start(), None, parts[0])
    assert same(model, taught(0), 1e-5)


def test_others_can_be_taken_out_again(parts: list[Gains]) -> None:
    model = taught(0)
    replace(model, start(), None, total(parts[1:], start()))
    assert not same(model, taught(0), 1e-2)
    replace(model, start(), total(parts[1:], start()), None)
    assert same(model, taught(0), 1e-6)


def test_a_shard_s_own_part_is_what_is_left_without_the_others(parts: list[Gains]) -> None:
    model, others = taught(0), total(parts[1:], start())
    replace(model, start(), None, others)
    own = gains_of(model, start(), others)
    again = start()
    replace(again, start(), None, own)
    assert same(again, taught(0), 1e-5)


def test_every_shard_comes_to_the_same_model_whichever_part_is_its_own(parts: list[Gains]) -> None:
    models = [taught(seed) for seed in range(3)]
    for own, model in enumerate(models):
        replace(model, start(), None, total((part for n, part in enumerate(parts) if n != own), start()))
    assert same(models[0], models[1], 1e-5)
    assert same(models[1], models[2], 1e-5)


def test_newer_parts_take_the_place_of_older_ones(parts: list[Gains]) -> None:
    through, at_once = taught(0), taught(0)
    replace(through, start(), None, parts[1])
    replace(through, start(), parts[1], parts[2])
    replace(at_once, start(), None, parts[2])
    assert same(through, at_once, 1e-6)


def test_what_others_have_learned_helps_who_has_learned_little(parts: list[Gains]) -> None:
    novice, helped = taught(9, n=3), taught(9, n=3)
    replace(helped, start(), None, total(parts, start()))
    idx = np.arange(1, N_FEATURES + 1).astype(np.uint32)

    def told_apart(model: RecommenderArrays) -> float:
        scores = []
        for idx[1] in (7, 8):
            scores.append(predict(CFG, model, 0, idx).probability)
        return float(scores[1] - scores[0])

    assert told_apart(helped) > told_apart(novice) + 0.2


@hypothesis_settings(max_examples=30)
@given(products=st.floats(-1e30, 1e30), curvature=st.floats(-1e30, 1e30))
def test_no_part_can_make_a_coefficient_infinite_or_a_curvature_small(products: float, curvature: float) -> None:
    model, rows = taught(0), np.arange(20, dtype=np.int32)
    wild = Gains(
        *(
            Gain(rows, np.broadcast_to(np.repeat([products, curvature], k), (20, 2, 2 * k)).astype(np.float32))
            for k in (1, 4)
        )
    )
    replace(model, start(), None, wild)
    assert np.isfinite(model.linear).all()
    assert np.isfinite(model.factors).all()
    assert (model.linear[..., 1] >= CFG.curvature).all()
    assert (model.factors[..., 4:] >= CFG.factor_curvature).all()
