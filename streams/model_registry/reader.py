"""Follows ``sie.models.v1``: everything that is and was announced of models. Commits and decides nothing.

Only committed records are read: an announcement whose writer died half-way was never made.
"""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from sie_online.announcements import NET, RegisteredModel
from sie_online.client.access import Needs, failure, require
from sie_online.client.consumer import PatientConsumer
from sie_online.client.rows import place
from sie_online.client.unreadable import Unreadable
from sie_online.errors import MessageError, TopicError
from sie_online.ipc import in_short
from sie_online.settings import Settings
from streams.model_registry.registry import empty_registry, take_in

POLL_S = 0.2

LEASE_KEY = f"{NET}/trainer/lease".encode()
"""The record that names the trainer at work; nothing is announced in it."""


class RegistryReader:
    """The model registry as the topic tells it. No consumer group, no offsets kept. ``needs``: what must be allowed.

    Attributes:
        lines: everything read so far, by model.
        unreadable: counts the records that could not be read; they change nothing.
        lease: name of the trainer at work; None where none ever was.
    """

    def __init__(self, settings: Settings, needs: Needs | None = None, *, strict: bool = False) -> None:
        self.registry = empty_registry()
        self.unreadable = Unreadable(strict=strict)
        self.lease: str | None = None
        self._settings = settings
        self._needs = needs or Needs({settings.topics.models: ("Read",)})
        self._at = TopicPartition(settings.topics.models, 0)
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def registered_net(self) -> RegisteredModel:
        """The net's."""
        return self.registry[NET]

    async def start(self) -> None:
        """Connect; nothing is read yet.

        Raises:
            UnreachableError: no broker answers. TopicError: there is no such topic. AccessError: a right is missing.
        """
        self._consumer = consumer = PatientConsumer(
            self._settings,
            client_id="sie-model-line",
            auto_offset_reset="earliest",  # compaction removes records; what is left is all there is to know
            isolation_level="read_committed",  # whatever is read of others: our own announcements are transactions
        )
        try:
            await consumer.start()
            await require(consumer._client, self._settings, self._needs)
            await self._require_topic(consumer)
            consumer.assign([self._at])
            await consumer.seek_to_beginning(self._at)
        except KafkaError as error:
            await self.stop()
            raise failure(error, f"broker {self._settings.broker} does not answer: {error!r}") from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect; a second call does nothing."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def catch_up(self, *, pending: bool = False) -> None:
        """Read to the topic's present end: of what is committed, or with ``pending`` of all that was written.

        A transaction that has just been committed can be read only once the brokers have marked it.

        Raises:
            UnreachableError: that took longer than ``kafka.request_timeout_s``.
        """
        limit_s = self._settings.kafka.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                ends = self._connected.high_watermarks if pending else self._connected.end_offsets
                end = (await ends([self._at]))[self._at]
                while await self._connected.position(self._at) < end:  # a transaction's end has an offset, no record
                    await self.poll(POLL_S)
        except (KafkaError, TimeoutError) as error:
            raise failure(error, f"{self._at.topic} could not be read within {limit_s:g} s: {error!r}") from error

    async def poll(self, timeout_s: float) -> bool:
        """Take in what was announced, waiting ``timeout_s`` at most for it; whether anything was.

        Raises:
            UnreachableError: the broker refuses. MessageError: where it is strict, a record cannot be read.
        """
        try:
            fetched = await self._connected.getmany(self._at, timeout_ms=round(timeout_s * 1000))
        except KafkaError as error:
            raise failure(error, f"{self._at.topic} cannot be read: {error!r}") from error
        records = fetched.get(self._at, [])
        for _ in self.unreadable.readable(records, self._apply):
            pass
        return bool(records)

    def _apply(self, record: ConsumerRecord) -> None:
        try:
            if record.key == LEASE_KEY:
                self.lease = record.value.decode() if record.value else None
            else:
                take_in(self.registry, record.key, record.value)
        except ValueError as error:  # msgspec's and Unicode's are such
            raise MessageError(f"{place(record)}: no record of a model: {in_short(error)}") from None

    async def _require_topic(self, consumer: AIOKafkaConsumer) -> None:
        if self._at.topic not in await consumer.topics():  # asks for all: naming it could create it
            raise TopicError(f"topic {self._at.topic} does not exist: run 'sie topics create'")

    @property
    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("the model registry's reader is not started")
        return self._consumer
