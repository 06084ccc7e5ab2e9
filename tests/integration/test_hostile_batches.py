"""A batch that may hold too much, or cannot be read, costs no reader memory or anything else, on Apache Kafka."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

from sie_online.client.connection import connection
from sie_online.client.reader import Message, TopicReader
from sie_online.ingest.records import REFUSED_BATCH
from sie_online.settings import Settings
from tests.support import topic_io
from tests.support.brokers import Broker

pytestmark = pytest.mark.kafka

CODECS = ("gzip", "snappy", "lz4", "zstd")
LARGE = 600_000
BOMB = 8 << 20


async def _write(settings: Settings, codec: str, *values: bytes) -> None:
    """A batch of its own for each value, compressed as a producer does it."""
    producer = AIOKafkaProducer(**connection(settings), compression_type=codec, max_request_size=1 << 28)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(settings.topics.events, value, partition=0)
    finally:
        await producer.stop()


def test_what_lies_before_and_behind_an_oversize_batch_is_read(
    settings: Callable[..., Settings], kafka: Broker
) -> None:
    made = settings(broker=kafka.address, topics={"partitions": 1}, kafka={"batch_max_bytes": 1 << 20})
    topic_io.make_topics(made)

    async def story() -> list[Message]:
        for codec in CODECS:
            await _write(made, codec, b"before", bytes(BOMB), bytes(LARGE), b"behind")
        found: list[Message] = []
        async with TopicReader(made, made.topics.events) as reader:
            while records := await reader.read_on(0.1):
                found += records
        return found

    found = asyncio.run(story())
    assert [record.offset for record in found] == list(range(4 * len(CODECS)))
    for at in range(0, len(found), 4):
        before, refused, large, behind = found[at : at + 4]
        assert (before.value, large.value, behind.value) == (b"before", bytes(LARGE), b"behind")
        assert refused.value is None
        assert dict(refused.headers) == {REFUSED_BATCH: f"{refused.offset} 1".encode()}


async def _write_unreadable(settings: Settings) -> None:
    """A batch of three records, the second with a header whose name is no UTF-8: the broker takes it."""
    producer = AIOKafkaProducer(**connection(settings))
    await producer.start()
    try:
        builder = producer.create_batch()
        for headers in ([], [("bad-name", b"")], []):
            builder.append(timestamp=1_700_000_000_000, key=None, value=b"value", headers=headers)
        build = builder._build

        def broken() -> bytes:
            batch = bytearray(bytes(build()).replace(b"bad-name", b"\xffad-name"))
            struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
            return bytes(batch)

        builder._build = broken
        await (await producer.send_batch(builder, settings.topics.events, partition=0))
        await producer.send_and_wait(settings.topics.events, b"behind", partition=0)
    finally:
        await producer.stop()


def test_a_batch_that_cannot_be_read_to_its_end_is_passed(settings: Callable[..., Settings], kafka: Broker) -> None:
    made = settings(broker=kafka.address, topics={"partitions": 1})
    topic_io.make_topics(made)

    async def story() -> list[Message]:
        await _write_unreadable(made)
        found: list[Message] = []
        async with TopicReader(made, made.topics.events) as reader:
            while records := await reader.read_on(0.1):
                found += records
        return found

    first, refused, behind = asyncio.run(story())
    assert (first.offset, first.value) == (0, b"value")
    assert (refused.offset, refused.value, dict(refused.headers)) == (2, None, {REFUSED_BATCH: b"1 2 1"})
    assert (behind.offset, behind.value) == (3, b"behind")
