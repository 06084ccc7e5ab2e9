"""Announced noise models as shards take them: verified, and refused in words where they do not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.manifest import Manifest
from sie_online.announcements import NOISE, Adoption
from sie_online.importance.noise.model import NoiseArrays
from sie_online.settings import Settings
from streams.model_registry import artifacts
from streams.model_registry.history import checked, difference, entries
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.recorded import RegistryRecorder
from streams.observe.metrics import Metrics
from streams.store import LocalStore
from tests.support.nets import random_version
from tests.support.noise_models import random_noise_model, random_noise_version


class Scene:
    """A registry in a folder, and what loads from it."""

    def __init__(self, folder: Path) -> None:
        self.store, self.metrics = LocalStore(folder), Metrics(Settings())
        self.recorder = RegistryRecorder(self.store)
        self.loaded = LoadedModels(Settings(), self.store, self.recorder.registry, self.metrics)

    def announce(self, data: bytes, manifest: Manifest) -> Adoption:
        n = self.recorder.publish(data, manifest, {0: 5}, now_ms=1).n
        return Adoption(n, manifest.version, 5, NOISE)

    def failures(self) -> float:
        found = self.metrics.registry.get_sample_value("sie_model_load_failures_total", {"model": NOISE})
        assert found is not None
        return found


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_what_was_announced_is_what_a_shard_gets(scene: Scene) -> None:
    found = scene.loaded.get(scene.announce(*random_noise_version(3)), partition=1)
    assert isinstance(found, NoiseArrays)
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(found, random_noise_model(3), strict=True))
    assert scene.loaded.version(NOISE, "builtin", 0) is None


@pytest.mark.parametrize("what", ["of other evidence", "a net", "damaged"])
def test_what_does_not_fit_is_counted_and_cannot_be_had(
    scene: Scene, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, manifest = random_noise_version()
    if what == "of other evidence":
        manifest = replace(manifest, feature_schema_hash="another")
    elif what == "a net":
        data, net = random_version()
        manifest = replace(manifest, size=net.size, sha256=net.sha256, tensors=net.tensors)
    adoption = scene.announce(data, manifest)
    if what == "damaged":
        scene.store.put(manifest.uri, [])
    with pytest.raises(LookupError):
        scene.loaded.get(adoption, 0)
    assert scene.failures() == 1
    said = {"of other evidence": "other inputs", "a net": "this is no noise model", "damaged": "0 bytes"}
    assert said[what] in caplog.text
    assert "the one in force stays" in caplog.text


def test_a_person_sees_whether_an_artifact_is_sound_and_how_two_are_apart(scene: Scene) -> None:
    first, second = (random_noise_version(seed) for seed in (1, 2))
    for version in (first, second):
        scene.announce(*version)
    assert checked(scene.store, first[1]) == "sound"
    newest, older, builtin = entries(scene.recorder.registry[NOISE], scene.store)
    assert {newest.state, older.state, builtin.state} == {"in force", "announced", "before any"}
    apart = difference(scene.store, older, newest)["tensors"]
    assert apart["knots"]["relative_distance"] == 0
    assert apart["mix"]["relative_distance"] > 0
    assert "canary.scores" not in apart
    scene.store.put(artifacts.artifact_name(first[1].version, NOISE), [])
    assert "0 bytes" in checked(scene.store, first[1])
