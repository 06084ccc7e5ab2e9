"""Models announced while events flow: adopted at their offsets through kills, and every weight can be recomputed."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.manifest import Manifest
from sie_online.announcements import NET, NOISE, Announcement
from sie_online.contracts import BUILTIN_MODEL, weights_schema
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from sie_online.simulator import Scenario, Simulation, simulate
from sie_online.tables import newest_statements, write_parquet
from streams.model_registry.announcer import Announcer
from streams.model_registry.reader import RegistryReader
from streams.store import open_store
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay
from tests.chaos.scene import load_of
from tests.support import topic_io
from tests.support.brokers import ROOT, Broker
from tests.support.environment import as_environment
from tests.support.nets import random_version
from tests.support.noise_models import random_noise_version
from tests.support.topic_io import writing
from tests.support.workers import SIE_WORKER, wait_until_read, worker_pool

pytestmark = pytest.mark.slow
PARTITIONS = 2
PER_S = 900
Settle = Callable[..., Settings]


def announce(
    settings: Settings, seed: int, version: Callable[[int], tuple[bytes, Manifest]] = random_version
) -> Announcement:
    """Announce a model of random weights, a net unless told otherwise."""

    async def say() -> Announcement:
        announcer = Announcer(settings, open_store(settings.store))
        await announcer.start()
        try:
            data, manifest = version(seed)
            newest = announcer.registry[manifest.model].newest
            return await announcer.publish(data, manifest, judged_at=newest)
        finally:
            await announcer.stop()

    return asyncio.run(say())


def roll_back_now(settings: Settings, model: str = NET) -> Announcement:
    """Announce the built-in model for every shard's next checkpoint."""

    async def say() -> Announcement:
        announcer = Announcer(settings, open_store(settings.store))
        await announcer.start()
        try:
            return await announcer.rollback(BUILTIN_MODEL, model=model, now=True)
        finally:
            await announcer.stop()

    return asyncio.run(say())


def adopted_late(settings: Settings, model: str = NET) -> dict[tuple[int, int], int]:
    """Where shards took announcements up late: offset by partition and number."""

    async def read() -> dict[tuple[int, int], int]:
        reader = RegistryReader(settings)
        await reader.start()
        try:
            await reader.catch_up()
            return {at: adopted.offset for at, adopted in reader.registry[model].adopted.items()}
        finally:
            await reader.stop()

    return asyncio.run(read())


def in_force(offset: pd.Series, steps: list[tuple[int, str]]) -> pd.Series:
    """The version that applies to each offset; ``steps`` are (first offset, version), in order of announcement."""
    version = pd.Series(BUILTIN_MODEL, index=offset.index)
    for first, name in steps:
        version[offset >= first] = name
    return version


@pytest.mark.kafka
def test_versions_change_at_the_named_offsets_only_and_every_weight_is_recomputed(
    settings: Settle, kafka: Broker, tmp_path: Path
) -> None:
    made = settings(
        broker=kafka.address,
        checkpoint={"interval_s": 0.5},
        topics={"partitions": PARTITIONS},
        trainer={"ahead_s": 1.0},
    )
    topic_io.make_topics(made)
    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(600)
        with writing(made, load_of(seed=5), PER_S):
            worker.until(lambda: topic_io.committed(made), "commits under no version", 60)
            first = announce(made, seed=1)
            worker.until(lambda: _is_beyond(made, first), "commits under the first", 120)
            worker.kill()
            worker = start()
            second = announce(made, seed=2)  # while nobody listens
            worker.until(lambda: _is_beyond(made, second), "commits under the second", 120)
            back = roll_back_now(made)
            everywhere = {(partition, back.n) for partition in range(PARTITIONS)}
            worker.until(lambda: everywhere <= adopted_late(made).keys(), "late adoptions", 120)
        wait_until_read(made, worker)
        assert worker.stop() == 0
    late = adopted_late(made)
    rows = topic_io.read_rows(made, made.topics.weights)
    # what a killed owner said beyond its last checkpoint its successor may have said under another version: it counts
    table = newest_statements(rows.to_batches(), weights_schema(made.topics.events))
    _check_versions(table.to_pandas(), [first, second, back], late)
    write_parquet(table, tmp_path / "weights.parquet")
    finding = _audit(made, tmp_path / "weights.parquet")
    assert finding["holds"], finding["differences"]
    assert finding["equal"] == finding["rows"] == len(table)


def _is_beyond(settings: Settings, announcement: Announcement) -> bool:
    """Whether every partition is committed beyond where ``announcement`` applies."""
    committed = topic_io.committed(settings)
    return all(committed.get(partition, 0) > announcement.offset(partition) for partition in range(PARTITIONS))


def _check_versions(rows: pd.DataFrame, announced: list[Announcement], late: dict[tuple[int, int], int]) -> None:
    revision_0 = rows[rows["revision"] == 0]
    for partition, found in revision_0.groupby("partition"):
        steps = [(late.get((partition, one.n), one.offset(partition)), one.version) for one in announced]
        assert (found["model_version"].astype(str) == in_force(found["offset"], steps)).all(), steps
        seen = set(found["model_version"].astype(str))
        assert seen == {BUILTIN_MODEL, announced[0].version, announced[1].version}, "each was in force for a while"
        weighed = found[(found["event_type"].astype(str) == "view")]
        has_net = weighed["model_version"].astype(str) != BUILTIN_MODEL
        assert ((weighed["f_influence"] != 0) == has_net).all()


def _audit(settings: Settings, file: Path) -> dict[str, object]:
    command = [SIE_WORKER[0], "-c", SIE_WORKER[2], "audit", str(file), "--json"]
    done = subprocess.run(command, cwd=ROOT, env=as_environment(settings), capture_output=True, text=True)
    assert done.stdout, done.stderr
    finding: dict[str, object] = json.loads(done.stdout)
    return finding


@pytest.mark.embedded
def test_rows_under_noise_models_are_recomputed_through_a_restart_and_a_late_adoption(
    settings: Settle, broker: Broker, tmp_path: Path
) -> None:
    made = settings(
        broker=broker.address,
        checkpoint={"interval_s": 0.5},
        topics={"partitions": PARTITIONS},
        trainer={"ahead_s": 0.01},
    )
    topic_io.make_topics(made)
    parts = [simulate(Scenario(events=1_000, seed=seed, duplicate_share=0, malformed=0)) for seed in (6, 7, 8)]
    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        worker = start()
        topic_io.write(made, _renamed(parts[0], "a"))
        wait_until_read(made, worker, 600)
        said = announce(made, 1, random_noise_version)
        worker.until(lambda: "model heard of" in worker.text(), "the announcement's arrival", 30)
        topic_io.write(made, _renamed(parts[1], "b"))
        worker.until(lambda: _is_beyond(made, said), "commits under the noise model", 60)
        assert worker.stop() == 0
        worker = start()
        back = roll_back_now(made, NOISE)
        worker.until(lambda: worker.text().count("late=True") == PARTITIONS, "the rollback's arrival", 60)
        topic_io.write(made, _renamed(parts[2], "c"))
        everywhere = {(partition, back.n) for partition in range(PARTITIONS)}
        worker.until(lambda: everywhere <= adopted_late(made, NOISE).keys(), "late adoptions", 60)
        topic_io.write(made, _renamed(parts[2], "d"))
        wait_until_read(made, worker)
        assert worker.stop() == 0
    rows = topic_io.read_rows(made, made.topics.weights)
    table = newest_statements(rows.to_batches(), weights_schema(made.topics.events))
    write_parquet(table, tmp_path / "weights.parquet")
    finding = _audit(made, tmp_path / "weights.parquet")
    assert finding["holds"], finding["differences"]
    assert finding["equal"] == len(table)


def _renamed(simulation: Simulation, mark: str) -> list[WireRecord]:
    """Its events under ids of their own."""
    old, new = b'"event_id":"', f'"event_id":"{mark}-'.encode()
    return [record._replace(value=(record.value or b"").replace(old, new)) for record in simulation.records()]


@pytest.mark.embedded
def test_an_audit_finds_a_single_changed_bit(settings: Settle, broker: Broker, tmp_path: Path) -> None:
    made = settings(broker=broker.address, checkpoint={"interval_s": 0.5}, topics={"partitions": PARTITIONS})
    topic_io.make_topics(made)
    asyncio.run(replay(made, simulate(Scenario(events=1_000, seed=6)).chunks(), ReplayRate.parse("max")))
    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        worker = start()
        wait_until_read(made, worker, 600)
        assert worker.stop() == 0
    rows = topic_io.read_rows(made, made.topics.weights).to_pandas()
    rows.loc[7, "weight"] = np.nextafter(rows.loc[7, "weight"], 2.0)
    rows.loc[9, "revision"] = 77
    rows.to_parquet(tmp_path / "weights.parquet")
    finding = _audit(made, tmp_path / "weights.parquet")
    assert (finding["different"], finding["missing"], finding["equal"]) == (1, 1, len(rows) - 2)
    assert finding["holds"] is False
