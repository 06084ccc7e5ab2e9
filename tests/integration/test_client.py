"""The client on brokers: publish, subscribe, save the position, resume."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from sie_online import EntityName, EntityReader, RecommendationReader, WeightSubscriber, statements
from sie_online.client.reader import TopicReader
from sie_online.errors import DecisionError, MessageError, TopicError, UnreachableError
from sie_online.settings import Settings
from tests.support.brokers import Broker, free_ports
from tests.support.rows import weight_message, weight_row
from tests.support.topic_io import administrate, publish

SettingsFactory = Callable[..., Settings]

WAIT_S = 30


@pytest.fixture(
    params=[pytest.param("broker", marks=pytest.mark.embedded), pytest.param("kafka", marks=pytest.mark.kafka)]
)
def online(request: pytest.FixtureRequest, settings: SettingsFactory) -> Settings:
    """Settings of a broker with this test's own topics of two partitions: embedded, and real Apache Kafka."""
    running: Broker = request.getfixturevalue(request.param)
    made = settings(broker=running.address)
    topics = made.topics
    names = [topics.weights, topics.samples, topics.entities, topics.recs, topics.dead_letters]
    asyncio.run(administrate(made, lambda admin: admin.create_topics([NewTopic(name, 2, 1) for name in names])))
    return made


def offsets(rows: list[Any]) -> list[tuple[int, int]]:
    return sorted((row.offset, row.revision) for row in rows)


async def read(settings: Settings, **options: Any) -> tuple[list[Any], dict[str, Any]]:
    async with WeightSubscriber(settings, idle_s=0.5, **options) as weights:
        return [row async for row in weights], weights.position()


def test_a_saved_position_resumes_where_it_was_left(online: Settings) -> None:
    async def story() -> None:
        topic = online.topics.weights
        await publish(online, topic, weight_message(weight_row(0), weight_row(1)), weight_message(weight_row(0, 1)))
        await publish(online, topic, weight_message(weight_row(7, partition=1)), partition=1)
        rows, saved = await read(online)
        assert offsets(rows) == [(0, 0), (0, 1), (1, 0), (7, 0)]
        assert saved == {"topic": topic, "positions": {"0": 2, "1": 1}}

        await publish(online, topic, weight_message(weight_row(2)))
        rows, _ = await read(online, start=json.loads(json.dumps(saved)))
        assert offsets(rows) == [(2, 0)]

    asyncio.run(story())


def test_a_position_saved_within_a_message_brings_the_message_again(online: Settings) -> None:
    async def story() -> None:
        await publish(
            online, online.topics.weights, *(weight_message(weight_row(n), weight_row(n + 1)) for n in (0, 2))
        )
        async with WeightSubscriber(online, idle_s=0.5) as weights:
            handled = [(await anext(weights)).offset for _ in range(3)]
            saved = weights.position()
        rows, _ = await read(online, start=saved)
        assert handled == [0, 1, 2]
        assert [row.offset for row in rows] == [2, 3]

    asyncio.run(story())


def test_latest_brings_only_what_comes_later(online: Settings) -> None:
    async def story() -> None:
        await publish(online, online.topics.weights, weight_message(weight_row(0)))
        async with WeightSubscriber(online, start="latest", idle_s=0.5) as weights:
            await publish(online, online.topics.weights, weight_message(weight_row(1)))
            assert [row.offset async for row in weights] == [1]

    asyncio.run(story())


def test_a_partition_added_while_subscribed_is_read_from_its_start(online: Settings) -> None:
    hasty = online.model_copy(update={"kafka": online.kafka.model_copy(update={"metadata_max_age_s": 0.2})})
    topic = online.topics.weights

    async def story() -> None:
        async with WeightSubscriber(hasty, start="latest") as weights:
            await administrate(online, lambda admin: admin.create_partitions({topic: NewPartitions(3)}))
            await publish(online, topic, weight_message(weight_row(0, partition=2)), partition=2)
            row = await asyncio.wait_for(anext(weights), WAIT_S)
            assert row.partition == 2
            assert weights.position()["positions"] == {"0": 0, "1": 0, "2": 1}

    asyncio.run(story())


def test_a_foreign_message_is_named_by_its_place(online: Settings) -> None:
    async def story() -> None:
        await publish(online, online.topics.weights, weight_message(weight_row(0)), b"hello")
        with pytest.raises(MessageError, match=f"{online.topics.weights}, partition 0, offset 1"):
            await read(online, strict=True)
        rows, saved = await read(online)
        assert (len(rows), saved["positions"]["0"]) == (1, 2)

    asyncio.run(story())


def test_a_position_beyond_the_log_is_refused(online: Settings) -> None:
    with pytest.raises(DecisionError, match="holds offsets 0 to 0, the saved position is 5"):
        asyncio.run(read(online, start={"topic": online.topics.weights, "positions": {"0": 5}}))


@pytest.mark.kafka
def test_a_position_that_retention_has_passed_is_refused(kafka: Broker, settings: SettingsFactory) -> None:
    online = settings(broker=kafka.address)
    topic = online.topics.weights

    async def story() -> None:
        await administrate(online, lambda admin: admin.create_topics([NewTopic(topic, 1, 1)]))
        await publish(online, topic, *(weight_message(weight_row(n)) for n in range(3)))
        cut = {TopicPartition(topic, 0): RecordsToDelete(before_offset=2)}
        await administrate(online, lambda admin: admin.delete_records(cut))
        with pytest.raises(DecisionError, match="holds offsets 2 to 3, the saved position is 0"):
            await read(online, start={"topic": topic, "positions": {"0": 0}})
        rows, _ = await read(online)
        assert offsets(rows) == [(2, 0)]

    asyncio.run(story())


def test_a_missing_topic_is_named_and_not_created(online: Settings) -> None:
    async def story() -> None:
        for _ in range(2):
            with pytest.raises(TopicError, match=r"nowhere.*sie topics create"):
                await read(online, topic="nowhere")

    asyncio.run(story())


def test_no_broker_is_said_so(settings: SettingsFactory) -> None:
    address = f"127.0.0.1:{free_ports()[0]}"
    with pytest.raises(UnreachableError, match=address):
        asyncio.run(read(settings(broker=address)))


def test_entities_sum_over_shards_and_follow_the_log(online: Settings) -> None:
    def stated(partition: int, n_events: int) -> tuple[bytes, bytes]:
        state = statements.EntityState(n_events, 2.0 * n_events, 0.0, 1.0, partition, 0, "builtin")
        return statements.encode("item", b"42", partition, state)

    async def story() -> None:
        async with EntityReader(online) as entities:
            for partition, n_events in ((0, 1), (1, 5), (0, 3)):
                key, value = stated(partition, n_events)
                await publish(online, online.topics.entities, value, key=key, partition=partition)
            assert await entities.refresh() == 3
            assert entities.table[EntityName("item", "42")].n_events == 8
            await publish(online, online.topics.entities, None, key=stated(1, 0)[0], partition=1)
            assert await entities.refresh() == 1
            assert entities.table[EntityName("item", "42")].n_events == 3

    asyncio.run(story())


def test_recommendations_follow_the_log(online: Settings) -> None:
    def made(offset: int, *items: str) -> tuple[bytes, bytes]:
        return statements.encode_recommendations(
            statements.Recommendations("ann", list(items), 1_000 * offset, partition=1, offset=offset, generation=1)
        )

    async def story() -> None:
        topic = online.topics.recs
        async with RecommendationReader(online) as recommendations:
            for key, value in (made(1, "a", "b"), made(2, "c"), (b"user:ann", b"no list")):
                await publish(online, topic, value, key=key, partition=1)
            assert await recommendations.refresh() == 2
            assert recommendations.unreadable == 1
            assert recommendations.table.get("ann") == ("c",)
            await publish(online, topic, None, key=b"user:ann", partition=1)
            assert await recommendations.refresh() == 1
            assert recommendations.table.get("ann") == ()
        async with RecommendationReader(online, strict=True) as recommendations:
            with pytest.raises(MessageError, match="no list of recommendations"):
                await recommendations.refresh()

    asyncio.run(story())


def test_reading_on_from_a_moment_skips_what_was_written_before(online: Settings) -> None:
    async def story() -> None:
        topic, now_ms = online.topics.weights, int(time.time() * 1000)  # older records would be deleted at once
        await publish(online, topic, weight_message(weight_row(0)), timestamp_ms=now_ms - 100_000)
        await publish(online, topic, weight_message(weight_row(1)), timestamp_ms=now_ms)
        async with TopicReader(online, topic) as reader:
            await reader.seek_to_time(now_ms - 50_000)
            assert [record.offset for record in await reader.read_on(0.5)] == [1]
            await reader.seek_to_time(now_ms + 50_000)
            assert await reader.read_on(0.5) == []
            await reader.seek_to(0)
            assert [record.offset for record in await reader.read_on(0.5)] == [0, 1]

    asyncio.run(story())
