"""Priors beside the stream: from the shards' checkpoints to an announcement, and what happens when that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from models.manifest import Manifest
from models.samples import from_table
from sie_online.announcements import MODELS, PRIORS, Announcement, RegisteredModel
from sie_online.errors import UnreachableError
from sie_online.features import schema_hash
from sie_online.settings import Settings
from sie_online.shard import Shard, ShardOutput, Snapshot
from sie_online.shard.pooled import initial_recommender
from streams.checkpoint.store import CheckpointStore
from streams.model_registry import artifacts
from streams.model_registry.event_log import Growth
from streams.model_registry.priors import parts_of
from streams.store import LocalStore
from streams.trainer import prior_rounds
from streams.trainer.intake import Intake, WindowView
from streams.trainer.metrics import TrainerMetrics, TrainingOutcome
from tests.support.events import heartbeat, random_events, records, run, samples, small_settings

N = 1_500
PARTITIONS = 3
LENIENT = {"priors": {"every_events": 10, "min_positives": 1, "nll_slack": 9.0, "held_out_slack": 9.0}}


RANKED = {"enabled": True}


class FakePriorsAnnouncer:
    """Takes announcements, or raises ``fails_with``."""

    def __init__(self) -> None:
        self.registry = {model: RegisteredModel(model) for model in MODELS}
        self.announced: list[Manifest] = []
        self.fails_with: Exception | None = None

    async def publish(self, data: bytes, manifest: Manifest, *, judged_at: int) -> Announcement:
        assert judged_at == self.registry[PRIORS].newest
        if self.fails_with:
            raise self.fails_with
        self.announced.append(manifest)
        return Announcement(n=1, version=manifest.version, offsets={}, reason="publish", created_at_ms=1)


class PriorsScene:
    """Three shards with a checkpoint each, and a trainer that has their settled samples."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, outputs: list[ShardOutput], **rules: Any) -> None:
        self.settings: Settings = small_settings(trainer=rules or LENIENT, recommend=RANKED)
        self.backend = LocalStore(folder)
        self.announcer = FakePriorsAnnouncer()
        self.metrics = TrainerMetrics()
        intake = Intake(self.settings, self.metrics)
        self.view: WindowView | None = WindowView(from_table(pa.table(samples(outputs))), schema_hash())

        async def growth(_: Settings) -> dict[int, Growth]:
            return {partition: Growth(0, 0, 0) for partition in range(PARTITIONS + 1)}

        async def view() -> WindowView | None:
            return self.view

        monkeypatch.setattr(prior_rounds.event_log, "growth", growth)
        monkeypatch.setattr(intake, "view", view)
        self.rounds = prior_rounds.PriorRounds(
            self.settings,
            intake,
            self.announcer,  # type: ignore[arg-type]
            self.backend,
            self.metrics,
        )

    def save(self, saved: Mapping[int, Snapshot], settings: Settings | None = None) -> None:
        store = CheckpointStore(
            settings or self.settings, self.settings.topics.events, input_partitions=PARTITIONS, store=self.backend
        )
        for partition, snapshot in saved.items():
            store.write(partition, store.claim(partition, 1), snapshot)

    def look(self) -> TrainingOutcome | None:
        return asyncio.run(self.rounds._look())


class LearnedShards(NamedTuple):
    """What three shards have said, and their snapshots at the end, by partition."""

    shards: list[Shard]
    saved: dict[int, Snapshot]
    outputs: list[ShardOutput]


@pytest.fixture(scope="module")
def stream() -> LearnedShards:
    shards = [Shard(small_settings(recommend=RANKED), partition) for partition in range(PARTITIONS)]
    outputs: list[ShardOutput] = []
    for shard in shards:
        outputs += run(shard, records([*random_events(N, seed=shard.partition), heartbeat(10 * N * 20)]))
    return LearnedShards(shards, {shard.partition: shard.snapshot() for shard in shards}, outputs)


def test_what_the_checkpoints_hold_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: LearnedShards
) -> None:
    scene = PriorsScene(tmp_path, monkeypatch, stream.outputs)
    scene.save(stream.saved)
    assert scene.look() == TrainingOutcome.ACCEPTED
    (manifest,) = scene.announcer.announced
    assert manifest.model == PRIORS
    assert manifest.train_offsets == {str(partition): (0, N) for partition in range(PARTITIONS)}
    assert scene.look() is None  # nothing new


def test_the_announced_parts_are_what_the_shards_have_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: LearnedShards
) -> None:
    scene = PriorsScene(tmp_path, monkeypatch, stream.outputs)
    scene.save(stream.saved)
    made = scene.rounds._made([0, 1, 2], scene.view.samples if scene.view else None, "builtin")  # type: ignore[arg-type]
    artifacts.keep(scene.backend, made.contents.data, made.manifest)
    parts = parts_of(artifacts.tensors(scene.backend, made.manifest), initial_recommender(scene.settings)._asdict())
    for shard in stream.shards:
        expected = shard.own_gains()
        assert (parts[shard.partition].linear.rows == expected.linear.rows).all()
        assert (parts[shard.partition].factors.values == expected.factors.values).all()
        found, counted = parts[shard.partition].neighbourhoods, expected.neighbourhoods
        assert found is not None
        assert counted is not None
        assert len(counted.keys) > 30
        assert (found.keys == counted.keys).all()
        assert (found.neighbours.item == counted.neighbours.item).all()
        assert np.allclose(found.neighbours.counts, counted.neighbours.counts)


def test_one_partition_has_nothing_to_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: LearnedShards
) -> None:
    scene = PriorsScene(tmp_path, monkeypatch, stream.outputs)
    scene.save({0: stream.saved[0]})
    assert scene.look() is None
    scene.save({1: stream.saved[1]})
    assert scene.look() == TrainingOutcome.ACCEPTED


def test_samples_that_are_too_few_are_waited_for_and_without_any_bounds_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: LearnedShards
) -> None:
    scene = PriorsScene(tmp_path, monkeypatch, stream.outputs)
    scene.save(stream.saved)
    view = scene.view
    assert view is not None
    scene.view = WindowView(view.samples.take(view.samples.label == 0), view.schema_hash)
    assert scene.look() is None
    scene.view = WindowView(view.samples, "another schema")
    assert scene.look() == TrainingOutcome.ACCEPTED
    assert scene.announcer.announced[0].metrics == {}


def test_what_the_gate_refuses_is_kept_and_not_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: LearnedShards
) -> None:
    strict = {"priors": {"every_events": 10, "min_positives": 1, "nll_slack": 0.0, "held_out_slack": 0.0}}
    scene = PriorsScene(tmp_path, monkeypatch, stream.outputs, **strict)
    scene.save(stream.saved)
    assert scene.view is not None
    published = scene.view.samples.probability
    published[:] = scene.view.samples.label  # nobody predicts better than the truth
    assert scene.look() == TrainingOutcome.REFUSED
    assert not scene.announcer.announced
    (version,) = artifacts.stored(scene.backend, PRIORS)
    gate = artifacts.read_manifest(scene.backend, version, PRIORS).gate
    assert gate is not None
    assert not gate.passed


def test_checkpoints_of_other_settings_are_not_put_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: LearnedShards
) -> None:
    scene = PriorsScene(tmp_path, monkeypatch, stream.outputs)
    scene.save(stream.saved, small_settings(recommender={"seed": 7}))
    assert scene.look() == TrainingOutcome.UNREACHABLE
    assert not scene.announcer.announced


def test_a_failure_changes_nothing_and_the_next_look_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: LearnedShards
) -> None:
    scene = PriorsScene(tmp_path, monkeypatch, stream.outputs)
    scene.save(stream.saved)
    for error, outcome in (
        (UnreachableError("no broker"), TrainingOutcome.UNREACHABLE),
        (ValueError("ours"), TrainingOutcome.FAULT),
    ):
        scene.announcer.fails_with = error
        assert scene.look() == outcome
    scene.announcer.fails_with = None
    assert scene.look() == TrainingOutcome.ACCEPTED
