"""The rights that the page lists suffice, for our own processes and for other systems."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.errors import GroupAuthorizationFailedError

from sie_online.client.consumer import PatientConsumer
from sie_online.settings import Settings
from streams import access
from streams.model_registry import event_log
from streams.model_registry.reader import RegistryReader
from streams.topics import check_topics
from tests.support import topic_io
from tests.support.access import NOBODY, As, grant, read, revoke, roll_back, write
from tests.support.acls import documented
from tests.support.brokers import Broker
from tests.support.secure_kafka import ADMIN
from tests.support.waiting import awaited
from tests.support.workers import SIE_WORKER, wait_until_read, worker_pool


@pytest.mark.kafka
def test_another_systems_group_reads_and_commits_with_a_sinks_rights(as_user: As) -> None:
    settings = as_user("sie-sink")
    topics = settings.topics

    async def read_as_member() -> None:
        consumer = PatientConsumer(settings, topics.weights, topics.samples, group_id="connect-sie")
        await consumer.start()
        try:
            await awaited(consumer.assignment, "partitions", holds=lambda assigned: len(assigned) == 4)
            await consumer.getmany(timeout_ms=200)
            await consumer.commit()
        finally:
            await consumer.stop()

    asyncio.run(read_as_member())


@pytest.mark.kafka
def test_a_lag_exporter_learns_ends_and_commits_with_its_rights_and_not_without(as_user: As) -> None:
    exporter, nobody = as_user("sie-lag"), as_user(NOBODY)
    assert set(topic_io.ends(exporter, exporter.topics.events)) == {0, 1}
    assert isinstance(topic_io.committed(exporter), dict)
    with pytest.raises(GroupAuthorizationFailedError):
        topic_io.committed(nobody)


@pytest.mark.kafka
def test_the_documented_rights_suffice_and_one_taken_away_later_ends_the_worker_with_its_name(
    as_user: As, tmp_path: Path
) -> None:
    worker_s, trainer_s, audit_s, reader_s = map(as_user, ("sie-worker", "sie-trainer", "sie-audit", "sie-reader"))
    before, announced = (
        sum(topic_io.ends(as_user(ADMIN), worker_s.topics.events).values()),
        asyncio.run(_announced(audit_s)),
    )
    asyncio.run(write(as_user("sie-replay"), 0, 500))
    with worker_pool(worker_s, tmp_path, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(180)
        wait_until_read(as_user(ADMIN), worker)
        asyncio.run(check_topics(trainer_s, access.trainer(trainer_s)))
        asyncio.run(event_log.growth(trainer_s))
        asyncio.run(read(trainer_s, trainer_s.topics.samples))
        asyncio.run(roll_back(trainer_s))
        asyncio.run(write(as_user("sie-replay"), 500, 100))
        worker.wait_for("model adopted late")
        wait_until_read(as_user(ADMIN), worker)
        topics = reader_s.topics
        for topic in (topics.weights, topics.samples, topics.entities, topics.recs, topics.dead_letters):
            asyncio.run(read(reader_s, topic))
        assert asyncio.run(read(audit_s, topics.events)) == before + 600
        assert asyncio.run(_announced(audit_s)) == announced + 1
        assert topic_io.read_rows(as_user(ADMIN), topics.weights).num_rows >= 600

        lost = [acl for acl in documented() if (acl.principal, acl.name) == ("User:sie-worker", topics.weights)]
        asyncio.run(revoke(as_user(ADMIN), lost))
        try:
            asyncio.run(write(as_user("sie-replay"), 600, 100))
            assert worker.exit_code(60) == 2
        finally:
            asyncio.run(grant(as_user(ADMIN), lost))
        assert f"principal User:sie-worker lacks Write on topic {topics.weights}" in worker.text()


async def _announced(settings: Settings) -> int:
    reader = RegistryReader(settings)
    await reader.start()
    try:
        await reader.catch_up()
        return reader.registered_net.newest
    finally:
        await reader.stop()


@pytest.mark.embedded
def test_a_broker_that_tells_nothing_refuses_nothing(broker: Broker, settings: Callable[..., Settings]) -> None:
    made = settings(broker=broker.address)
    topic_io.make_topics(made)
    for role in (access.worker, access.trainer):
        assert asyncio.run(access.find_missing(made, role(made))) == []
