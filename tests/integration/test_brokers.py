"""What the tests' own brokers promise to the tests that use them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.support.brokers import Broker, apache_kafka, embedded_broker

LARGE = 11_000_000


async def create(address: str, topic: str, **config: str) -> int:
    """Create ``topic`` with one partition; the broker's error code."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        made = await admin.create_topics([NewTopic(topic, 1, 1, topic_configs=config)])
    finally:
        await admin.close()
    return int(made.topic_errors[0][1])


async def write(address: str, topic: str, values: list[bytes]) -> None:
    """Write ``values`` and wait until every one is acknowledged by all replicas."""
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", max_request_size=LARGE + 10_000)
    await producer.start()
    try:
        sent = [await producer.send(topic, value) for value in values]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def read(address: str, topic: str, count: int) -> list[bytes]:
    """The first ``count`` values."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=address, auto_offset_reset="earliest", max_partition_fetch_bytes=LARGE + 10_000
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]
    finally:
        await consumer.stop()


def test_embedded_broker_keeps_records_over_a_restart(tmp_path: Path) -> None:
    values = [b"%d" % number for number in range(1_000)]
    with embedded_broker(tmp_path) as broker:
        asyncio.run(create(broker.address, "kept"))
        asyncio.run(write(broker.address, "kept", values))
        address = broker.address
        broker.restart()
        assert broker.address == address
        assert asyncio.run(read(address, "kept", len(values))) == values


@pytest.mark.kafka
@pytest.mark.slow
def test_apache_kafka_loses_nothing_acknowledged_on_kill(tmp_path: Path) -> None:
    values = [b"%d" % number for number in range(10_000)]
    with apache_kafka(tmp_path) as broker:
        asyncio.run(create(broker.address, "kept"))
        asyncio.run(write(broker.address, "kept", values))
        address = broker.address
        broker.kill()
        assert broker.pid is None
        broker.start()
        assert broker.address == address
        assert asyncio.run(read(address, "kept", len(values))) == values


def test_apache_kafka_takes_large_records_where_the_topic_allows_them(kafka: Broker) -> None:
    asyncio.run(create(kafka.address, "large-records", **{"max.message.bytes": str(LARGE + 10_000)}))
    asyncio.run(write(kafka.address, "large-records", [b"x" * LARGE]))
    assert [len(value) for value in asyncio.run(read(kafka.address, "large-records", 1))] == [LARGE]


def test_a_taken_port_is_refused(tmp_path: Path, broker: Broker) -> None:
    port = int(broker.address.rpartition(":")[2])
    with pytest.raises(RuntimeError, match="is taken"), embedded_broker(tmp_path, port=port):
        pass


def test_a_broker_that_ends_at_once_shows_its_log(tmp_path: Path) -> None:
    (tmp_path / "noida").write_text("a file where the data directory should be")
    with pytest.raises(RuntimeError, match=r"ended; the end of .*broker\.log:\n.+"), embedded_broker(tmp_path):
        pass
