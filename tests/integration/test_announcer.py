"""Announcements on brokers: what a crash leaves, who may speak, and where a version applies from."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from sie_online.ingest.wire import heartbeat
from sie_online.settings import Settings
from streams.model_registry import artifacts
from streams.model_registry.announcer import Announcer, OvertakenError, SupersededError
from streams.model_registry.history import read_registered
from streams.store import LocalStore, open_store
from tests.support.brokers import ROOT, Broker
from tests.support.environment import as_environment
from tests.support.topic_io import make_topics, write
from tests.support.trainers import registered_net
from tests.support.versions import made_version

SettingsFactory = Callable[..., Settings]


@pytest.fixture(
    params=[pytest.param("broker", marks=pytest.mark.embedded), pytest.param("kafka", marks=pytest.mark.kafka)]
)
def at(request: pytest.FixtureRequest, settings: SettingsFactory) -> Settings:
    """Settings with topics of this test's own, on the embedded broker and on Apache Kafka."""
    running: Broker = request.getfixturevalue(request.param)
    made = settings(broker=running.address, topics={"partitions": 2})
    make_topics(made)
    return made


@pytest.fixture
def on_kafka(kafka: Broker, settings: SettingsFactory) -> Settings:
    """Settings with topics of this test's own, on Apache Kafka."""
    made = settings(broker=kafka.address, topics={"partitions": 2})
    make_topics(made)
    return made


async def _with(settings: Settings, name: str | None, do: Callable[[Announcer], Awaitable[Any]]) -> Any:
    announcer = Announcer(settings, open_store(settings.store), name)
    await announcer.start()
    try:
        return await do(announcer)
    finally:
        await announcer.stop()


def test_a_version_applies_beyond_the_logs_end_and_is_durable_before_it_is_announced(at: Settings) -> None:
    write(at, [heartbeat(1_500_000_000_000 + n, 0) for n in range(7)])
    data, manifest = made_version()
    said = asyncio.run(_with(at, "t1", lambda a: a.publish(data, manifest, judged_at=0)))
    assert (said.n, said.version, said.reason) == (1, manifest.version, "publish")
    assert said.offsets == {0: 14, 1: 1}  # as many records again as the last seconds brought; one where none came
    heard = registered_net(at)
    assert (heard.newest, heard.announcements[1], set(heard.manifests)) == (1, said, {manifest.version})
    assert artifacts.load(open_store(at.store), manifest).w1.size


def test_a_rollback_is_a_new_announcement_of_an_old_version(at: Settings) -> None:
    async def act(announcer: Announcer) -> None:
        versions = []
        for n in range(2):
            data, manifest = made_version(seed=n)
            await announcer.publish(data, manifest, judged_at=n)
            versions.append(manifest.version)
        back = await announcer.rollback(versions[0])
        assert (back.n, back.version, back.reason) == (3, versions[0], "rollback")
        at_once = await announcer.rollback("builtin", now=True)
        assert (at_once.n, at_once.version, at_once.offsets) == (4, "builtin", {0: 0, 1: 0})

    asyncio.run(_with(at, None, act))
    assert registered_net(at).in_force(4) == "builtin"


def test_two_trainers_the_newer_silences_the_older(at: Settings) -> None:
    async def act() -> None:
        backend = open_store(at.store)
        older, newer = Announcer(at, backend, "older"), Announcer(at, backend, "newer")
        await older.start()
        await newer.start()
        try:
            data, manifest = made_version()
            with pytest.raises(SupersededError, match="newer"):
                await older.publish(data, manifest, judged_at=0)
            with pytest.raises(SupersededError):  # it hears of it even while it has nothing to say
                await older.follow(0.1)
            assert (await newer.publish(data, manifest, judged_at=0)).n == 1
        finally:
            await older.stop()
            await newer.stop()

    asyncio.run(act())
    assert sorted(registered_net(at).announcements) == [1]


def test_a_persons_rollback_does_not_end_the_trainer_and_is_not_undone_by_what_was_judged_before(at: Settings) -> None:
    async def act(trainer: Announcer) -> None:
        first, second, third = (made_version(seed=n) for n in range(3))
        await trainer.publish(*first, judged_at=0)
        await _with(at, None, lambda person: person.rollback("builtin"))
        with pytest.raises(OvertakenError):
            await trainer.publish(*second, judged_at=1)
        assert trainer.in_force == "builtin"
        assert (await trainer.publish(*third, judged_at=2)).n == 3

    asyncio.run(_with(at, "trainer", act))


class DyingAnnouncer(Announcer):
    """Fails at the k-th record of a transaction; k = 3 is the commit."""

    dies_at = 99

    async def _send(self, producer: AIOKafkaProducer, key: bytes, value: bytes) -> None:
        if self.dies_at == 0:
            raise ConnectionAbortedError("as a test wants it")
        self.dies_at -= 1
        await super()._send(producer, key, value)


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_fault_between_the_records_of_an_announcement_leaves_none_of_them(at: Settings, step: int) -> None:
    data, manifest = made_version()

    async def act() -> None:
        announcer = DyingAnnouncer(at, open_store(at.store), "t")
        await announcer.start()
        announcer.dies_at = step
        with pytest.raises(ConnectionAbortedError):
            await announcer.publish(data, manifest, judged_at=0)
        heard = await read_registered(at)
        assert (heard.newest, heard.manifests) == (0, {})
        announcer.dies_at = 99
        assert (await announcer.publish(data, manifest, judged_at=0)).n == 1
        await announcer.stop()

    asyncio.run(act())
    assert registered_net(at).newest == 1


KILLED = """
import asyncio, os, sys
from sie_online.settings import load
from streams.store import LocalStore, open_store
from streams.model_registry import announcer, artifacts
from tests.support.versions import made_version

step = int(sys.argv[1])

class Disk(LocalStore):
    puts = 0
    def put(self, name, parts):
        if step == -2 and self.puts == 1:
            os._exit(9)  # the artifact is there, its manifest is not
        Disk.puts += 1
        super().put(name, parts)

    def _rename(self, temporary, target):
        if step == -3:
            os._exit(9)  # half written
        super()._rename(temporary, target)

class Killed(announcer.Announcer):
    sent = 0
    async def _send(self, producer, key, value):
        if b"lease" not in key:
            if self.sent == step:
                os._exit(9)
            self.sent += 1
        await super()._send(producer, key, value)

    async def _transact(self, records):
        if step == -1 and len(records) > 1:
            os._exit(9)  # everything is durable, nothing said
        await super()._transact(records)
        if step == 3 and len(records) > 1:
            os._exit(9)  # said, and not heard that it was

async def main():
    settings = load()
    killed = Killed(settings, Disk(open_store(settings.store).root), "killed")
    await killed.start()
    await killed.publish(*made_version(), judged_at=0)

asyncio.run(main())
"""


@pytest.mark.parametrize("step", [-3, -2, -1, 0, 1, 2, 3])
def test_a_trainer_killed_at_any_step_leaves_all_of_an_announcement_or_nothing(on_kafka: Settings, step: int) -> None:
    environment = as_environment(on_kafka) | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(step)], env=environment, cwd=ROOT, check=False)
    assert done.returncode == 9
    backend = open_store(on_kafka.store)

    async def after(successor: Announcer) -> None:
        said = successor.registered_net.newest
        assert said == (1 if step == 3 else 0)
        assert len(successor.registered_net.manifests) == said
        if said:
            (stored,) = artifacts.stored(backend)
            artifacts.load(backend, artifacts.read_manifest(backend, stored))
        assert (await successor.publish(*made_version(), judged_at=said)).n == said + 1

    asyncio.run(_with(on_kafka, "successor", after))  # waits for no timeout: beginning ends what was left open


def test_a_full_or_missing_store_announces_nothing(at: Settings, tmp_path: Path) -> None:
    class FullBackend(LocalStore):
        def _fill(self, file: Any, parts: Any) -> None:
            raise OSError(28, "No space left on device")

    async def act() -> None:
        from sie_online.errors import UnreachableError

        announcer = Announcer(at, FullBackend(tmp_path), "t")
        await announcer.start()
        with pytest.raises(UnreachableError, match="No space left"):
            await announcer.publish(*made_version(), judged_at=0)
        await announcer.stop()

    asyncio.run(act())
    assert registered_net(at).newest == 0


def test_refused_candidates_go_in_the_end_and_what_may_be_in_force_stays(
    broker: Broker, settings: SettingsFactory
) -> None:
    made = settings(broker=broker.address, topics={"partitions": 1, "events_retention_h": 1e-9}, models={"keep": 1})
    make_topics(made)
    backend = open_store(made.store)

    async def act(announcer: Announcer) -> None:
        announced = []
        for n in range(3):
            data, manifest = made_version(seed=n)
            announced.append((await announcer.publish(data, manifest, judged_at=n)).version)
        refused = [made_version(seed=n) for n in range(3)]
        for data, manifest in refused:
            artifacts.keep(backend, data, manifest)
        # every announcement's offset lies beyond an empty log's start: each may still be in force
        assert await announcer.sweep() == [manifest.version for _, manifest in refused[:2]]
        assert artifacts.stored(backend) == [*announced, refused[2][1].version]

    asyncio.run(_with(made, "t", act))
