"""Factors, normalisation, guard and clip: the formulas, and that nothing is ever not finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.contracts import FACTORS, RAW_FACTORS
from sie_online.importance import balance, delay, score
from sie_online.importance.factor import Learned, Moment
from sie_online.importance.guard import GuardConfig
from sie_online.importance.influence import no_net
from sie_online.importance.score import ScoreConfig
from sie_online.importance.weight import (
    GUARD,
    NORMALISER,
    WeightConfig,
    compose,
    effective_share,
    learning_weight,
    observe_weight,
)
from sie_online.shard.entities import CATEGORIES, POPULATION
from tests.support.moments import a_moment


def pinned(strength: float) -> GuardConfig:
    return GuardConfig(strength, math.log(20.0))


probabilities = st.floats(1e-6, 1 - 1e-6)
RAW = [FACTORS.index(name) for name in RAW_FACTORS]
raw_factors = st.lists(st.floats(-30, 30), min_size=len(RAW), max_size=len(RAW))
configs = st.builds(WeightConfig, st.floats(0, 1).map(pinned), st.just(1e-3), st.floats(1.5, 50), st.floats(0, 0.5))


def population() -> Any:
    return np.zeros(1, POPULATION)[0]


def factors(*raw: float) -> Any:
    out = np.zeros(len(FACTORS))
    out[RAW[: len(raw)]] = raw
    return out


@given(p=probabilities)
def test_fake_negative_weights_make_the_expected_gradient_that_of_the_true_labels(p: float) -> None:
    """Of 1 + p instantly learned samples, 1 is negative and p positive (Ktena et al. 2019)."""
    negatives = (1 / (1 + p)) * math.exp(delay.provisional(p))
    positives = (p / (1 + p)) * math.exp(delay.converted(p))
    assert negatives == pytest.approx(1 - p, rel=1e-9)
    assert positives == pytest.approx(p, rel=1e-9)


@given(told=st.lists(raw_factors, min_size=1, max_size=30), cfg=configs)
def test_columns_add_up_and_weights_stay_within_their_bounds(told: list[list[float]], cfg: WeightConfig) -> None:
    state = population()
    for raw in told:
        columns = factors(*(value / len(RAW) for value in raw))
        weight = compose(cfg, state, columns)
        observe_weight(state, columns)
        assert math.log(weight) == pytest.approx(columns.sum(), abs=1e-9)
        assert cfg.minimum * (1 - 1e-9) <= weight <= cfg.maximum * (1 + 1e-9)
        assert np.isfinite(columns).all()


def test_the_normaliser_divides_by_the_running_mean() -> None:
    state, cfg = population(), WeightConfig(pinned(1.0), 1e-3, 100.0, 0.0)
    for _ in range(5_000):
        columns = factors(math.log(3.0))
        weight = compose(cfg, state, columns)
        observe_weight(state, columns)
    assert weight == pytest.approx(1.0, abs=0.01)
    assert columns[NORMALISER] == pytest.approx(-math.log(3.0), abs=0.01)


@given(strength=st.floats(0, 1), raw=st.floats(-3, 2))
def test_the_guard_interpolates_between_one_and_the_weight(strength: float, raw: float) -> None:
    columns = factors(raw)
    weight = compose(WeightConfig(pinned(strength), 1e-3, 100.0, 0.0), population(), columns)
    assert weight == pytest.approx(1 + strength * (math.exp(raw) - 1), rel=1e-9)
    assert columns[GUARD] == pytest.approx(math.log(weight) - raw, abs=1e-9)


def test_the_effective_sample_size_keeps_its_floor() -> None:
    rng, state, floor = np.random.default_rng(0), population(), 0.5
    weights = []
    for raw in rng.normal(0, 1.0, 20_000):
        columns = factors(raw)
        weights.append(compose(WeightConfig(pinned(1.0), 1e-3, 1e3, floor), state, columns))
        observe_weight(state, columns)
    assert effective_share(state) < 0.45, "the raw weights are below the floor"
    tail = np.array(weights[2_000:])
    assert tail.sum() ** 2 / (tail**2).sum() / len(tail) > 0.9 * floor


def test_the_twin_learns_without_delay_and_at_full_strength() -> None:
    cfg = WeightConfig(pinned(0.0), 1e-3, 100.0, 0.0)
    columns = factors()
    for name, value in (("noise", -1.0), ("delay", -0.5), ("balance", 0.25)):
        columns[FACTORS.index(name)] = value
    assert learning_weight(cfg, population(), columns) == pytest.approx(math.exp(-0.75))


@given(labels=st.lists(st.integers(0, 1), max_size=50), power=st.floats(0, 1))
def test_classes_balance_each_other_within_a_bound(labels: list[int], power: float) -> None:
    state = population()
    for label in labels:
        state["labelled"][label] += 1
    up, down = (balance.class_log_weight(state, label, power) for label in (0, 1))
    assert up == pytest.approx(-down)
    assert abs(up) <= balance.CLASS_BOUND


def test_a_group_beyond_its_share_is_weighed_down_to_it() -> None:
    state, category = population(), np.zeros(1, CATEGORIES)[0]
    state["grouped"], category["n_events"] = 10_000, 5_000
    assert balance.group_log_weight(state, category, 0.2) == pytest.approx(math.log(0.2 / 0.5))
    category["n_events"] = 1_000
    assert balance.group_log_weight(state, category, 0.2) == 0.0


def sample(p: float, error: float, feature_score: float) -> Moment:
    return a_moment(probability=p, error=error, feature_score=feature_score)


@given(
    mode=st.sampled_from([score.SUM, score.PRODUCT]),
    given=st.lists(st.tuples(probabilities, st.floats(-1, 1) | st.just(math.nan), st.floats(0, 50)), max_size=40),
    k=st.floats(0.5, 10),
)
def test_the_score_factor_is_finite(mode: int, given: list[Any], k: float) -> None:
    cfg, learned = ScoreConfig(True, mode, k), Learned(population(), no_net())
    for scores in given:
        assert math.isfinite(score.log_weight(cfg, learned, sample(*scores)))
        score.observe(cfg, learned.population, sample(*scores))


def test_the_score_factor_averages_to_k() -> None:
    rng, cfg, learned = np.random.default_rng(0), ScoreConfig(True, score.SUM, 2.0), Learned(population(), no_net())
    values = []
    for _ in range(4_000):
        each = sample(rng.beta(1, 20), math.nan, rng.exponential(0.5))
        values.append(math.exp(score.log_weight(cfg, learned, each)))
        score.observe(cfg, learned.population, each)
    assert np.mean(values[1_000:]) == pytest.approx(2.0, rel=0.05)
