"""What Kafka itself says about the demo: the group's lag, and the dead letters."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from sie_online.client.connection import connection
from sie_online.client.consumer import PatientConsumer
from sie_online.settings import Settings

POLL_MS = 50


class BrokerSide:
    """Positions and dead letters. Use ``open_log``."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        topics = settings.topics
        self._group = settings.group
        self._input = [TopicPartition(topics.events, number) for number in range(topics.partitions)]
        self._consumer = consumer
        self._admin = admin
        self._letters: set[tuple[bytes, bytes]] = set()

    async def lag(self) -> int | None:
        """Records of the input that the group has not committed; None while it has committed nothing."""
        try:
            committed = await self._admin.list_consumer_group_offsets(self._group)
            ends: dict[TopicPartition, int] = await self._consumer.end_offsets(self._input)
        except KafkaError:
            return None  # the coordinator of a fresh broker, a moment's hiccup: asked again soon
        if not committed:
            return None
        return sum(end - max(0, committed[place].offset if place in committed else 0) for place, end in ends.items())

    async def dead_letters(self) -> int:
        """Distinct source records in the dead-letter topic so far."""
        for letters in (await self._consumer.getmany(timeout_ms=POLL_MS)).values():
            for letter in letters:
                headers = dict(letter.headers)
                self._letters.add((headers["sie-source-partition"], headers["sie-source-offset"]))
        return len(self._letters)


@asynccontextmanager
async def open_log(settings: Settings) -> AsyncIterator[BrokerSide]:
    """Connect; the topics must exist."""
    consumer = PatientConsumer(settings, settings.topics.dead_letters, auto_offset_reset="earliest")
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await consumer.start()
        await admin.start()
        yield BrokerSide(settings, consumer, admin)
    finally:
        await consumer.stop()
        await admin.close()
