"""Topics on brokers: made once, repeated without harm, grown with the input, refused where their shape is wrong."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic

from sie_online.errors import TopicError
from sie_online.settings import Settings
from streams import access
from streams.topics import Findings, check_topics, create_topics, find_topics
from tests.support.brokers import Broker
from tests.support.environment import as_environment
from tests.support.waiting import awaited

SettingsFactory = Callable[..., Settings]


@pytest.fixture(
    params=[pytest.param("broker", marks=pytest.mark.embedded), pytest.param("kafka", marks=pytest.mark.kafka)]
)
def at(request: pytest.FixtureRequest, settings: SettingsFactory) -> SettingsFactory:
    """Factory of settings for topics of this test's own, on the embedded broker and on Apache Kafka."""
    running: Broker = request.getfixturevalue(request.param)
    return lambda **overrides: settings(broker=running.address, **overrides)


async def _admin(settings: Settings, do: Callable[[AIOKafkaAdminClient], Any]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    try:
        await do(admin)
    finally:
        await admin.close()


def _changes(findings: Findings) -> set[str]:
    return {state.change for state in findings.topics.values()}


def test_topics_are_made_as_they_must_be(at: SettingsFactory) -> None:
    settings = at(topics={"partitions": 3})
    created = asyncio.run(create_topics(settings))
    assert (created.problems, created.notes, _changes(created)) == ([], [], {"created"})
    checked = asyncio.run(check_topics(settings, access.worker(settings)))
    assert checked[settings.topics.weights].partitions == 3
    assert checked[settings.topics.weights].retention_ms == 8 * 86_400_000
    assert checked[settings.topics.models].cleanup == "compact"


def test_creating_twice_changes_nothing_and_says_so(at: SettingsFactory) -> None:
    settings = at()
    first = asyncio.run(create_topics(settings))
    again = asyncio.run(create_topics(settings))
    assert _changes(again) == {""}
    assert [state.partitions for state in first.topics.values()] == [s.partitions for s in again.topics.values()]


def test_checking_creates_no_topic(at: SettingsFactory) -> None:
    settings = at()
    for _ in range(2):
        with pytest.raises(TopicError, match=r"do not exist: run SIE_BROKER=.* sie topics create"):
            asyncio.run(check_topics(settings, access.worker(settings)))


def test_outputs_grow_with_the_input(at: SettingsFactory) -> None:
    settings = at(topics={"partitions": 2})
    asyncio.run(create_topics(settings))

    async def grow(admin: AIOKafkaAdminClient) -> None:
        await admin.create_partitions({settings.topics.events: NewPartitions(5)})

    asyncio.run(_admin(settings, grow))
    asyncio.run(_until_input_has(settings, 5))
    with pytest.raises(TopicError, match="needs as many"):
        asyncio.run(check_topics(settings, access.worker(settings)))
    findings = asyncio.run(create_topics(settings))
    assert {state.name for state in findings.topics.values() if state.change == "grown"} == {
        settings.topics.weights,
        settings.topics.samples,
    }
    assert asyncio.run(check_topics(settings, access.worker(settings)))[settings.topics.samples].partitions == 5


async def _until_input_has(settings: Settings, n: int) -> None:
    """Brokers tell of a change a moment after they made it."""

    async def partitions() -> int:
        found = (await find_topics(settings)).topics
        return found[settings.topics.events].partitions if settings.topics.events in found else 0

    await awaited(partitions, f"input of {n} partitions", 10, holds=lambda found: found == n)


def test_missing_outputs_get_the_partitions_of_an_input_that_was_there_first(at: SettingsFactory) -> None:
    settings = at(topics={"partitions": 2})

    async def theirs(admin: AIOKafkaAdminClient) -> None:
        await admin.create_topics([NewTopic(settings.topics.events, 7, 1)])

    asyncio.run(_admin(settings, theirs))
    asyncio.run(_until_input_has(settings, 7))
    findings = asyncio.run(create_topics(settings))
    assert findings.topics[settings.topics.events].change == ""
    assert findings.topics[settings.topics.weights].partitions == 7


def test_a_topic_of_another_shape_is_refused_with_the_command_that_mends_it(at: SettingsFactory) -> None:
    settings = at()

    async def theirs(admin: AIOKafkaAdminClient) -> None:
        config = {"cleanup.policy": "delete", "max.message.bytes": "200000"}
        await admin.create_topics([NewTopic(settings.topics.entities, 4, 1, topic_configs=config)])

    asyncio.run(_admin(settings, theirs))
    findings = asyncio.run(create_topics(settings))
    assert len(findings.problems) == 2
    with pytest.raises(
        TopicError, match=f"--entity-name {settings.topics.entities} --add-config cleanup.policy=compact"
    ):
        asyncio.run(check_topics(settings, access.worker(settings)))


def test_a_broker_that_refuses_is_quoted(at: SettingsFactory) -> None:
    with pytest.raises(TopicError, match=r"the broker refuses: .*replicat"):
        asyncio.run(create_topics(at(topics={"replication": 3})))


def _sie(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from streams.cli import main; main()", "topics", *arguments]
    return subprocess.run(command, env=as_environment(settings), capture_output=True, text=True, timeout=60)


@pytest.mark.embedded
def test_the_command_creates_checks_and_speaks_json(broker: Broker, settings: SettingsFactory) -> None:
    ours = settings(broker=broker.address)
    before = _sie(ours, "check", "--json")
    assert before.returncode == 2
    assert json.loads(before.stdout)["ok"] is False
    assert f"SIE_BROKER={broker.address} sie topics create" in before.stderr
    created = _sie(ours, "create", "--partitions", "2", "--json")
    assert created.returncode == 0, created.stderr
    document = json.loads(created.stdout)
    assert document["ok"] is True
    assert {topic["change"] for topic in document["topics"]} == {"created"}
    shown = _sie(ours, "check")
    assert shown.returncode == 0
    assert ours.topics.weights in shown.stdout
    again = _sie(ours, "create", "--partitions", "3")
    assert again.returncode == 2  # a script that goes on would count on three
    assert f"{ours.topics.events} has 2 partitions, not 3" in again.stderr
    refused = _sie(ours, "create", "--partitions", "3", "--json")
    assert (refused.returncode, json.loads(refused.stdout)["ok"]) == (2, False)
    noted = _sie(settings(broker=broker.address, topics={"partitions": 3}), "create")
    assert (noted.returncode, f"Note: topic {ours.topics.events} has 2 partitions, not 3" in noted.stderr) == (0, True)


def test_the_command_says_that_nobody_is_there(settings: SettingsFactory) -> None:
    done = _sie(settings(broker="127.0.0.1:1"), "check")
    assert done.returncode == 3
    assert "127.0.0.1:1 cannot be reached" in done.stderr
