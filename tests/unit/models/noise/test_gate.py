"""The noise model's gate: what it lets through, what it refuses and in which words, and what is stored of it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from models.manifest import Manifest
from models.noise.gate import NoiseFigures, judge, withdrawal
from models.noise.publish import judged
from models.publish import Provenance
from models.settings import NoiseGate
from tests.support.noise_examples import random_canary, random_noise
from tests.support.samples import made_manifest

GATE = NoiseGate(worst_auc=0.6, median_auc=0.8, auc_slack=0.01)
GOOD = NoiseFigures({"hijack": 0.85, "fault": 0.9, "crowd": 0.95}, innocent=0.03, clean=0.02, gain=0.004)


def refusals(candidate: NoiseFigures, current: NoiseFigures | None = None) -> tuple[str, ...]:
    verdict = judge(candidate, current, GATE)
    assert verdict.passed is not bool(verdict.reasons)
    return verdict.reasons


def test_what_is_good_passes_alone_and_against_its_equal() -> None:
    assert refusals(GOOD) == ()
    assert refusals(GOOD, GOOD) == ()
    assert judge(GOOD, GOOD, GATE) == judge(GOOD, GOOD, GATE)


def test_the_report_has_the_figures_of_both() -> None:
    report = judge(GOOD, replace(GOOD, gain=math.nan), GATE).report
    assert report["candidate"] == {
        "worst_auc": 0.85,
        "median_auc": 0.9,
        "innocent": 0.03,
        "clean": 0.02,
        "gain": 0.004,
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
        ({"clean": 0.2, "gain": -0.1}, ["window as it is", "no gain"]),
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
    assert withdrawal(judge(GOOD, replace(GOOD, clean=0.9), GATE), GATE) == ()
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
        ({"clean": 0.06}, "mean P(noise) 0.0600 of the window as it is is above 0.05"),
        ({"gain": 0.0}, "no gain: +0.00000 on held-out mixtures is not above 0"),
        ({"gain": -0.01}, "no gain: -0.01000 on held-out mixtures is not above 0"),
        ({"auc": {}}, "no family was held out"),
        ({"clean": math.nan}, "no finite figure for clean"),
        ({"auc": {"hijack": math.nan, "fault": 0.9}}, "no finite figure for"),
    ],
    ids=["worst", "median", "innocent", "clean", "no gain", "harm", "no family", "clean unknown", "family unknown"],
)
def test_one_bad_figure_is_one_reason_that_names_it(changes: dict[str, Any], reason: str) -> None:
    found = refusals(replace(GOOD, **changes))
    assert len(found) == 1
    assert reason in found[0]


def test_what_is_worse_than_the_model_in_force_is_refused_beyond_the_slack() -> None:
    def shifted(by: float) -> NoiseFigures:
        return replace(GOOD, auc={family: value + by for family, value in GOOD.auc.items()})

    assert refusals(shifted(-0.009), GOOD) == ()
    worst, middle = refusals(shifted(-0.02), GOOD)
    assert worst == (
        "AUC 0.8300 of the worst held-out family, hijack, is below the 0.8500 that the model in force has on its "
        "worst, hijack"
    )
    assert middle == "AUC 0.8800 of the median held-out family is below the 0.9000 of the model in force"


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
