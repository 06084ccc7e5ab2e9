"""The trainer without a broker: what it takes in, what becomes of fine-tunes that fail, and of full disks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, fields
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
from models.gate import Judged, LearnerScores
from models.manifest import Verdict
from models.snapshot import Contents
from sie_online import ndjson_text
from sie_online.announcements import Announcement, RegisteredModel
from sie_online.content import of_metadata
from sie_online.contracts import to_message
from sie_online.errors import UnreachableError
from sie_online.settings import Settings, load
from streams.model_registry import artifacts
from streams.model_registry.announcer import OvertakenError, SupersededError
from streams.store import LocalStore
from streams.trainer import rounds, scalars
from streams.trainer.attempt import Attempt, Current
from streams.trainer.intake import Intake, WindowView
from streams.trainer.metrics import TrainerMetrics, TrainingOutcome
from streams.trainer.plan import fine_tune_of, gate_of
from streams.trainer.scalars import Scalars
from tests.support.samples import made_samples, made_weights, samples_table
from tests.support.versions import TINY, made_contents, made_version


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
    return SimpleNamespace(topic="sie.samples.v1", partition=0, offset=offset, value=content, headers=())


def taken(intake: Intake, *messages: Any) -> WindowView | None:
    async def take() -> WindowView | None:
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


def test_samples_as_json_lines_are_those_in_arrow() -> None:
    table = samples_table(40)
    (batch,) = table.combine_chunks().to_batches()
    (lines,) = ndjson_text.messages(batch, 900_000)
    as_json = message(table, value=lines)
    as_json.headers = of_metadata(batch.schema.metadata)
    one, other = (taken(Intake(tiny(), TrainerMetrics()), each) for each in (message(table), as_json))
    assert one is not None
    assert other is not None
    assert one.schema_hash == other.schema_hash
    for name, column in asdict(one.samples).items():
        assert np.array_equal(column, asdict(other.samples)[name]), name


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


class FakeNetAnnouncer:
    """Takes announcements, or raises ``fails_with``."""

    def __init__(self) -> None:
        self.registered_net = RegisteredModel()
        self.announced: list[str] = []
        self.fails_with: Exception | None = None

    @property
    def in_force(self) -> str:
        return self.announced[-1] if self.announced else "builtin"

    async def publish(self, data: bytes, manifest: Any, *, judged_at: int) -> Announcement:
        if self.fails_with:
            raise self.fails_with
        self.announced.append(manifest.version)
        return Announcement(n=1, version=manifest.version, offsets={}, reason="publish", created_at_ms=1)

    async def rollback(self, version: str, *, model: str, judged_at: int) -> Announcement:
        if self.fails_with:
            raise self.fails_with
        self.announced.append(version)
        return Announcement(n=judged_at + 1, version=version, offsets={}, reason="rollback", created_at_ms=1)

    async def sweep(self) -> list[str]:
        return []


class TrainerScene:
    """Rounds with a fake announcer; ``attempt`` is what a test puts there."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store = LocalStore(tmp_path)
        self.metrics = TrainerMetrics()
        self.announcer = FakeNetAnnouncer()
        self.settings = tiny()
        self.intake = Intake(self.settings, self.metrics)
        self._monkeypatch = monkeypatch
        self.rounds = rounds.Rounds(self.settings, self.intake, self.announcer, self.store, self.metrics)  # type: ignore[arg-type]

    def round(self, attempt: Callable[..., Attempt]) -> TrainingOutcome | None:
        self._monkeypatch.setattr(rounds, "attempt", attempt)
        asyncio.run(self.rounds._round(WindowView(made_samples(300), "schema-1")))
        return self.rounds.latest


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainerScene:
    return TrainerScene(tmp_path, monkeypatch)


def raising(error: BaseException) -> Callable[..., Attempt]:
    def attempt(*_: Any, **__: Any) -> Attempt:
        raise error

    return attempt


def judged(verdict: Verdict) -> Callable[..., Attempt]:
    def attempt(_view: Any, _current: Any, _settings: Any, _gate: Any, version: str, **_: Any) -> Attempt:
        contents = made_contents(made_weights())
        return Attempt(
            Contents(contents.data, contents.sha256, ()), made_version(version, gate=verdict)[1], 1.0, 0.5, "cpu"
        )

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
        (UnreachableError("the store fails: No space left on device"), "unreachable"),
    ],
)
def test_a_failed_fine_tune_is_counted_announces_nothing_and_the_next_goes_on(
    scene: TrainerScene, error: Exception, outcome: str
) -> None:
    assert scene.round(raising(error)) == outcome
    assert (scene.announcer.announced, artifacts.stored(scene.store)) == ([], [])
    assert figure(scene.metrics, "fine_tunes_total", outcome=outcome) == 1
    assert scene.round(judged(Verdict(True))) == "accepted"
    assert len(scene.announcer.announced) == 1


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(UnreachableError("no broker"), "unreachable"), (OvertakenError("a rollback came between"), "overtaken")],
)
def test_an_announcement_that_fails_leaves_the_net_in_force(
    scene: TrainerScene, error: Exception, outcome: str
) -> None:
    scene.announcer.fails_with = error
    assert scene.round(judged(Verdict(True))) == outcome
    assert scene.announcer.in_force == "builtin"


def test_only_another_trainer_ends_the_rounds(scene: TrainerScene) -> None:
    scene.announcer.fails_with = SupersededError("another trainer has begun")
    with pytest.raises(SupersededError):
        scene.round(judged(Verdict(True)))


def test_a_refused_candidate_is_kept_with_its_reasons_counted(scene: TrainerScene) -> None:
    reasons = ("NLL 0.5 is worse than uniform weights' 0.4", "GAUC 0.5 is below current weights' 0.6")
    assert scene.round(judged(Verdict(False, reasons))) == "refused"
    (version,) = artifacts.stored(scene.store)
    assert artifacts.read_manifest(scene.store, version).gate == Verdict(False, reasons)
    assert scene.announcer.announced == []
    assert [figure(scene.metrics, "gate_verdicts_total", reason=name) for name in ("nll", "gauc", "auc")] == [1, 1, 0]


def _report(current_nll: float) -> dict[str, dict[str, float | None]]:
    """A verdict's figures where uniform importance has an NLL of .4."""
    names = [field.name for field in fields(LearnerScores)]
    return {
        name: dict.fromkeys(names, 0.5) | {"nll": nll} for name, nll in (("uniform", 0.4), ("current", current_nll))
    }


@pytest.mark.parametrize(("current_nll", "said"), [(0.41, ["builtin"]), (0.4, [])])
def test_a_net_in_force_that_falls_behind_uniform_importance_is_withdrawn(
    scene: TrainerScene, current_nll: float, said: list[str]
) -> None:
    scene.round(judged(Verdict(True)))
    (version,) = scene.announcer.announced
    scene.rounds._loaded = version, Current(1, version, Judged(made_weights(), 0.5), "schema-1")
    assert scene.round(judged(Verdict(False, ("NLL 0.5 is worse",), _report(current_nll)))) == "refused"
    assert scene.announcer.announced == [version, *said]
    assert figure(scene.metrics, "withdrawals_total") == len(said)


def test_the_newest_verdict_is_told_in_figures(scene: TrainerScene) -> None:
    gain = {"uniform": 1e-3, "uniform_lower": -2e-4, "current": None, "users": 90.0}
    scene.round(judged(Verdict(False, ("no evidence of gain over uniform weights",), _report(0.45) | {"gain": gain})))

    def told() -> dict[str, float]:
        families = scene.metrics.registry.collect()
        found = [s for family in families for s in family.samples if s.name == "sie_trainer_gate_figures"]
        return {sample.labels["figure"]: sample.value for sample in found}

    assert told() == {
        **{f"{whose}_{what}": 0.5 for whose in ("uniform", "current") for what in ("auc", "gauc", "calibration")},
        **{"uniform_effective_share": 0.5, "current_effective_share": 0.5, "uniform_nll": 0.4, "current_nll": 0.45},
        **{"gain_over_uniform": 1e-3, "gain_over_uniform_lower": -2e-4},
    }
    scene.round(judged(Verdict(False, ("the scored part has 3 positives of 90: a verdict needs 20",))))
    assert told() == {}, "this one came to no figures"


def test_whatever_became_of_it_a_fine_tune_ended_at_some_time(scene: TrainerScene) -> None:
    assert figure(scene.metrics, "last_fine_tune_timestamp_seconds") == 0
    began = time.time()
    scene.round(raising(TrainingError("no positive")))
    assert began <= (figure(scene.metrics, "last_fine_tune_timestamp_seconds") or 0) <= time.time()


def test_the_device_is_the_one_that_the_fine_tune_ran_on(scene: TrainerScene) -> None:
    scene.metrics.runs_on("cuda:0")
    assert figure(scene.metrics, "device_info", device="cuda") == 1
    scene.round(judged(Verdict(True)))
    assert figure(scene.metrics, "device_info", device="cpu") == 1
    assert figure(scene.metrics, "device_info", device="cuda") is None


def test_without_a_net_there_is_nothing_to_withdraw(scene: TrainerScene) -> None:
    assert scene.round(judged(Verdict(False, ("NLL 0.5 is worse",), _report(0.9)))) == "refused"
    assert scene.announcer.announced == []


def test_a_real_fine_tune_passes_through(scene: TrainerScene) -> None:
    from streams.trainer.attempt import attempt

    assert scene.round(attempt) in ("accepted", "refused")
    assert (figure(scene.metrics, "fine_tune_pass") or 0) >= 1
    assert (figure(scene.metrics, "gate_figures", figure="candidate_nll") or 0) > 0
    (run,) = scene.store.list(scalars.RUNS)
    assert run.startswith("events.out.tfevents.")


def test_figures_that_cannot_be_kept_cost_nothing_else(scene: TrainerScene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> str:
        raise UnreachableError("the store fails: No space left on device")

    monkeypatch.setattr(Scalars, "save", full)
    assert scene.round(judged(Verdict(True))) == "accepted"


# -- disks


def test_a_full_disk_holds_no_half_written_version(small_disk: Path) -> None:
    data, manifest = made_version()
    store = LocalStore(small_disk)
    with pytest.raises(UnreachableError, match="No space left"):
        artifacts.keep(store, data + bytes(80_000), manifest)
    assert list((small_disk / artifacts.folder("net")).iterdir()) == []
    artifacts.keep(store, data, manifest)  # what fits is kept as if nothing had been
    assert artifacts.load(store, manifest).w1.size
