"""The gate: what it lets through, what it refuses, and that its figures are what their names say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from models import metrics
from models.data import Ordered, ordered
from models.forward import NetWeights
from models.gate import Judged, composed, factor, importances, judge, trained, withdrawal
from models.learner import GateLearner
from models.samples import SampleColumns
from models.settings import Gate
from tests.support.samples import made_samples, made_weights

GATE = Gate(min_positives=10, gain_level=0)
"""No worse is enough."""
STRICT = Gate(min_positives=10, calibration_low=0, calibration_high=9)
"""Only evidence of gain is; labels in ``mislabelled`` are out of balance whatever the weights."""
ORDER = ordered(made_samples(4_000))


def net(*, label: float = 0.0, level: float = 0.0) -> NetWeights:
    """A net whose importance is sigmoid(level + label * error), the label known, and sigmoid(level) before.

    Error is 0 where it is unknown, positive for positives and negative for negatives.
    """
    weights = made_weights()
    w1, w2, w3 = (np.zeros_like(one) for one in (weights.w1, weights.w2, weights.w3))
    w1[-2, 0], w1[-2, 1] = 1, -1  # |error| in two halves, for ReLU
    w2[0, 0] = w2[1, 1] = 1
    w3[0, 1], w3[1, 1] = label, -label
    b3 = np.array([0, level], np.float32)
    return weights._replace(w1=w1, b1=0 * weights.b1, w2=w2, b2=0 * weights.b2, w3=w3, b3=b3)


def overflowing() -> NetWeights:
    """A net whose last hidden layer leaves float32 where the label is known."""
    weights = net(label=1.0)
    return weights._replace(w1=weights.w1 * 100, w2=np.full_like(weights.w2, 3e38))


def judged(weights: NetWeights, order: Ordered = ORDER, mean_f: float | None = None) -> Judged:
    f = importances(weights, order.samples)
    return Judged(weights, float(f.mean()) if mean_f is None else mean_f)


def test_a_constant_importance_changes_nothing_and_passes() -> None:
    verdict = judge(ORDER, judged(net(level=0.3)), None, GATE)
    assert verdict.passed
    assert verdict.reasons == ()
    uniform = verdict.report["uniform"]
    assert verdict.report["candidate"] == pytest.approx(uniform)
    assert uniform["effective_share"] == pytest.approx(1.0)


def test_the_model_in_force_passes_against_itself() -> None:
    same = judged(net(label=0.2))
    verdict = judge(ORDER, same, same, GATE)
    assert verdict.report["candidate"] == verdict.report["current"]
    assert not any("current" in reason for reason in verdict.reasons)


def test_verdicts_repeat() -> None:
    candidate = judged(net(label=0.5))
    assert judge(ORDER, candidate, None, GATE) == judge(ORDER, candidate, None, GATE)


def test_an_importance_that_turns_the_classes_round_is_refused_with_reasons() -> None:
    verdict = judge(ORDER, judged(net(label=-4.0, level=-1.0)), None, replace(GATE, weight_max=50.0))
    assert not verdict.passed
    assert any(reason.startswith("NLL") and "uniform" in reason for reason in verdict.reasons)
    assert any(reason.startswith("calibration") for reason in verdict.reasons)


def test_what_is_better_than_uniform_but_worse_than_the_model_in_force_is_refused() -> None:
    # Half of the training labels are wrong, and only the model in force knows them by their type.
    order, broken = mislabelled()
    knows = judged(by_event_type(broken), order)
    verdict = judge(order, judged(net(), order), knows, replace(GATE, calibration_low=0, calibration_high=9))
    assert not verdict.passed
    assert all("current" in reason for reason in verdict.reasons)
    assert judge(order, knows, judged(net(), order), replace(GATE, calibration_low=0, calibration_high=9)).passed


def test_only_what_gains_by_evidence_passes_unless_no_worse_is_enough() -> None:
    order, broken = mislabelled()
    knows, nothing = judged(by_event_type(broken), order), judged(net(), order)
    verdict = judge(order, knows, None, STRICT)
    assert verdict.passed
    gain, nll = verdict.report["gain"], {name: verdict.report[name]["nll"] for name in ("uniform", "candidate")}
    assert gain["uniform"] == pytest.approx(nll["uniform"] - nll["candidate"])  # type: ignore[operator]
    assert 0 < gain["uniform_lower"] < gain["uniform"]  # type: ignore[operator]
    assert gain["users"] == len(np.unique(order.samples.user_hash[order.test]))
    assert "current" not in gain
    refused = judge(order, nothing, None, STRICT)
    (reason,) = refused.reasons
    assert reason.startswith("no evidence of gain over uniform weights: in NLL ")
    assert "at a confidence of 0.95 at least " in reason
    assert reason.endswith("(800 samples of 39 users)")
    assert judge(order, nothing, None, replace(STRICT, gain_level=0)).passed


def test_what_gains_over_uniform_importance_but_not_over_the_net_in_force_is_refused() -> None:
    order, broken = mislabelled()
    knows = judged(by_event_type(broken), order)
    verdict = judge(order, knows, knows, STRICT)
    (reason,) = verdict.reasons
    assert "over current weights" in reason
    assert verdict.report["gain"]["current"] == 0
    assert withdrawal(verdict, STRICT) == ()


def test_more_confidence_asks_for_more() -> None:
    order, broken = mislabelled()
    knows = judged(by_event_type(broken), order)
    found = [judge(order, knows, None, replace(STRICT, gain_level=level)) for level in (0.5, 0.9, 0.999)]
    bounds = [verdict.report["gain"]["uniform_lower"] for verdict in found]
    assert bounds == sorted(bounds, reverse=True)  # type: ignore[type-var]
    assert bounds[0] == pytest.approx(found[0].report["gain"]["uniform"])


def mislabelled() -> tuple[Ordered, int]:
    samples = made_samples(4_000).take(np.arange(4_000))
    late = ordered(samples).test.start
    wrong = (np.arange(len(samples)) % 2 == 0) & (np.arange(len(samples)) < late)
    samples.event_type[wrong] = 5
    samples.label[wrong] ^= 1
    return ordered(samples), 5


def by_event_type(low: int) -> NetWeights:
    """A net whose importance is near 0 for one event type and near 1 for all others."""
    weights = net()
    table = np.zeros_like(weights.event_type)
    table[low, 0] = 1
    w1, w2, w3 = weights.w1.copy() * 0, weights.w2 * 0, weights.w3 * 0
    w1[6, 0] = 1  # after user, item and category with two numbers each
    w2[0, 0] = 1
    w3[0, 1] = -4
    return weights._replace(event_type=table, w1=w1, w2=w2, w3=w3, b3=np.array([0, 2], np.float32))


def test_other_factors_are_not_what_is_judged() -> None:
    # They turn the classes round, so that equal weights would do far better; the net is not to blame.
    samples = made_samples(4_000)
    order = ordered(made_samples(4_000, f_noise=np.where(samples.label == 1, -3.0, 0.0)))
    verdict = judge(order, judged(net(), order), None, replace(GATE, calibration_low=0))
    assert verdict.passed
    assert verdict.report["unweighted"]["nll"] < 0.9 * verdict.report["candidate"]["nll"]  # type: ignore[operator]


def test_a_score_that_the_net_replaces_counts_once_in_what_was_published() -> None:
    influence, score = np.linspace(-1.0, 1.0, 50), np.full(50, 0.25)
    samples = made_samples(50, f_influence=influence, f_score=score, f_noise=np.full(50, -0.5))
    assert samples.log_scores == pytest.approx(influence + score)
    assert samples.log_base == pytest.approx(-0.5)


def test_likely_noise_is_not_scored() -> None:
    noisy = np.arange(4_000) % 2 * 0.9
    verdict = judge(ORDER, judged(net()), None, GATE)
    order = ordered(made_samples(4_000, noise_probability=noisy))
    assert judge(order, judged(net(), order), None, GATE).report != verdict.report
    order.samples.label.flags.writeable = True
    order.samples.label[order.test.start + 1 :: 2] ^= 1
    flipped = judge(order, judged(net(), order), None, GATE)
    assert flipped.passed
    assert flipped.report["candidate"]["auc"] == pytest.approx(verdict.report["candidate"]["auc"], abs=0.05)


def test_weights_on_a_few_samples_are_refused_for_their_effective_size() -> None:
    verdict = judge(ORDER, judged(net(label=9.0, level=-6.0)), None, replace(GATE, weight_max=1e3, weight_min=1e-6))
    assert any("effective sample size" in reason for reason in verdict.reasons)


@pytest.mark.parametrize(
    ("candidate", "reason"),
    [
        (judged(net(), mean_f=float("nan")), "not finite"),
        (judged(net(), mean_f=0.0), "not finite"),
        (judged(net(), mean_f=0.01), "above 10"),
        (judged(net(), mean_f=0.35), "the manifest says"),
        (judged(net(label=9.0, level=-9.0)), "below 0.001"),
        (judged(net(label=1e30), mean_f=0.5), "below 0.001"),  # and no exponential overflows aloud
        (judged(overflowing(), mean_f=0.5), "not finite"),
        (judged(net()._replace(b3=np.array([0, np.nan], np.float32)), mean_f=0.5), "not finite"),
    ],
)
def test_an_unsound_candidate_is_refused_without_training(candidate: Judged, reason: str) -> None:
    verdict = judge(ORDER, candidate, None, GATE)
    assert not verdict.passed
    assert any(reason in one for one in verdict.reasons)
    assert verdict.report == {}


def test_a_net_for_other_inputs_is_refused() -> None:
    weights = net()
    wider = weights._replace(mean=np.zeros(12, np.float32), scale=np.ones(12, np.float32))
    assert "dense numbers" in judge(ORDER, Judged(wider, 0.5), None, GATE).reasons[0]


def test_too_few_positives_give_no_verdict_in_favour() -> None:
    verdict = judge(ORDER, judged(net()), None, Gate(min_positives=100_000))
    assert not verdict.passed
    assert "positives" in verdict.reasons[0]


@pytest.mark.parametrize(("uniform", "found", "passes"), [(1.0, 1.2, False), (1.3, 1.2, True), (1.3, 0.5, False)])
def test_calibration_is_held_to_its_bounds_unless_the_log_itself_drifts(
    uniform: float, found: float, passes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = trained(ORDER.samples, ORDER.test.start, np.ones(len(ORDER.samples)))
    scores = [replace(plain.scores, calibration=c) for c in (uniform, uniform, found, uniform)]
    results = iter([plain._replace(scores=each) for each in scores])
    monkeypatch.setattr("models.gate.trained", lambda *_: next(results))
    assert judge(ORDER, judged(net()), None, GATE).passed is passes


def test_older_positives_have_no_say() -> None:
    old = made_samples(50, label=np.ones(50, np.int8), event_time_ms=np.arange(50), offset=9_000 + np.arange(50))
    old.older[:] = True
    names = SampleColumns.__slots__
    together = SampleColumns(**{n: np.concatenate([getattr(old, n), getattr(ORDER.samples, n)]) for n in names})
    candidate = judged(net(label=0.5))
    assert judge(ordered(together), candidate, None, GATE) == judge(ORDER, candidate, None, GATE)


@given(st.floats(0.5, 10), st.floats(0.01, 1), st.integers(0, 1000))
def test_weights_have_mean_1_before_the_clip_and_keep_its_bounds(k: float, mean_f: float, seed: int) -> None:
    samples = ORDER.samples.take(slice(0, 50))
    f = np.random.default_rng(seed).random(50)
    weight = composed(samples, factor(f, mean_f, k), GATE)
    assert ((weight >= GATE.weight_min) & (weight <= GATE.weight_max)).all()
    if weight.max() < GATE.weight_max and weight.min() > GATE.weight_min:
        assert weight.mean() == pytest.approx(1.0)
        assert np.allclose(weight, f / f.mean(), rtol=1e-4)


def test_other_factors_multiply_in() -> None:
    samples = made_samples(10, f_noise=np.log(np.arange(1, 11)), f_normaliser=np.full(10, 5.0))
    weight = composed(samples, np.zeros(10), GATE)
    assert np.allclose(weight / weight[0], np.arange(1, 11), rtol=1e-5)


def test_the_learner_comes_close_to_a_converged_regression() -> None:
    samples, n = ORDER.samples, ORDER.test.start
    found = trained(samples, n, np.ones(len(samples))).scores
    bins = samples.features[:, :1] == np.unique(samples.features[:, 0])
    best = LogisticRegression(C=10.0).fit(bins[:n], samples.label[:n]).predict_proba(bins[n:])[:, 1]
    assert found.auc > metrics.auc(samples.label[n:], best) - 0.02
    assert found.nll < metrics.log_loss(samples.label[n:], best) + 0.05


def test_the_learner_learns_from_weight_alone() -> None:
    features = np.full((200, 1), 7, np.uint32)
    label = np.arange(200).astype(np.int8) % 2
    heavy = GateLearner(features)
    heavy.learn(slice(0, 200), label, np.where(label == 1, 1.9, 0.1))
    assert heavy.predict(slice(0, 1))[0] == pytest.approx(0.95, abs=0.02)


def test_absent_bins_teach_nothing() -> None:
    features = np.zeros((101, 3), np.uint32)
    features[100] = 7
    learner = GateLearner(features)
    learner.learn(slice(0, 100), np.zeros(100, np.int8), np.ones(100))
    assert learner.predict(slice(100, 101)) == learner.predict(slice(0, 1)), "nothing is known but the rate"


def small(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=40, max_size=40)


@given(small(st.integers(0, 1)), small(st.sampled_from([0.1, 0.2, 0.5, 0.9])), small(st.integers(0, 3)))
def test_figures_equal_scikit_learns(label: list[int], p: list[float], group: list[int]) -> None:
    y, q, g = np.array(label), np.array(p), np.array(group)
    assert metrics.log_loss(y, q) == pytest.approx(reference.log_loss(y, q, labels=[0, 1]))
    found = metrics.decisions(y, q, 0.5, g)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(y, q >= 0.5))
    if 0 < y.sum() < 40:
        assert metrics.auc(y, q) == pytest.approx(reference.roc_auc_score(y, q))
        assert found["recall"] == pytest.approx(reference.recall_score(y, q >= 0.5))
    else:
        assert np.isnan(metrics.auc(y, q))
    if (q >= 0.5).any():
        assert found["precision"] == pytest.approx(reference.precision_score(y, q >= 0.5, zero_division=0))
    assert found["coverage"] == len(set(g[q >= 0.5])) / len(set(g))
    both = [one for one in set(group) if 0 < y[g == one].sum() < (g == one).sum()]
    by_hand = [reference.roc_auc_score(y[g == one], q[g == one]) for one in both]
    sizes = [(g == one).sum() for one in both]
    expected = np.average(by_hand, weights=sizes) if both else float("nan")
    assert metrics.gauc(y, q, g) == pytest.approx(expected, nan_ok=True)


@given(st.lists(st.floats(0.01, 10), min_size=1, max_size=30))
def test_effective_share_is_kishs(weight: list[float]) -> None:
    w = np.array(weight)
    assert metrics.effective_share(w) == pytest.approx(w.sum() ** 2 / (w**2).sum() / len(w))
    assert metrics.effective_share(np.ones(len(w))) == pytest.approx(1)
    assert metrics.effective_share(0 * w) == 0


def test_calibration_is_mean_probability_over_positive_rate() -> None:
    assert metrics.calibration(np.array([1, 0, 0, 1]), np.array([0.5, 0.5, 0.5, 0.9])) == pytest.approx(1.2)
    assert np.isnan(metrics.calibration(np.zeros(2), np.ones(2)))


def test_figures_of_nothing_are_not_numbers() -> None:
    nothing = np.empty(0)
    assert np.isnan(metrics.gauc(nothing, nothing, nothing))
    assert np.isnan(metrics.correlation(np.ones(3), np.arange(3)))


def test_what_is_in_force_is_taken_back_when_it_falls_behind_uniform_importance() -> None:
    harmful, order = judged(net(label=-6.0)), ORDER
    refused = judge(order, harmful, harmful, replace(GATE, weight_min=1e-9, weight_max=1e9))
    assert not refused.passed
    assert withdrawal(refused, GATE)
    assert all("uniform weights'" in reason for reason in withdrawal(refused, GATE))


def test_what_is_in_force_stays_while_it_is_no_worse_or_nothing_is_known() -> None:
    constant = judged(net(level=0.3))
    assert withdrawal(judge(ORDER, constant, constant, GATE), GATE) == ()
    assert withdrawal(judge(ORDER, judged(net(label=-6.0)), constant, GATE), GATE) == ()
    assert withdrawal(judge(ORDER, judged(overflowing()), constant, GATE), GATE) == ()
