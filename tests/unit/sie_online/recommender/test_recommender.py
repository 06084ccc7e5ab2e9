"""The recommender: steps, twins, safety, River's protocol, plug-ins."""

from __future__ import annotations

import doctest
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import base, linear_model, naive_bayes
from river.checks import yield_checks

from sie_online.errors import SettingsError
from sie_online.recommender import (
    UNIFORM,
    WEIGHTED,
    CurvatureLogisticRegression,
    RecommenderArrays,
    RecommenderConfig,
    RiverRecommender,
    classifier,
    learn,
    learn_predicted,
    new_model,
    note_usage,
    predict,
    take_back,
)
from sie_online.recommender.plugin import probability_of

CFG = RecommenderConfig()
COLUMNS = 5
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


def make(fields: tuple[int, ...] = (0, 1, 2), **options: Any) -> RecommenderArrays:
    return new_model(CFG, COLUMNS, fields, **{"dim": 1 << 8, "factor_dim": 1 << 6, **options})


def row(*idx: int) -> npt.NDArray[np.uint32]:
    return np.array(idx, dtype=np.uint32)


IDX = row(3, 9, 27, 81, 0)


def probability(model: RecommenderArrays, twin: int = UNIFORM, idx: npt.NDArray[np.uint32] = IDX) -> float:
    return float(predict(CFG, model, twin, idx).probability)


def same_state(a: RecommenderArrays, b: RecommenderArrays) -> bool:
    return all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in ("linear", "factors", "usage", "n_scored")
    )


def test_learning_moves_the_probability_towards_the_label() -> None:
    model = make()
    before = probability(model)
    learn(CFG, model, UNIFORM, IDX, 1.0, 1.0)
    up = probability(model)
    learn(CFG, model, UNIFORM, IDX, 0.0, 1.0)
    assert before < up
    assert probability(model) < up


def test_twins_with_the_same_weights_stay_equal_and_else_do_not_touch_each_other() -> None:
    model = make()
    for twin in (UNIFORM, WEIGHTED):
        learn(CFG, model, twin, IDX, 1.0, 1.0)
    assert probability(model, UNIFORM) == probability(model, WEIGHTED)
    untouched = model.linear[:, UNIFORM].copy(), model.factors[:, UNIFORM].copy()
    learn(CFG, model, WEIGHTED, IDX, 0.0, 3.0)
    assert np.array_equal(untouched[0], model.linear[:, UNIFORM])
    assert np.array_equal(untouched[1], model.factors[:, UNIFORM])
    assert probability(model, WEIGHTED) < probability(model, UNIFORM)


def test_the_start_depends_on_the_seed_alone() -> None:
    assert same_state(make(seed=1), make(seed=1))
    assert not np.array_equal(make(seed=1).factors, make(seed=2).factors)


def test_absent_columns_teach_nothing_and_are_not_taught() -> None:
    model = make()
    learn(CFG, model, UNIFORM, row(0, 0, 0, 0, 0), 1.0, 1.0)
    assert same_state(model, make())


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan])
def test_a_weight_that_is_not_positive_teaches_nothing(weight: float) -> None:
    model = make()
    learn(CFG, model, UNIFORM, IDX, 1.0, weight)
    assert same_state(model, make())


def test_taking_a_negative_back_restores_the_probability() -> None:
    model = make()
    before = probability(model)
    learn(CFG, model, UNIFORM, IDX, 0.0, 1.0)
    after = probability(model)
    take_back(CFG, model, UNIFORM, IDX, before, 1.0)
    assert abs(probability(model) - before) < 0.05 * abs(after - before)


def test_a_weight_of_n_is_about_n_steps_of_one() -> None:
    once, often = make(()), make(())
    learn(CFG, once, UNIFORM, IDX, 1.0, 4.0)
    for _ in range(4):
        learn(CFG, often, UNIFORM, IDX, 1.0, 1.0)
    assert probability(once) == pytest.approx(probability(often), rel=0.05)


def test_no_weight_overshoots_what_endless_repetition_would_reach() -> None:
    """A plain gradient step of weight 1e4 would move the logit by thousands; the closed form by its logarithm."""
    model = make(())
    learn(CFG, model, UNIFORM, IDX, 1.0, 1e4)
    logit = CFG.prior_logit + sum(float(model.linear[i, UNIFORM, 0]) for i in IDX)
    assert 0.0 < logit < np.log(1e4)


@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.floats(0, 1e9), st.lists(st.integers(0, 255), min_size=COLUMNS, max_size=COLUMNS)),
        max_size=60,
    ),
    thens=st.lists(NUMBERS, min_size=1, max_size=5),
)
def test_nothing_ever_becomes_infinite(steps: list[tuple[bool, float, list[int]]], thens: list[float]) -> None:
    model = make()
    for n, (y, weight, columns) in enumerate(steps):
        idx = row(*columns)
        learn(CFG, model, UNIFORM, idx, float(y), weight)
        take_back(CFG, model, UNIFORM, idx, thens[n % len(thens)], weight)
        got = predict(CFG, model, UNIFORM, idx)
        note_usage(model, UNIFORM)
        assert 1e-6 <= got.probability <= 1 - 1e-6
        assert got.feature_score >= 0 and 0 <= got.uncertainty <= 0.5
    assert np.isfinite(model.linear).all() and np.isfinite(model.factors).all() and np.isfinite(model.usage).all()
    assert (model.linear[:, :, 1] >= CFG.curvature - 1e-9).all()


@given(steps=st.lists(st.tuples(st.booleans(), NUMBERS, st.permutations(range(COLUMNS))), max_size=20))
def test_to_learn_what_was_just_predicted_is_to_learn_it(steps: list[tuple[bool, float, list[int]]]) -> None:
    once, again = make(), make()
    for y, weight, columns in steps:
        idx = row(*columns)
        learn(CFG, once, WEIGHTED, idx, float(y), weight)
        logits = predict(CFG, again, WEIGHTED, idx).logits
        learn_predicted(CFG, again, WEIGHTED, idx, logits, float(y), weight)
        assert same_state(once, again)


def test_uncertainty_shrinks_with_what_was_seen() -> None:
    model = make()

    def logit_spread() -> float:
        got = predict(CFG, model, UNIFORM, IDX)
        return float(got.uncertainty / (got.probability * (1 - got.probability)))

    before = logit_spread()
    for n in range(200):
        learn(CFG, model, UNIFORM, IDX, float(n % 2), 1.0)
    assert logit_spread() < 0.5 * before


def test_the_feature_score_weighs_contributions_by_their_running_share() -> None:
    model = make(())
    model.linear[IDX[:4], UNIFORM, 0] = [0.1, -0.2, 0.3, 0.0]
    predict(CFG, model, UNIFORM, IDX)
    note_usage(model, UNIFORM)
    assert model.usage[UNIFORM] == pytest.approx([0.1, 0.2, 0.3, 0.0, 0.0])
    model.linear[IDX[:4], UNIFORM, 0] = [1.0, 1.0, -1.0, 5.0]
    assert predict(CFG, model, UNIFORM, IDX).feature_score == pytest.approx(1.0)
    note_usage(model, UNIFORM)
    assert model.usage[UNIFORM] == pytest.approx([0.55, 0.6, 0.65, 2.5, 0.0])


def test_contributions_add_up_to_the_mean_logit() -> None:
    model = make()
    model.factors[:, :, :4] = np.random.default_rng(0).normal(size=model.factors[:, :, :4].shape)
    learn(CFG, model, UNIFORM, IDX, 1.0, 1.0)
    predict(CFG, model, UNIFORM, IDX)
    linear = sum(float(model.linear[i, UNIFORM, 0]) for i in IDX[:4])
    v = model.factors[IDX[:3] & 63, UNIFORM, :4]
    pairs = v[0] @ v[1] + v[0] @ v[2] + v[1] @ v[2]
    assert model.contribution[UNIFORM].sum() == pytest.approx(linear + 0.5 * pairs)


@pytest.mark.parametrize("size", [0, 1, 3, 1000])
def test_table_sizes_that_are_no_power_of_two_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        make(dim=size)


@pytest.mark.parametrize("check", [pytest.param(c, id=c.__name__) for c in yield_checks(CurvatureLogisticRegression())])
def test_it_is_an_estimator_as_river_understands_it(check: Callable[[Any], None]) -> None:
    check(CurvatureLogisticRegression())


PAIRED = CurvatureLogisticRegression(interactions=("ip_in_url", "empty_server_form_handler"))


@pytest.mark.parametrize("check", [pytest.param(c, id=c.__name__) for c in yield_checks(PAIRED)])
def test_with_interactions_it_is_one_too(check: Callable[[Any], None]) -> None:
    check(PAIRED.clone())


def test_its_example_runs() -> None:
    assert doctest.testmod(classifier).failed == 0


FEATURES = st.dictionaries(
    st.sampled_from(["user", "item", "price", "hour", "age"]),
    st.one_of(st.none(), st.booleans(), NUMBERS, st.integers(-100, 100), st.sampled_from(["a", "b", "c"])),
)


@given(st.lists(st.tuples(FEATURES, st.booleans(), st.floats(0, 100)), min_size=1, max_size=25))
def test_columns_give_the_same_numbers_as_dictionaries(rows: list[tuple[dict[str, Any], bool, float]]) -> None:
    one = CurvatureLogisticRegression(interactions=("user", "item"), dim=1 << 8, factor_dim=1 << 4)
    many = one.clone()
    encoded = [one.encode(x) for x, _, _ in rows]
    width = max(len(idx) for idx, _ in encoded)
    idx, values = np.zeros((len(rows), width), np.uint32), np.zeros((len(rows), width))
    for n, (i, v) in enumerate(encoded):
        idx[n, : len(i)], values[n, : len(i)] = i, v
    for x, y, w in rows:
        one.learn_one(x, y, w)
    many.learn_columns(idx, [y for _, y, _ in rows], [w for _, _, w in rows], values)
    assert many.predict_columns(idx, values).tolist() == [one.predict_proba_one(x)[True] for x, _, _ in rows]


def test_rows_that_cannot_be_meant_are_refused() -> None:
    model = CurvatureLogisticRegression(interactions=("user",), dim=16)
    with pytest.raises(ValueError, match="idx holds 16, but dim is 16"):
        model.predict_columns(np.array([[16]], dtype=np.uint32))
    with pytest.raises(ValueError, match="a column for each"):
        model.predict_columns(np.zeros((1, 0), dtype=np.uint32))
    with pytest.raises(ValueError, match="1 rows but 2 labels"):
        model.learn_columns(np.ones((1, 1), dtype=np.uint32), [True, False])
    with pytest.raises(ValueError, match="values have shape"):
        model.predict_columns(np.ones((1, 1), dtype=np.uint32), [[1.0, 2.0]])


def test_interactions_learn_what_no_sum_can() -> None:
    """Positive where both agree: exclusive or, beyond any additive model."""
    rows = [({"a": a, "b": b}, a == b) for a in ("x", "y") for b in ("x", "y")]
    losses: dict[tuple[str, ...] | None, float] = {}
    for interactions in (None, ("a", "b")):
        model = CurvatureLogisticRegression(interactions=interactions, factor_curvature=0.05)
        for _ in range(400):
            for x, y in rows:
                model.learn_one(x, y)
        losses[interactions] = sum(abs(y - model.predict_proba_one(x)[True]) for x, y in rows)
    assert losses["a", "b"] < 0.8 * losses[None]


def test_a_pickled_classifier_goes_on_with_the_same_numbers() -> None:
    model = CurvatureLogisticRegression(interactions=("user",))
    model.learn_one({"user": "ann", "price": 1.5}, True)
    copy = pickle.loads(pickle.dumps(model))
    for m in (model, copy):
        m.learn_one({"user": "bob"}, False)
    assert copy.predict_proba_one({"user": "ann"}) == model.predict_proba_one({"user": "ann"})


X = {"pair_views": 0.7, "pair_state=3": 1.0}


def test_any_river_classifier_takes_the_place() -> None:
    plugged = RiverRecommender("river.linear_model.LogisticRegression")
    plain = linear_model.LogisticRegression()
    for _ in range(5):
        plugged.learn(X, True, 1.0)
        plain.learn_one(X, True)
    assert plugged.predict(X) == (plain.predict_proba_one(X)[True],) * 2


def test_only_the_weighted_twin_feels_the_weight() -> None:
    plugged = RiverRecommender("river.linear_model.LogisticRegression")
    assert plugged.takes_weights
    plugged.learn(X, True, 5.0)
    uniform, weighted = plugged.predict(X)
    assert 0.5 < uniform < weighted


@pytest.mark.parametrize("weight", [0.0, np.nan, np.inf])
def test_a_useless_weight_leaves_the_weighted_twin_alone(weight: float) -> None:
    plugged = RiverRecommender("river.linear_model.LogisticRegression")
    plugged.learn(X, True, weight)
    assert plugged.predict(X)[1] == 0.5


def test_a_classifier_without_weights_learns_the_same_twice() -> None:
    plugged = RiverRecommender("river.tree.HoeffdingTreeClassifier")
    assert plugged.predict(X) == (0.5, 0.5)
    plugged.learn(X, False, 3.0)
    uniform, weighted = plugged.predict(X)
    assert uniform == weighted == 1e-6


def test_a_random_classifier_repeats_itself() -> None:
    a, b = (RiverRecommender("river.forest.ARFClassifier", seed=7) for _ in range(2))
    for n in range(100):
        for model in (a, b):
            model.learn({**X, "pair_views": n % 7}, n % 3 == 0, 1.0)
    assert a.predict(X) == b.predict(X)


def test_a_classifier_without_probabilities_votes() -> None:
    class Always(base.Classifier):
        def learn_one(self, x: Any, y: Any) -> None: ...

        def predict_one(self, x: Any, **kwargs: Any) -> bool:
            return True

    assert probability_of(Always(), X) == 1 - 1e-6


def test_a_probability_that_is_no_number_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged = RiverRecommender("river.naive_bayes.GaussianNB")
    monkeypatch.setattr(naive_bayes.GaussianNB, "predict_proba_one", lambda self, x, **kwargs: {True: float("nan")})
    assert plugged.predict(X) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("LogisticRegression", "no dotted path"),
        ("river.linear_model.Nothing", "cannot import"),
        ("no.such.module.Thing", "cannot import"),
        ("river.linear_model.LinearRegression", "not a River classifier"),
        ("os.path.join", "not a River classifier"),
        ("river.ensemble.BaggingClassifier", "with its defaults"),
    ],
)
def test_a_path_that_names_no_classifier_is_refused_with_a_sentence(path: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"recommender.classifier: .*{reason}"):
        RiverRecommender(path)
