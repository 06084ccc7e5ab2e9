"""Rights at the brokers, on Apache Kafka with SCRAM over TLS and ACLs: what the page lists suffices, and what is
missing is named before anything depends on it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sie_online.client.access import Needs, missing
from sie_online.client.reader import TopicReader
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import AccessError
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings, load
from streams import access
from streams.model_registry import event_log
from streams.model_registry.announcer import Announcer
from streams.model_registry.reader import RegistryReader
from streams.store import open_store
from streams.tools.writer import open_writer
from streams.topics import check_topics, create_topics, find_topics
from tests.support import topic_io
from tests.support.acls import Acl, administrator, change, documented
from tests.support.brokers import Broker
from tests.support.events import event
from tests.support.secure_kafka import ADMIN, SecureKafka, secure_kafka
from tests.support.waiting import awaited
from tests.support.workers import SIE_WORKER, wait_until_read, worker_pool

As = Callable[[str], Settings]

NOBODY = "sie-nobody"
USERS = sorted({acl.principal.removeprefix("User:") for acl in documented()} | {NOBODY})


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """The broker, with the documented rights and the topics that ``sie-topics`` has made with them."""
    with secure_kafka(tmp_path_factory.mktemp("secure"), USERS) as running:
        made = _as(running, tmp_path_factory.mktemp("store"))
        asyncio.run(_grant(made(ADMIN), documented()))
        asyncio.run(create_topics(made("sie-topics")))
        yield running


async def _grant(settings: Settings, acls: list[Acl]) -> None:
    async with administrator(settings) as admin:
        await change(admin, grant=acls)


def _as(secure: SecureKafka, store: Path) -> As:
    base: dict[str, Any] = {"broker": secure.broker.address, "store": store.as_uri(), "web": {"port": 0}}
    base |= {"checkpoint": {"interval_s": 0.5}, "topics": {"partitions": 2}, "trainer": {"ahead_s": 1}}
    return lambda user: load(base | {"kafka": secure.login(user)})


@pytest.fixture
def as_user(secure: SecureKafka, tmp_path: Path) -> As:
    """Settings of the deployment under a user's login."""
    return _as(secure, tmp_path / "store")


@pytest.mark.kafka
@pytest.mark.parametrize("role", [access.worker, access.trainer])
def test_each_documented_right_is_needed_and_named_when_it_is_missing(
    as_user: As, role: Callable[[Settings], Needs]
) -> None:
    user = f"sie-{role.__name__}"
    settings = as_user(user)
    rights = [acl for acl in documented() if acl.principal == f"User:{user}"]

    async def act() -> list[list[str]]:
        async with administrator(as_user(ADMIN)) as admin, administrator(settings) as mine:

            async def lacking() -> list[str]:
                return await missing(mine._client, settings, role(settings))

            # a change of rights reaches the broker a moment after the controller has taken it
            await awaited(lacking, "all rights", holds=lambda found: not found)
            told = []
            for acl in rights:
                await change(admin, revoke=[acl])
                told.append(await awaited(lacking, f"word that {acl} is missing"))
                await change(admin, grant=[acl])
                await awaited(lacking, f"{acl} again", holds=lambda found: not found)
            return told

    for acl, told in zip(rights, asyncio.run(act()), strict=True):
        (sentence,) = told
        kind = acl.kind.replace("_", "-")
        assert re.match(
            rf"principal User:{user} lacks .*\b{acl.operation}\b.* on {kind} {re.escape(acl.name)}:", sentence
        )
        assert f"--allow-principal User:{user}" in sentence
        assert f"--operation {acl.operation}" in sentence
        assert sentence.endswith(f"--{kind} {acl.name}")


@pytest.mark.kafka
def test_whoever_may_do_nothing_is_told_everything_at_once(as_user: As, tmp_path: Path) -> None:
    settings = as_user(NOBODY)
    with worker_pool(settings, tmp_path, SIE_WORKER) as start:
        worker = start()
        assert worker.exit_code(120) == 2
        told = set(re.findall(r"lacks [A-Za-z, ]+ on (\w+ \S+): run kafka-acls.sh", worker.text()))
        assert told == {f"topic {name}" for name in access.worker(settings).topics} | {"group sie"}
    with pytest.raises(
        AccessError, match=r"(?s)sie\.events.*sie\.models.*sie\.samples.*transactional-id sie-models-net"
    ):
        asyncio.run(check_topics(settings, access.trainer(settings)))
    with pytest.raises(AccessError, match=r"(?s)Describe and DescribeConfigs on topic sie\.events.*dead-letters"):
        asyncio.run(find_topics(settings))
    with pytest.raises(AccessError, match=r"lacks Read on topic sie\.weights\.v1"):
        asyncio.run(_read(settings, settings.topics.weights))
    with pytest.raises(AccessError, match=r"lacks Write on topic sie\.events"):
        asyncio.run(_write(settings, 0, 1))
    with pytest.raises(AccessError, match="on transactional-id sie-models-net"):
        asyncio.run(_roll_back(settings))


async def _read(settings: Settings, topic: str) -> int:
    async with TopicReader(settings, topic) as reader:
        found = 0
        while records := await reader.read_on(1):
            found += len(records)
        return found


async def _write(settings: Settings, first: int, n: int) -> None:
    rows = [event(i, "view", i, user=f"u{i}") for i in range(first, first + n)]
    async with open_writer(settings) as writer:
        await writer.write([WireRecord(one["user_id"].encode(), json.dumps(one).encode(), None) for one in rows])
        await writer.delivered()


async def _roll_back(settings: Settings) -> None:
    """Announce, as a trainer does, what every shard then adopts late and says so."""
    announcer = Announcer(settings, open_store(settings.store), "the trainer")
    await announcer.start()
    try:
        await announcer.rollback(BUILTIN_MODEL, now=True)
    finally:
        await announcer.stop()


@pytest.mark.kafka
def test_the_documented_rights_suffice_and_one_taken_away_later_ends_the_worker_with_its_name(
    as_user: As, tmp_path: Path
) -> None:
    worker_s, trainer_s, audit_s, reader_s = map(as_user, ("sie-worker", "sie-trainer", "sie-audit", "sie-reader"))
    asyncio.run(_write(as_user("sie-replay"), 0, 500))
    with worker_pool(worker_s, tmp_path, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(180)
        wait_until_read(as_user(ADMIN), worker)
        asyncio.run(check_topics(trainer_s, access.trainer(trainer_s)))
        asyncio.run(event_log.growth(trainer_s))
        asyncio.run(_read(trainer_s, trainer_s.topics.samples))
        asyncio.run(_roll_back(trainer_s))
        asyncio.run(_write(as_user("sie-replay"), 500, 100))
        worker.wait_for("model adopted late")
        wait_until_read(as_user(ADMIN), worker)
        topics = reader_s.topics
        for topic in (topics.weights, topics.samples, topics.entities, topics.dead_letters):
            asyncio.run(_read(reader_s, topic))
        assert asyncio.run(_read(audit_s, topics.events)) == 600
        assert asyncio.run(_announced(audit_s)) == 1
        assert topic_io.read_rows(as_user(ADMIN), topics.weights).num_rows >= 600

        lost = [acl for acl in documented() if (acl.principal, acl.name) == ("User:sie-worker", topics.weights)]
        asyncio.run(_revoke(as_user(ADMIN), lost))
        try:
            asyncio.run(_write(as_user("sie-replay"), 600, 100))
            assert worker.exit_code(60) == 2
        finally:
            asyncio.run(_grant(as_user(ADMIN), lost))
        assert f"principal User:sie-worker lacks Write on topic {topics.weights}" in worker.text()


async def _revoke(settings: Settings, acls: list[Acl]) -> None:
    async with administrator(settings) as admin:
        await change(admin, revoke=acls)


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
