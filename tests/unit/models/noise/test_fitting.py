"""A fit of the noise model: finds what is planted, repeats to the bit on a CPU, and refuses what teaches nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.errors import NotFiniteLossError, SettingError, StoppedError
from models.metrics import auc
from models.noise.fitting import averaged, fit
from models.noise.forward import logits, monotone_logits, net_logits
from models.noise.regression import regress
from models.settings import NoiseFit, NoiseGate
from models.tune import Progress
from tests.support.noise_examples import QUICK, SIGNALS, made_examples

EXAMPLES = made_examples()
OTHERS = made_examples(seed=1, first=1_000)
FITTED = fit(EXAMPLES, QUICK)


def bits(fitted: dict[str, Any]) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in fitted.items()}


def test_tensors_are_named_and_shaped_as_the_forward_pass_needs_them() -> None:
    shapes = {name: array.shape for name, array in FITTED.items()}
    assert shapes == {
        "knots": (3,),
        "monotone": (3, SIGNALS, 6),
        "monotone_bias": (3,),
        "w1": (SIGNALS + 4, 8),
        "b1": (8,),
        "w2": (8, 4),
        "b2": (4,),
        "w3": (4,),
        "b3": (1,),
    }
    assert {array.dtype for array in FITTED.values()} == {np.dtype(np.float32)}


def test_planted_signals_are_found_by_both_parts_in_groups_never_seen() -> None:
    columns = OTHERS.evidence, OTHERS.head, OTHERS.events
    monotone = monotone_logits(FITTED, *columns[:2])
    for found in (monotone, net_logits(FITTED, *columns), logits(FITTED, *columns)):
        assert auc(OTHERS.noise, found) > 0.9
        assert found[OTHERS.noise].mean() > 0.5
        assert found[OTHERS.innocent].mean() < 0 > found[~OTHERS.noise].mean()


def test_monotone_weights_are_never_negative_and_lie_on_what_was_planted() -> None:
    weight = FITTED["monotone"]
    assert (weight >= 0).all()
    above = weight[:, :, :3].sum(axis=(0, 2))
    assert above[:3].min() > 4 * above[3:].max()


def test_equal_examples_and_seeds_give_equal_bits_and_others_do_not() -> None:
    assert bits(fit(EXAMPLES, QUICK)) == bits(FITTED)
    assert bits(fit(EXAMPLES, replace(QUICK, seed=1))) != bits(FITTED)


def test_a_fit_begins_with_the_weights_that_it_is_given() -> None:
    short = replace(QUICK, epochs=1, learning_rate=1e-6)
    columns = OTHERS.evidence, OTHERS.head, OTHERS.events
    warm, cold = fit(EXAMPLES, short, start=FITTED), fit(EXAMPLES, short)
    assert auc(OTHERS.noise, net_logits(warm, *columns)) > 0.9 > auc(OTHERS.noise, net_logits(cold, *columns))
    assert auc(OTHERS.noise, monotone_logits(warm, *columns[:2])) > 0.9
    np.testing.assert_allclose(warm["w1"], FITTED["w1"], atol=1e-3)


@pytest.mark.parametrize(
    "other", [replace(QUICK, hidden1=6), replace(QUICK, hidden2=5)], ids=["first layer", "second layer"]
)
def test_a_net_of_another_shape_begins_with_nothing(other: NoiseFit) -> None:
    fresh, given = fit(EXAMPLES, other), fit(EXAMPLES, other, start=FITTED)
    assert given["w1"].tobytes() == fresh["w1"].tobytes()
    assert given["monotone"].tobytes() != fresh["monotone"].tobytes()
    assert averaged(fresh, FITTED) is fresh


def test_the_average_lies_half_way() -> None:
    other = fit(OTHERS, QUICK, start=FITTED)
    half = averaged(other, FITTED)
    assert half.keys() == FITTED.keys()
    for name, value in half.items():
        np.testing.assert_allclose(value, (other[name] + FITTED[name]) / 2, rtol=1e-6, atol=1e-7)
    assert auc(OTHERS.noise, logits(half, OTHERS.evidence, OTHERS.head, OTHERS.events)) > 0.9


def test_logits_are_calibrated_for_classes_of_equal_weight() -> None:
    # noise is one half of these, and of ordinary and innocent events there are as many as in the weights' other half
    mixed = made_examples(seed=2, noise=10, innocent=3, ordinary=7, rows=400, first=2_000)
    found = logits(FITTED, mixed.evidence, mixed.head, mixed.events).astype(np.float64)
    x, n = np.stack([np.ones(len(found)), found], axis=1), len(found)
    free = np.full(2, -np.inf)
    offset, scale = regress(x, mixed.noise.astype(np.float64), np.full(n, 1 / n), np.zeros(2), free, 0.0)
    assert abs(offset) < 0.4
    assert 0.7 < scale < 1.6


def test_a_head_without_noise_has_no_monotone_evidence() -> None:
    quiet = EXAMPLES.take((EXAMPLES.head != 1) | ~EXAMPLES.noise)
    fitted = fit(quiet, QUICK)
    assert not fitted["monotone"][1].any()
    assert fitted["monotone_bias"][1] == 0
    assert fitted["monotone"][0].any()


@pytest.mark.parametrize(
    ("rows", "reason"),
    [(EXAMPLES.noise, "no head has both"), (~EXAMPLES.noise, "no head has both"), (EXAMPLES.head > 5, "no examples")],
    ids=["noise alone", "no noise", "nothing"],
)
def test_examples_of_one_class_or_none_are_refused_in_words(rows: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        fit(EXAMPLES.take(rows), QUICK)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"evidence": np.full_like(EXAMPLES.evidence, np.nan)}, "not finite"),
        ({"head": EXAMPLES.head + np.int8(3)}, "a head is none of 3"),
        ({"events": -EXAMPLES.events}, "negative"),
        ({"group": EXAMPLES.group[1:]}, "one row each"),
    ],
    ids=["evidence", "head", "events", "group"],
)
def test_examples_that_cannot_be_are_refused_in_words(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        fit(EXAMPLES._replace(**changes), QUICK)


def test_progress_is_told_after_every_pass_of_each_part() -> None:
    told: list[Progress] = []
    fit(EXAMPLES, replace(QUICK, epochs=2), on_progress=told.append)
    assert [(one.epoch, one.epochs) for one in told] == [(1, 2), (2, 2)] * 2
    assert all("held-out loss" in one.note and one.samples > 0 for one in told)


def test_a_fit_can_be_stopped() -> None:
    with pytest.raises(StoppedError):
        fit(EXAMPLES, QUICK, should_stop=lambda: True)


def test_a_runaway_fit_is_given_up() -> None:
    with pytest.raises(NotFiniteLossError, match="lower the learning rate"):
        fit(EXAMPLES, replace(QUICK, learning_rate=1e30))


@pytest.mark.parametrize("kind", [NoiseFit, NoiseGate])
def test_settings_out_of_bounds_are_named(kind: Any) -> None:
    name = "smoothing" if kind is NoiseFit else "clean_cap"
    with pytest.raises(SettingError, match=name):
        kind(**{name: -1.0})
