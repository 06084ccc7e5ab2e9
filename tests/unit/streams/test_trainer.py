"""The trainer without a broker: what it takes in, what becomes of fine-tunes that fail, what it tells of them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.errors import (
    ArtifactError,
    ExplodingNormError,
    NotFiniteLossError,
    OutOfMemoryError,
    StoppedError,
    TrainingError,
)
from models.manifest import Verdict
from models.snapshot import Contents
from sie_online.announcements import Announcement, ModelLine
from sie_online.contracts import to_message
from sie_online.errors import UnreachableError, UsageError
from sie_online.settings import Settings, load
from streams.checkpoint.backend import LocalBackend
from streams.model_line import artifacts
from streams.model_line.announcer import OvertakenError, SupersededError
from streams.trainer import process, rounds, scalars
from streams.trainer.attempt import Attempt
from streams.trainer.child import TrainerChild, trainer_command
from streams.trainer.intake import Intake, View
from streams.trainer.metrics import Outcome, TrainerMetrics, reason_label
from streams.trainer.plan import fine_tune_of, gate_of
from streams.trainer.scalars import Scalars
from streams.trainer.site import Health, TrainerSite
from tests.models_made import TINY, made_contents, made_version
from tests.unit.models.made import made_samples, made_weights, samples_table


def tiny(**trainer: Any) -> Settings:
    return load({"trainer": TINY | trainer, "store": "file:///nowhere"})


def figure(metrics: TrainerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"sie_trainer_{name}", labels)


# -- settings


def test_settings_become_what_models_is_told() -> None:
    settings = load(
        {
            "importance": {"k": 2, "weight_max": 7},
            "trainer": {"shape": {"hidden1": 32}, "fine_tune": {"target": "error"}, "gate": {"auc_slack": 0.5}},
        }
    )
    told, gate = fine_tune_of(settings), gate_of(settings)
    assert (told.shape.hidden1, told.target, told.k) == (32, "error", 2)
    assert (gate.k, gate.weight_max, gate.auc_slack) == (2, 7, 0.5)


def test_the_defaults_are_those_of_models() -> None:
    from models.settings import FineTune, Gate

    assert fine_tune_of(load()) == FineTune()
    assert gate_of(load()) == Gate()


# -- intake


def message(table: pa.Table, offset: int = 0, value: bytes | None = None) -> Any:
    (batch,) = table.combine_chunks().to_batches()
    content = to_message(batch) if value is None else value
    return SimpleNamespace(topic="sie.samples.v1", partition=0, offset=offset, value=content)


def taken(intake: Intake, *messages: Any) -> View | None:
    async def take() -> View | None:
        await intake._take(messages)
        return await intake.view()

    return asyncio.run(take())


def test_repeats_are_neither_kept_nor_counted_as_fresh() -> None:
    metrics = TrainerMetrics()
    intake = Intake(tiny(), metrics)
    table = samples_table(300)
    view = taken(intake, message(table.slice(0, 200)), message(table.slice(100, 100)), message(table.slice(200)))
    assert view is not None
    assert (len(view.samples), intake.fresh, view.schema_hash) == (300, 301, "schema-1")  # the last row's time repeats
    assert figure(metrics, "samples_total", kind="repeated") == 99
    assert figure(metrics, "window_samples", kind="recent") == 300


def test_an_unreadable_message_is_counted_and_the_rest_is_read() -> None:
    metrics = TrainerMetrics()
    intake = Intake(tiny(), metrics)
    broken = samples_table(50, probability=np.full(50, np.nan))
    view = taken(intake, message(broken), message(broken, value=b"no arrow"), message(broken, value=b""))
    assert view is None
    assert taken(intake, message(samples_table(50))) is not None
    assert figure(metrics, "unreadable_messages_total") == 3


def test_a_new_feature_schema_begins_a_new_window_and_the_old_one_is_left_out() -> None:
    metrics = TrainerMetrics()
    intake = Intake(tiny(), metrics)
    old = samples_table(50)
    new = samples_table(30, seed=1).replace_schema_metadata(old.schema.metadata | {b"feature_schema_hash": b"schema-2"})
    assert taken(intake, message(old)) is not None
    view = taken(intake, message(new), message(old))
    assert view is not None
    assert (len(view.samples), view.schema_hash) == (30, "schema-2")
    assert figure(metrics, "samples_total", kind="outdated") == 50


# -- rounds


class FakeAnnouncer:
    """Takes announcements, or raises ``fails_with``."""

    def __init__(self) -> None:
        self.line = ModelLine()
        self.said: list[str] = []
        self.fails_with: Exception | None = None

    @property
    def in_force(self) -> str:
        return self.said[-1] if self.said else "builtin"

    async def publish(self, data: bytes, manifest: Any, *, judged_at: int) -> Announcement:
        if self.fails_with:
            raise self.fails_with
        self.said.append(manifest.version)
        return Announcement(n=1, version=manifest.version, offsets={}, reason="publish", created_at_ms=1)

    async def sweep(self) -> list[str]:
        return []


class Scene:
    """Rounds with a fake announcer; ``attempt`` is what a test puts there."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.backend = LocalBackend(tmp_path)
        self.metrics = TrainerMetrics()
        self.announcer = FakeAnnouncer()
        self.settings = tiny()
        self.intake = Intake(self.settings, self.metrics)
        self._monkeypatch = monkeypatch
        self.rounds = rounds.Rounds(self.settings, self.intake, self.announcer, self.backend, self.metrics)  # type: ignore[arg-type]

    def round(self, attempt: Callable[..., Attempt]) -> Outcome | None:
        self._monkeypatch.setattr(rounds, "attempt", attempt)
        asyncio.run(self.rounds._round(View(made_samples(300), "schema-1")))
        return self.rounds.latest


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def raising(error: BaseException) -> Callable[..., Attempt]:
    def attempt(*_: Any, **__: Any) -> Attempt:
        raise error

    return attempt


def judged(verdict: Verdict) -> Callable[..., Attempt]:
    def attempt(_view: Any, _current: Any, _settings: Any, _gate: Any, version: str, **_: Any) -> Attempt:
        contents = made_contents(made_weights())
        return Attempt(Contents(contents.data, contents.sha256, ()), made_version(version, gate=verdict)[1], 1.0, 0.5)

    return attempt


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (NotFiniteLossError("the loss is nan"), "not_finite"),
        (ExplodingNormError("a gradient has norm 1e9"), "exploding_norm"),
        (OutOfMemoryError("a batch of 64"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (TrainingError("no positive"), "unfit"),
        (ArtifactError("the canary's scores differ"), "unfit"),
        (StoppedError("stopped"), "too_long"),
        (ValueError("our own mistake"), "fault"),
        (OSError(28, "No space left on device"), "unreachable"),
    ],
)
def test_a_failed_fine_tune_is_counted_announces_nothing_and_the_next_goes_on(
    scene: Scene, error: Exception, outcome: str
) -> None:
    assert scene.round(raising(error)) == outcome
    assert (scene.announcer.said, artifacts.stored(scene.backend)) == ([], [])
    assert figure(scene.metrics, "fine_tunes_total", outcome=outcome) == 1
    assert scene.round(judged(Verdict(True))) == "accepted"
    assert len(scene.announcer.said) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(UnreachableError("no broker"), "unreachable"), (OvertakenError("a rollback came between"), "overtaken")],
)
def test_an_announcement_that_fails_leaves_the_net_in_force(scene: Scene, error: Exception, outcome: str) -> None:
    scene.announcer.fails_with = error
    assert scene.round(judged(Verdict(True))) == outcome
    assert scene.announcer.in_force == "builtin"


def test_only_another_trainer_ends_the_rounds(scene: Scene) -> None:
    scene.announcer.fails_with = SupersededError("another trainer has begun")
    with pytest.raises(SupersededError):
        scene.round(judged(Verdict(True)))


def test_a_refused_candidate_is_kept_with_its_reasons_counted(scene: Scene) -> None:
    reasons = ("NLL 0.5 is worse than uniform weights' 0.4", "GAUC 0.5 is below current weights' 0.6")
    assert scene.round(judged(Verdict(False, reasons))) == "refused"
    (version,) = artifacts.stored(scene.backend)
    assert artifacts.read_manifest(scene.backend, version).gate == Verdict(False, reasons)
    assert scene.announcer.said == []
    assert [figure(scene.metrics, "gate_verdicts_total", reason=name) for name in ("nll", "gauc", "auc")] == [1, 1, 0]


def test_a_real_fine_tune_passes_through(scene: Scene) -> None:
    from streams.trainer.attempt import attempt

    assert scene.round(attempt) in ("accepted", "refused")
    assert (figure(scene.metrics, "fine_tune_pass") or 0) >= 1
    (run,) = scene.backend.list(scalars.RUNS)
    assert run.startswith("events.out.tfevents.")


def test_figures_that_cannot_be_kept_cost_nothing_else(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Scalars, "save", full)
    assert scene.round(judged(Verdict(True))) == "accepted"


# -- what it tells


@pytest.mark.parametrize(
    ("reason", "label"),
    [
        ("NLL 0.50000 is worse than current weights' 0.40000", "nll"),
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
    name = kept.save(LocalBackend(tmp_path))
    events = list(LegacyEventFileLoader(str(tmp_path / name)).Load())
    assert [(value.tag, value.simple_value) for event in events for value in event.summary.value] == [
        ("pass/loss", 0.5)
    ]


def test_scalars_are_json_lines_without_tensorboard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    kept = Scalars("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    kept.add({"loss": 0.5}, "pass")
    name = kept.save(LocalBackend(tmp_path))
    assert name.endswith(".jsonl")
    (line,) = (tmp_path / name).read_text().splitlines()
    assert {key: json.loads(line)[key] for key in ("tag", "value")} == {"tag": "pass/loss", "value": 0.5}


def test_a_taken_port_is_a_sentence() -> None:
    async def start_twice() -> None:
        health = Health(lambda: True, dict, dict)
        first = TrainerSite(tiny().trainer.web, TrainerMetrics().registry, health)
        await first.start()
        port = int(first.url.rpartition(":")[2])
        second = TrainerSite(tiny(web={"port": port}).trainer.web, TrainerMetrics().registry, health)
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

    monkeypatch.setattr(process.importlib.util, "find_spec", lambda _name: None)  # type: ignore[attr-defined]
    for arguments in (["trainer"], ["worker", "--with-trainer"], ["model", "submit", "x.safetensors"]):
        assert cli.run(arguments) == 2
        assert "pip install 'sie-online[worker,trainer]'" in capsys.readouterr().err


# -- disks


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small file system needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_holds_no_half_written_version(small_disk: Path) -> None:
    data, manifest = made_version()
    backend = LocalBackend(small_disk)
    with pytest.raises(OSError, match="No space left"):
        artifacts.keep(backend, data + bytes(80_000), manifest)
    assert list((small_disk / artifacts.FOLDER).iterdir()) == []
    artifacts.keep(backend, data, manifest)  # what fits is kept as if nothing had been
    assert artifacts.load(backend, manifest).w1.size


# -- a worker's child


def child(code: str, **how: Any) -> TrainerChild:
    return TrainerChild([sys.executable, "-c", code], **how)


def test_a_dead_trainer_is_started_again_and_ends_with_the_worker() -> None:
    beside = child("raise SystemExit(70)", first_s=0.01)
    beside.start()
    deadline = time.monotonic() + 30
    while beside.starts < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert beside.starts >= 3
    beside.stop()
    beside.join(10)
    assert not beside.is_alive()


def test_a_trainer_that_cannot_run_is_not_started_again() -> None:
    beside = child("raise SystemExit(2)", first_s=0.01)
    beside.start()
    beside.join(20)
    assert (beside.is_alive(), beside.starts) == (False, 1)


def test_a_trainer_that_does_not_hear_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.trainer.child.STOP_S", 0.5)
    beside = child("import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)")
    beside.start()
    while beside.pid is None:
        time.sleep(0.05)
    beside.stop()
    assert beside.pid is None


def test_the_child_runs_under_the_workers_settings() -> None:
    command = trainer_command(["web.port=0", "trainer.every_s=5"])
    assert command[3:] == ["--set", "web.port=0", "--set", "trainer.every_s=5", "trainer", "--end-with-stdin"]
