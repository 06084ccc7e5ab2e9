"""On Apache Kafka: every message says what it is, and Java reads what a worker published, whatever the layout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from sie_online import content
from sie_online.client.subscriber import WeightSubscriber
from sie_online.client.unreadable import Unreadable
from sie_online.content import Content
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from sie_online.shard import Shard, ShardOutput
from streams.checkpoint.outputs import highest_generation
from streams.cli.views import SamplesView, WeightsView
from streams.sinks.topic import Deliveries
from streams.tools.writer import open_writer
from streams.worker.publisher import Publisher
from tests.support import java_reader, topic_io
from tests.support.brokers import Broker
from tests.support.events import batch, event, random_events, records

N = 300
pytestmark = [pytest.mark.kafka, pytest.mark.timeout(500)]


@pytest.fixture
def made(settings: Callable[..., Settings], kafka: Broker) -> Settings:
    """Settings whose topics exist."""
    made = settings(broker=kafka.address, topics={"partitions": 1}, labels={"window_s": 3600.0})
    topic_io.make_topics(made)
    return made


def said(settings: Settings, generation: int) -> list[ShardOutput]:
    """What the shard of a log with one record that is no event has to say."""
    rows = records([*random_events(N, seed=5), event(N, "nap")])
    return list(Shard(settings, 0, generation=generation).process(batch(rows)))


async def write(settings: Settings, rows: Sequence[WireRecord]) -> None:
    """As ``sie replay``, ``heartbeat`` and ``erase`` do."""
    async with open_writer(settings) as writer:
        await writer.write(rows)
        await writer.delivered()


async def publish(settings: Settings, outputs: Sequence[ShardOutput]) -> None:
    """Through the worker's own publisher."""
    publisher, deliveries = Publisher(settings), Deliveries()
    await publisher.on_start()
    try:
        for output in outputs:
            await publisher.publish(0, output, deliveries)
        await publisher.publish_adopted(b"net/adopted/0/1", b"{}", deliveries)
        await publisher.flush(0, deliveries.open())
    finally:
        await publisher.on_stop()


def kinds(settings: Settings, topic: str) -> set[Content]:
    """What the messages of ``topic`` say they are."""
    found = set()
    for record in topic_io.read(settings, topic):
        headers = {name: value.decode() for name, value in record.headers}
        found.add(Content(headers[content.CONTENT_TYPE], headers[content.SCHEMA]))
    return found


async def newest(settings: Settings) -> dict[tuple[int, int], dict[str, Any]]:
    """The newest row of each event, as subscribers in Python have it."""
    found: dict[tuple[int, int], dict[str, Any]] = {}
    async with WeightSubscriber(settings, idle_s=1.0, strict=True) as subscriber:
        async for rows in subscriber.batches():
            found |= {(row["partition"], row["offset"]): row for row in rows.to_pylist()}
    return found


def test_every_message_says_what_it_is_and_java_reads_all_layouts_of_one_topic(made: Settings) -> None:
    java_reader.build()
    topics = made.topics
    asyncio.run(write(made, [WireRecord(b"u", b"{}"), WireRecord(None, b"{}", 0)]))
    outputs: dict[str, dict[str, Any]] = {"2": {}, "1": {"version": 1}, "json": {"format": "json"}}
    for generation, output in enumerate(outputs.values(), 1):
        changed = made.model_copy(update={"output": made.output.model_copy(update=output)})
        asyncio.run(publish(changed, said(changed, generation)))

    assert kinds(made, topics.events) == {content.EVENTS}
    assert kinds(made, topics.weights) == {content.of_rows("weights", layout) for layout in content.LAYOUTS}
    assert kinds(made, topics.samples) == {content.of_rows("samples", layout) for layout in content.LAYOUTS}
    assert kinds(made, topics.entities) == {content.ENTITIES}
    assert kinds(made, topics.dead_letters) == {content.DEAD_LETTERS}
    assert kinds(made, topics.models) == {content.MODELS["adopted"]}

    assert asyncio.run(highest_generation(made, 0)) == len(outputs)
    for topic, view in ((topics.weights, WeightsView(made)), (topics.samples, SamplesView(made))):
        batches = list(view.read(topic_io.read(made, topic), Unreadable(strict=True)))
        table = view.merge(batches)
        assert len(table) * len(outputs) == sum(map(len, batches)) > 0
        assert set(table["generation"].to_pylist()) == {len(outputs)}
        assert table.schema.metadata == batches[0].schema.metadata == batches[-1].schema.metadata

    printed = java_reader.rows("kafka", made.broker, topics.weights, "3")
    read = {(row["partition"], row["offset"]): row for row in printed}
    expected = asyncio.run(newest(made))
    assert len(expected) > N // 2
    assert {key: row | {"generation": 0} for key, row in read.items()} == {
        key: row | {"generation": 0} for key, row in expected.items()
    }
    assert {row["generation"] for row in read.values()} == {len(outputs)}, "the highest generation counts"
