"""What a trainer tells: reasons as bounded labels, scalars of its fine-tunes, and sentences where it cannot start."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from sie_online.errors import UsageError
from sie_online.settings import TrainerWeb
from streams import extras
from streams.store import LocalStore
from streams.trainer.metrics import TrainerMetrics, reason_label
from streams.trainer.scalars import Scalars
from streams.trainer.site import TrainerHealth, TrainerSite


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("NLL 0.50000 is worse than current weights' 0.40000", "nll"),
        ("no evidence of gain over uniform weights: in NLL -1e-05", "no_gain"),
        ("AUC 0.7 is below uniform weights' 0.8", "auc"),
        ("the effective sample size is 0.1 n, below 0.3 n", "effective_size"),
        ("a weight k f / mean f is 12, above 10", "weight_bounds"),
        ("mean f is 0.3 here, the manifest says 0.5", "mean_f"),
        ("the scored part has 3 positives of 90: a verdict needs 20", "too_few"),
        ("something new", "other"),
    ],
)
def test_the_gates_reasons_are_bounded_labels(reason: str, label: str) -> None:
    assert reason_label(reason) == label


def test_every_sentence_of_the_gate_has_a_label_of_its_own() -> None:
    import inspect
    import re

    from models import gate

    written = re.findall(r'reasons\.append\(\s*f?"([^"{]+)|return \(f?"([^"{]+)', inspect.getsource(gate))
    sentences = [first or second for first, second in written]
    assert len(sentences) >= 6
    assert [sentence for sentence in sentences if reason_label(f"{sentence.strip()} ") == "other"] == []


def test_scalars_are_what_tensorboard_reads(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    kept = Scalars("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    kept.add({"loss": 0.5, "auc": None}, "pass")
    name = kept.save(LocalStore(tmp_path))
    events = list(LegacyEventFileLoader(str(tmp_path / name)).Load())
    assert [(value.tag, value.simple_value) for event in events for value in event.summary.value] == [
        ("pass/loss", 0.5)
    ]


def test_scalars_are_json_lines_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    kept = Scalars("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    kept.add({"loss": 0.5}, "pass")
    name = kept.save(LocalStore(tmp_path))
    assert name.endswith(".jsonl")
    (line,) = (tmp_path / name).read_text().splitlines()
    assert {key: json.loads(line)[key] for key in ("tag", "value")} == {"tag": "pass/loss", "value": 0.5}


def test_a_taken_port_is_a_sentence() -> None:
    async def start_twice() -> None:
        health = TrainerHealth(lambda: True, dict, dict)
        first = TrainerSite(TrainerWeb(port=0), TrainerMetrics().registry, health)
        await first.start()
        port = int(first.url.rpartition(":")[2])
        second = TrainerSite(TrainerWeb(port=port), TrainerMetrics().registry, health)
        try:
            with pytest.raises(UsageError, match="SIE_TRAINER__WEB__PORT"):
                await second.start()
        finally:
            await first.stop()

    asyncio.run(start_twice())


def test_without_torch_the_pip_line_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from streams.cli import root as cli

    find = extras.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "torch" else find(name))
    for arguments in (["trainer"], ["worker", "--with-trainer"], ["model", "submit", "x.safetensors"]):
        assert cli.run(arguments) == 2
        assert extras.install_line("worker", "trainer") in capsys.readouterr().err
