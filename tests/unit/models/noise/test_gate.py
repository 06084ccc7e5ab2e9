"""The noise model's gate: what it lets through, what it refuses and in which words, and what is stored of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from models.manifest import Manifest
from models.noise.gate import NoiseFigures, judge, together, withdrawal
from models.noise.publish import judged
from models.publish import Provenance
from models.settings import NoiseGate
from tests.support.noise_examples import random_canary, random_noise
from tests.support.samples import made_manifest

GATE = NoiseGate(worst_auc=0.6, median_auc=0.8, auc_slack=0.01, kept_slack=0.05)
GOOD = NoiseFigures({"hijack": 0.85, "fault": 0.9, "crowd": 0.95}, innocent=0.03, clean=0.02, gain=0.004, kept=0.95)


def detecting(**by: float) -> NoiseFigures:
    """`GOOD` with the AUC of some families moved."""
    return replace(GOOD, auc={family: value + by.get(family, 0.0) for family, value in GOOD.auc.items()})


BEFORE = detecting(hijack=-0.03, fault=-0.02, crowd=-0.04)


def refusals(candidate: NoiseFigures, current: NoiseFigures | None = None) -> tuple[str, ...]:
    verdict = judge(candidate, current, GATE)
    assert verdict.passed is not bool(verdict.reasons)
    return verdict.reasons


def test_what_is_good_passes_alone_and_against_what_is_worse() -> None:
    assert refusals(GOOD) == ()
    assert refusals(GOOD, BEFORE) == ()
    assert judge(GOOD, BEFORE, GATE) == judge(GOOD, BEFORE, GATE)


def test_what_brings_nothing_is_refused() -> None:
    (reason,) = refusals(GOOD, GOOD)
    assert reason == (
        "AUC of held-out families is +0.0000 on the mean against the model in force, with a standard error of 0.0000: "
        "that it is above 0 is not sure"
    )


@pytest.mark.parametrize(
    ("gains", "passes"),
    [
        ({"hijack": 0.01, "fault": 0.012, "crowd": 0.011}, True),
        ({"hijack": 0.1, "fault": -0.05, "crowd": 0.02}, False),
        ({"hijack": -0.005, "fault": -0.005, "crowd": -0.005}, False),
    ],
    ids=["small and sure", "larger and unsure", "a loss"],
)
def test_the_mean_gain_over_families_must_be_sure(gains: dict[str, float], passes: bool) -> None:
    assert (refusals(detecting(**gains), GOOD) == ()) is passes
    lenient = replace(GATE, auc_gain=-1.0)
    assert judge(detecting(**gains), GOOD, lenient).passed


def test_figures_of_folds_have_all_families_and_the_means_of_the_rest() -> None:
    other = NoiseFigures({"relay": 0.7}, innocent=0.05, clean=0.04, gain=0.008, kept=0.85)
    found = together([GOOD, other])
    assert found.auc == {**GOOD.auc, "relay": 0.7}
    rest = found.innocent, found.clean, found.gain, found.kept
    assert rest == pytest.approx((0.04, 0.03, 0.006, 0.9))
    assert together([GOOD]) == GOOD
    assert together([GOOD, replace(other, clean=math.nan)]).figures()["clean"] is None


def test_one_family_alone_is_no_evidence_of_gain() -> None:
    one, better = replace(GOOD, auc={"hijack": 0.85}), replace(GOOD, auc={"hijack": 0.95})
    (reason,) = refusals(better, one)
    assert "standard error of inf" in reason


def test_what_the_model_in_force_takes_for_noise_must_still_be_found() -> None:
    assert refusals(replace(GOOD, kept=BEFORE.kept - 0.049), BEFORE) == ()
    (reason,) = refusals(replace(GOOD, kept=0.6), BEFORE)
    assert reason == (
        "AUC 0.6000 of what the model in force takes for noise in the window as it is is below its own 0.9500"
    )


def test_the_report_has_the_figures_of_both() -> None:
    report = judge(GOOD, replace(GOOD, gain=math.nan), GATE).report
    assert report["candidate"] == {
        "worst_auc": 0.85,
        "median_auc": 0.9,
        "innocent": 0.03,
        "clean": 0.02,
        "gain": 0.004,
        "kept": 0.95,
        "auc.crowd": 0.95,
        "auc.fault": 0.9,
        "auc.hijack": 0.85,
    }
    assert report["current"]["gain"] is None
    assert "current" not in judge(GOOD, None, GATE).report


@pytest.mark.parametrize(
    ("current", "reasons"),
    [
        ({"innocent": 0.2}, ["innocent behaviours"]),
        ({"clean": 0.2, "gain": -0.1}, ["nobody suspected", "no gain"]),
        ({"auc": {"hijack": 0.3}}, []),
        ({"gain": math.nan}, []),
        ({}, []),
    ],
    ids=["innocents", "clean and gain", "detects little", "gain not known", "good"],
)
def test_one_in_force_is_withdrawn_for_harm_alone(current: dict[str, Any], reasons: list[str]) -> None:
    verdict = judge(replace(GOOD, gain=-1.0), replace(GOOD, **current), GATE)
    found = withdrawal(verdict, GATE)
    assert len(found) == len(reasons)
    assert all(part in reason for part, reason in zip(reasons, found, strict=True))


def test_beside_a_candidate_that_passed_nothing_is_withdrawn() -> None:
    assert withdrawal(judge(GOOD, replace(BEFORE, clean=0.9), GATE), GATE) == ()
    assert withdrawal(judge(GOOD, None, GATE), GATE) == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"auc": {"hijack": 0.55, "fault": 0.9, "crowd": 0.95}},
            "AUC 0.5500 of the worst held-out family, hijack, is below 0.6",
        ),
        (
            {"auc": {"hijack": 0.7, "fault": 0.75, "crowd": 0.95}},
            "AUC 0.7500 of the median held-out family is below 0.8",
        ),
        ({"innocent": 0.2}, "mean P(noise) 0.2000 of innocent behaviours is above 0.1"),
        ({"clean": 0.06}, "mean P(noise) 0.0600 of what nobody suspected is above 0.05"),
        ({"gain": 0.0}, "no gain: +0.00000 on held-out mixtures is not above 0"),
        ({"gain": -0.01}, "no gain: -0.01000 on held-out mixtures is not above 0"),
        ({"auc": {}}, "no family was held out"),
        ({"clean": math.nan}, "no finite figure for clean"),
        ({"kept": math.nan}, "no finite figure for kept"),
        ({"auc": {"hijack": math.nan, "fault": 0.9}}, "no finite figure for"),
    ],
    ids=[
        "worst",
        "median",
        "innocent",
        "clean",
        "no gain",
        "harm",
        "no family",
        "clean unknown",
        "kept unknown",
        "family unknown",
    ],
)
def test_one_bad_figure_is_one_reason_that_names_it(changes: dict[str, Any], reason: str) -> None:
    found = refusals(replace(GOOD, **changes))
    assert len(found) == 1
    assert reason in found[0]


def test_the_worst_family_may_not_be_worse_beyond_the_slack() -> None:
    gains = {"fault": 0.04, "crowd": 0.04}
    lenient = replace(GATE, auc_gain=-1.0)
    assert judge(detecting(hijack=-0.009, **gains), GOOD, lenient).passed
    (reason,) = judge(detecting(hijack=-0.02, **gains), GOOD, lenient).reasons
    assert reason == (
        "AUC 0.8300 of the worst held-out family, hijack, is below the 0.8500 that the model in force has on its "
        "worst, hijack"
    )


def test_a_model_in_force_of_which_nothing_is_known_holds_nobody_up() -> None:
    assert refusals(GOOD, replace(GOOD, auc={})) == ()
    assert refusals(GOOD, replace(GOOD, auc={"hijack": math.nan})) == ()


def test_a_judged_model_has_a_manifest_with_verdict_and_figures_that_survives_json() -> None:
    tensors, base = random_noise(), made_manifest()
    origin = Provenance(base.version, None, "noise.safetensors", "evidence", 1_000, "1")
    bad = replace(GOOD, gain=-1.0)
    contents, manifest = judged(tensors, random_canary(tensors), (bad, GOOD), GATE, origin, {"0": (0, 9)})
    assert (manifest.model, manifest.mean_f, manifest.feature_schema_hash) == ("noise", 1.0, "evidence")
    assert manifest.gate == judge(bad, GOOD, GATE)
    assert manifest.gate is not None
    assert not manifest.gate.passed
    assert manifest.metrics["worst_auc"] == 0.85
    assert manifest.baseline_metrics["gain"] == 0.004
    assert manifest.size == len(contents.data)
    assert Manifest.from_json(manifest.to_json()) == manifest
