"""Fits of the noise model beside the stream: from the newest events to an announcement, and what if that fails."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.manifest import Manifest, Verdict
from sie_online.announcements import (
    MODELS,
    NOISE,
    Announcement,
    RegisteredModel,
    announcement_key,
    encode,
    manifest_key,
)
from sie_online.errors import UnreachableError
from sie_online.importance.noise.model import default_noise
from sie_online.settings import Settings
from streams.model_registry import artifacts
from streams.model_registry.event_log import Growth
from streams.model_registry.noises import noise_in_force
from streams.store import LocalStore
from streams.trainer import noise_rounds
from streams.trainer.event_window import EventWindow
from streams.trainer.metrics import TrainerMetrics, TrainingOutcome
from streams.trainer.noise_attempt import NoiseAttempt, attempt_noise
from tests.support.noise_fits import log_batches, quick_settings
from tests.support.noise_models import random_noise_version

PARTITIONS = 2
BATCHES = log_batches(4_000, PARTITIONS)


class FakeAnnouncer:
    """Takes announcements of any model into ``store``, or raises ``fails_with``."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self.registry = {model: RegisteredModel(model) for model in MODELS}
        self.fails_with: Exception | None = None

    async def publish(self, data: bytes, manifest: Manifest, *, judged_at: int) -> Announcement:
        artifacts.keep(self._store, data, manifest)
        self.registry[manifest.model].apply(manifest_key(manifest.model, manifest.version), manifest.to_json().encode())
        return self._announce(manifest.model, manifest.version, judged_at)

    async def rollback(self, version: str, *, model: str, judged_at: int) -> Announcement:
        return self._announce(model, version, judged_at)

    def _announce(self, model: str, version: str, judged_at: int) -> Announcement:
        if self.fails_with:
            raise self.fails_with
        registered = self.registry[model]
        assert judged_at == registered.newest
        said = Announcement(n=judged_at + 1, version=version, offsets={}, reason="publish", created_at_ms=5_000)
        registered.apply(announcement_key(model, said.n), encode(said))
        return said


class NoiseScene:
    """A log of ``size`` records in each partition, and a trainer that reads it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
        self.store, self.metrics = LocalStore(folder), TrainerMetrics()
        self.announcer = FakeAnnouncer(self.store)
        self.size = 1_400
        self.windows = 0

        async def growth(_: Settings) -> dict[int, Growth]:
            return {partition: Growth(0, self.size, 0) for partition in range(PARTITIONS)}

        async def read_window(_: Settings, __: Any) -> EventWindow:
            self.windows += 1
            window = EventWindow(settings)
            for batch in BATCHES:
                window.add(batch)
            return window

        monkeypatch.setattr(noise_rounds.event_log, "growth", growth)
        monkeypatch.setattr(noise_rounds, "read_window", read_window)
        self.rounds = self.trainer(settings)

    def trainer(self, settings: Settings) -> noise_rounds.NoiseRounds:
        return noise_rounds.NoiseRounds(settings, self.announcer, self.store, self.metrics)  # type: ignore[arg-type]

    def look(self) -> TrainingOutcome | None:
        return asyncio.run(self.rounds.look())

    def ended(self, outcome: TrainingOutcome) -> float | None:
        return self.metrics.registry.get_sample_value("sie_trainer_noise_fits_total", {"outcome": outcome})


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NoiseScene:
    return NoiseScene(tmp_path, monkeypatch, quick_settings())


def test_a_model_is_fitted_on_the_newest_events_and_announced(scene: NoiseScene) -> None:
    assert scene.look() == TrainingOutcome.ACCEPTED
    registered = scene.announcer.registry[NOISE]
    version = registered.in_force(1)
    manifest = Manifest.from_json(registered.manifests[version])
    assert (manifest.model, manifest.parent, manifest.mean_f) == (NOISE, None, 1.0)
    assert manifest.train_offsets == {str(batch.partition): (0, len(batch) - 1) for batch in BATCHES}
    assert {"worst_auc", "median_auc", "gain"} <= manifest.metrics.keys()
    read = scene.metrics.registry.get_sample_value
    assert read("sie_trainer_announced_info", {"model": NOISE, "version": version}) == 1
    assert read("sie_trainer_announced_timestamp_seconds", {"model": NOISE}) == 5
    assert read("sie_trainer_noise_validation", {"figure": "gain"}) == manifest.metrics["gain"]


def test_it_is_fitted_anew_when_the_log_has_doubled_from_the_one_in_force_on(
    scene: NoiseScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scene.look() == TrainingOutcome.ACCEPTED
    scene.size *= 2
    scene.size -= 1
    assert scene.look() is None
    assert scene.windows == 1
    scene.size += 1
    begun_from: list[Any] = []

    def noting(columns: Any, spans: Any, current: Any, *rest: Any, **options: Any) -> NoiseAttempt:
        begun_from.append(current)
        return attempt_noise(columns, spans, current, *rest, **options)

    monkeypatch.setattr(noise_rounds, "attempt_noise", noting)
    assert scene.look() is not None
    assert begun_from[0] is not default_noise()
    first = scene.announcer.registry[NOISE].in_force(1)
    versions = artifacts.stored(scene.store, NOISE)
    manifests = [artifacts.read_manifest(scene.store, each, NOISE) for each in versions if each != first]
    assert [manifest.parent for manifest in manifests] == [first] * len(manifests)


def test_a_new_trainer_knows_what_the_one_before_has_fitted(scene: NoiseScene) -> None:
    assert scene.look() == TrainingOutcome.ACCEPTED
    scene.rounds = scene.trainer(quick_settings())
    assert scene.look() is None


def test_too_few_events_are_waited_for(scene: NoiseScene) -> None:
    scene.size = 400
    assert scene.look() is None
    assert scene.windows == 0


def test_what_the_gate_refuses_is_kept_and_not_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = NoiseScene(tmp_path, monkeypatch, quick_settings(gate={"worst_auc": 1.0}))
    assert scene.look() == TrainingOutcome.REFUSED
    assert not scene.announcer.registry[NOISE].announcements
    (version,) = artifacts.stored(scene.store, NOISE)
    gate = artifacts.read_manifest(scene.store, version, NOISE).gate
    assert gate is not None
    assert "worst held-out family" in gate.reasons[0]
    assert scene.ended(TrainingOutcome.REFUSED) == 1


def test_one_in_force_that_does_harm_is_withdrawn(scene: NoiseScene, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scene.look() == TrainingOutcome.ACCEPTED

    def harmful(*args: Any, **options: Any) -> NoiseAttempt:
        found = attempt_noise(*args, **options)
        report = {"candidate": {}, "current": {"innocent": 0.9, "clean": 0.9, "gain": -1.0}}
        return found._replace(manifest=replace(found.manifest, gate=Verdict(False, ("too bad",), report)))

    monkeypatch.setattr(noise_rounds, "attempt_noise", harmful)
    scene.rounds = scene.trainer(quick_settings(gate={}))
    scene.size *= 4
    assert scene.look() == TrainingOutcome.REFUSED
    assert scene.announcer.registry[NOISE].in_force(2) == "builtin"


def test_the_default_is_never_withdrawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = NoiseScene(tmp_path, monkeypatch, quick_settings(gate={"worst_auc": 1.0, "clean_cap": 1e-9}))
    assert scene.look() == TrainingOutcome.REFUSED
    assert scene.announcer.registry[NOISE].newest == 0


def test_what_nobody_took_is_tried_again_and_a_fault_is_not(scene: NoiseScene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.announcer.fails_with = UnreachableError("no broker")
    assert scene.look() == TrainingOutcome.UNREACHABLE
    scene.announcer.fails_with = None

    def broken(*_: Any, **__: Any) -> NoiseAttempt:
        raise RuntimeError("ours")

    monkeypatch.setattr(noise_rounds, "attempt_noise", broken)
    assert scene.look() == TrainingOutcome.FAULT
    assert scene.look() is None
    assert (scene.ended(TrainingOutcome.UNREACHABLE), scene.ended(TrainingOutcome.FAULT)) == (1, 1)


def test_a_fit_ends_between_two_steps_when_it_is_told_to(scene: NoiseScene) -> None:
    scene.rounds.stop()
    assert scene.look() == TrainingOutcome.STOPPED
    scene.rounds = scene.trainer(quick_settings(longest_s=1e-9))
    assert scene.look() == TrainingOutcome.TOO_LONG


def test_one_in_force_that_cannot_be_loaded_is_judged_as_the_default(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store, registered = LocalStore(tmp_path), RegisteredModel(NOISE)
    data, manifest = random_noise_version()
    registered.apply(manifest_key(NOISE, manifest.version), manifest.to_json().encode())
    assert noise_in_force(store, registered, manifest.version) is default_noise()
    assert "cannot be loaded" in caplog.text
    artifacts.keep(store, data, manifest)
    assert not np.array_equal(noise_in_force(store, registered, manifest.version).mix, default_noise().mix)
    other = replace(manifest, feature_schema_hash="another")
    registered.apply(manifest_key(NOISE, manifest.version), other.to_json().encode())
    assert noise_in_force(store, registered, manifest.version) is default_noise()
