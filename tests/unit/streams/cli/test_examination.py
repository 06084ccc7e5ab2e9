"""``sie evaluate --compare`` and ``--pollute``: what is written, what is said, and what is refused before the work."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from sie_online.announcements import NOISE
from sie_online.evaluation.compare.scores import METRICS
from sie_online.importance.noise.model import NoiseArrays
from sie_online.shard import Shard
from sie_online.simulator import Scenario, simulate
from streams.cli.root import run
from streams.model_registry.recorded import RegistryRecorder
from streams.store import LocalStore
from tests.support.noise_models import random_noise_model, random_noise_version

FAMILIES = ["--families", "crawler,price_monitor"]


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "events.parquet"
    pq.write_table(simulate(Scenario(events=5_000, hours=120, seed=4, malformed=0)).table(), path)
    return path


@pytest.fixture(scope="module")
def examined(events: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("examined")
    assert run(["evaluate", str(events), "--out", str(out), "--compare", "--pollute", "1,2", *FAMILIES]) == 0
    return out


def report_of(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "report.json").read_text("utf-8"))
    return document


def test_the_comparison_is_in_the_report(examined: Path) -> None:
    found = report_of(examined)["comparison"]
    assert found["verdict"] in ("helps", "harms", "no evidence")
    for population in found["populations"]:
        assert [learner["name"] for learner in population["learners"]] == [
            "context logistic regression",
            "embedding net",
        ]
        for learner in population["learners"]:
            uniform, *others = learner["arms"]
            assert uniform["name"] == "uniform"
            assert uniform["gains"] is None
            assert {"published", "permuted", "noise alone"} <= {arm["name"] for arm in others}
            for arm in others:
                for metric in METRICS:
                    gain = arm["gains"][metric]
                    assert gain["low"] <= gain["value"] <= gain["high"]
                    sign = -1 if metric == "nll" else 1
                    assert gain["value"] == pytest.approx(sign * (arm[metric] - uniform[metric]), abs=1e-9)


def test_the_trial_with_pollution_is_in_the_report(examined: Path) -> None:
    found = report_of(examined)["pollution"]
    assert found["seeds"] == [1, 2]
    assert [family["family"] for family in found["families"]] == ["crawler", "price_monitor"]
    assert [(mixture["family"], mixture["seed"]) for mixture in found["mixtures"]] == [
        ("crawler", 1),
        ("crawler", 2),
        ("price_monitor", 1),
        ("price_monitor", 2),
    ]
    assert found["together"]["events"] == sum(mixture["events"] for mixture in found["mixtures"])
    assert found["innocents"]


def test_tables_and_pages_and_nothing_else_are_left_behind(examined: Path) -> None:
    assert sorted(path.name for path in examined.iterdir()) == [
        "dead_letters.parquet",
        "predictions.parquet",
        "report.html",
        "report.json",
        "weights.parquet",
    ]
    assert (examined / "report.html").read_text("utf-8").count("<svg") == 4


def test_examining_changes_no_row(events: Path, examined: Path, tmp_path: Path) -> None:
    assert run(["evaluate", str(events), "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "report.html").exists()
    plain, same = (pq.read_table(out / "weights.parquet") for out in (tmp_path, examined))
    assert plain.equals(same)


def test_people_are_told_a_sentence_at_the_end(
    events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(events), "--out", str(tmp_path), "--compare"]) == 0
    printed = capsys.readouterr()
    last = printed.out.strip().splitlines()[-1]
    assert last == report_of(tmp_path)["comparison"]["sentence"]
    assert re.match(r"The weights help on|The weights harm on|No evidence that the weights help or harm on", last)
    assert "report.html" in printed.err


def test_pollution_is_told_in_tables(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(events), "--out", str(tmp_path), "--pollute", "1", "--families", "crawler"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"^crawler +[\d,]+ +[\d.]+", printed.out, re.MULTILINE)
    assert re.search(r"^innocent +events +mean weight", printed.out, re.MULTILINE)
    assert re.search(r"1 mixture of the newest [\d,]+ events with random behaviours, about [\d.]+ s ", printed.err)


def test_json_is_the_report_and_nothing_else(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(events), "--out", str(tmp_path), "--compare", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == report_of(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--families", "crawler"], "give --pollute SEEDS"),
        (["--pollute", "one"], "as in --pollute 1,2,3"),
        (["--pollute", "1,,2"], "as in --pollute 1,2,3"),
        (["--pollute", "-1"], "as in --pollute 1,2,3"),
        (["--pollute", "1", "--families", "crawler,gnomes"], "gnomes: there are"),
        (["--pollute", "1", "--models", "live"], "not 'live'"),
    ],
    ids=["families-alone", "no-number", "empty", "negative", "unknown-family", "live"],
)
def test_what_cannot_be_is_refused_before_the_work(
    events: Path, tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["evaluate", str(events), "--out", str(tmp_path), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "weights.parquet").exists()


def test_too_short_a_log_still_has_its_tables(events: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", str(events), "--out", str(tmp_path), "--limit", "400", "--compare"]) == 2
    assert "labels.window_s" in capsys.readouterr().err
    assert "comparison" not in report_of(tmp_path)
    assert (tmp_path / "weights.parquet").exists()


def test_the_noise_model_that_was_given_is_the_one_that_is_examined(
    events: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RegistryRecorder(LocalStore(tmp_path / "fitted")).publish(*random_noise_version(5), {}, 0)
    adopted: list[NoiseArrays] = []
    adopt = Shard.adopt

    def seen(shard: Shard, adoption: Any, artifact: Any) -> None:
        assert (adoption.model, adoption.offset) == (NOISE, 0)
        adopted.append(artifact)
        adopt(shard, adoption, artifact)

    monkeypatch.setattr(Shard, "adopt", seen)
    options = ["--noise-model", str(tmp_path / "fitted"), "--pollute", "1", "--families", "crawler"]
    assert run(["evaluate", str(events), "--out", str(tmp_path / "out"), *options]) == 0
    assert len(adopted) == 2  # the evaluation and one mixture
    assert all((model.mix == random_noise_model(5).mix).all() for model in adopted)


def test_help_teaches_both(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "--help"]) == 0
    told = capsys.readouterr().out
    for word in ("--compare", "--pollute", "--families", "report.html", "--pollute 1,2,3"):
        assert word in told
