"""Metrics are scikit-learn's, draws count users whole, and kernels say the same compiled or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from sie_online.evaluation.compare.accounts import earlier
from sie_online.evaluation.compare.learners import (
    ContextLogistic,
    EmbeddingNet,
    learn_logistic,
    learn_towers,
    predict_logistic,
    predict_towers,
)
from sie_online.evaluation.compare.scores import Gain, score_draws, scores
from sie_online.evaluation.compare.settled import split
from tests.support.settled import settled


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), min_size=4, max_size=40))
def test_scores_are_those_of_scikit_learn(drawn: list[tuple[bool, int]]) -> None:
    label = np.array([one for one, _ in drawn], np.int8)
    label[:2] = (0, 1)
    p = np.array([level / 10 for _, level in drawn])
    found = scores(label, p[None], np.arange(len(label))).values[0]
    assert found[0] == pytest.approx(roc_auc_score(label, p))
    assert found[1] == pytest.approx(average_precision_score(label, p))
    assert found[2] == pytest.approx(log_loss(label, p))


def test_a_user_that_is_drawn_twice_counts_twice() -> None:
    rng = np.random.default_rng(0)
    p = np.sort(rng.random(50))[::-1]
    label, user = (rng.random(50) < p).astype(np.int8), rng.integers(0, 7, 50)
    times = rng.integers(0, 4, (5, 7)).astype(np.uint16)
    out = np.empty((5, 3))
    score_draws(p, label, np.ones(50), user, times, out)
    for draw in range(5):
        rows = np.repeat(np.arange(50), times[draw][user])
        assert out[draw, 0] == pytest.approx(roc_auc_score(label[rows], p[rows]))
        assert out[draw, 1] == pytest.approx(average_precision_score(label[rows], p[rows]))


def test_the_interval_is_wider_where_a_users_samples_agree() -> None:
    rng = np.random.default_rng(1)
    n, users = 4_000, 40
    user = np.repeat(np.arange(users), n // users)
    label = (rng.random(n) < np.where(user % 2, 0.9, 0.1)).astype(np.int8)
    base = np.full(n, 0.3) + rng.normal(0, 1e-3, n)
    agreeing = np.clip(base + 0.05 * rng.choice([-1, 1], users)[user], 0.01, 0.99)
    found = scores(label, np.stack([base, agreeing]), user).gain(np.array([1]), np.array([0]))
    apart = scores(label, np.stack([base, agreeing]), np.arange(n)).gain(np.array([1]), np.array([0]))
    assert found[0].deviation > 2 * apart[0].deviation


def test_a_gain_of_log_loss_is_a_fall_of_it() -> None:
    label = np.array([0, 1, 0, 1], np.int8)
    sharp, blunt = np.array([0.1, 0.9, 0.1, 0.9]), np.array([0.4, 0.6, 0.4, 0.6])
    auc, _, nll = scores(label, np.stack([sharp, blunt]), np.arange(4)).gain(np.array([0]), np.array([1]))
    assert auc.value == 0.0
    assert nll.value > 0.0


def test_an_interval_is_normal_and_grows_with_its_level_and_other_causes() -> None:
    gain = Gain(1.0, 0.5)
    assert gain.interval(0.95) == pytest.approx((1 - 0.98, 1 + 0.98), abs=1e-3)
    assert gain.interval(0.99)[0] < gain.interval(0.95)[0]
    assert gain.plus(1.2).deviation == pytest.approx(1.3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=30))
def test_earlier_adds_up_what_came_before_in_the_group(rows: list[tuple[int, int]]) -> None:
    group, value = (np.array(column) for column in zip(*rows, strict=True))
    totals: dict[int, int] = {}
    expected = []
    for key, one in rows:
        expected.append(totals.get(key, 0))
        totals[key] = totals.get(key, 0) + one
    assert earlier(group, value).tolist() == expected


def test_compiled_learners_are_their_python_twins(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _ = settled(900)
    learned, scored = (samples.take(rows) for rows in split(samples))
    weight = np.linspace(0.0, 2.0, len(learned))
    from sie_online.evaluation.compare import learners

    compiled = [one.predictions(learned, weight, scored, 3) for one in (ContextLogistic(), EmbeddingNet())]
    kernels: list[Any] = [learn_logistic, predict_logistic, learn_towers, predict_towers]
    for each in kernels:
        monkeypatch.setattr(learners, each.__name__, each.py_func)
    plain = [one.predictions(learned, weight, scored, 3) for one in (ContextLogistic(), EmbeddingNet())]
    assert np.array_equal(compiled, plain)
