"""The trainer's document: what its metrics and parts say."""

from __future__ import annotations

import json

import msgspec

from models.manifest import Verdict
from sie_online.settings import load
from streams.model_registry.registry import empty_registry
from streams.observe.page.files import ASSETS
from streams.observe.page.models import model_stories
from streams.observe.samples import MetricSamples
from streams.trainer.metrics import TrainerMetrics, TrainingOutcome
from streams.trainer.status import TrainerParts, trainer_status


def document(metrics: TrainerMetrics, **changes: object) -> dict[str, object]:
    registry = empty_registry()
    parts = {
        "announced": registry,
        "models": model_stories(registry, {}, {}),
        "fresh": 12,
        "fine_tune_s": None,
        "fine_tuned": None,
        "noise_s": None,
        "noise_fitted": None,
        "reason": "",
        "announcer": True,
        "caught_up": True,
    }
    told = trainer_status(load({}), MetricSamples(metrics.registry), TrainerParts(**(parts | changes)))  # type: ignore[arg-type]
    found: dict[str, object] = json.loads(msgspec.json.encode(told))
    return found


def test_a_trainer_that_has_just_begun_has_a_document() -> None:
    told = document(TrainerMetrics(), caught_up=False)
    assert told["state"]["name"] == "reading"  # type: ignore[index]
    assert (told["version"], told["latest_outcome"], told["figures"]) == ("builtin", None, {})


def test_passes_window_verdict_and_outcomes_are_those_of_the_metrics() -> None:
    metrics = TrainerMetrics()
    metrics.set_window(1_000, 100, 3_600.0)
    metrics.set_running(True)
    metrics.progress(3, 0.25, 5_000.0)
    metrics.judged(1.0, 1.0, Verdict(False, ("no",), {"candidate": {"nll": 0.5}, "gain": {"uniform": -0.01}}))
    metrics.ended(TrainingOutcome.REFUSED, 1.0)
    metrics.runs_on("cpu")
    told = document(metrics, fine_tune_s=9.0, fine_tuned="refused")
    assert told["window"] == {"recent": 900, "older_positives": 100, "span_s": 3_600.0}
    passes = told["passes"]
    assert (passes["done"], passes["of"], passes["loss"]) == (3, 6, 0.25)  # type: ignore[index]
    assert told["figures"] == {"candidate_nll": 0.5, "gain_over_uniform": -0.01}
    assert told["outcomes"] == {"fine_tunes": {"refused": 1.0}, "noise_fits": {}, "priors": {}}
    assert (told["device"], told["fine_tuning"]) == ("cpu", True)
    metrics.set_running(True)
    assert document(metrics, fine_tune_s=0.1)["passes"]["done"] == 0  # type: ignore[index]  # the next one begins


def test_the_page_reads_only_fields_that_the_document_has() -> None:
    import re

    read = set(re.findall(r"\bs\.([a-z_]+)", (ASSETS / "trainer.js").read_text()))
    assert {"state", "models", "passes"} - {"state"} <= read
    assert read <= document(TrainerMetrics()).keys()
