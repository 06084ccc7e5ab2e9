"""Writing events to the input topic fast: whole batches per partition, placed as Kafka's default partitioner would.

Kafka timestamps are those of writing: retention would delete an old log at once if they were the events'.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, KafkaError, MessageSizeTooLargeError

from sie_online import content
from sie_online.client.access import Needs, failure, require
from sie_online.client.connection import connection
from sie_online.errors import TopicError, UnreachableError, UsageError
from sie_online.ingest.partitioner import Placer
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from streams.brokers import broker_admin
from streams.topics import create_line

BATCH_BYTES = 256 * 1024  # large enough to amortise a request, far below every broker's message limit
MAX_REQUEST_BYTES = 16 << 20
UNACKED_PER_PARTITION = 4
HEADERS = list(content.EVENTS.headers)
"""Of every record."""


@dataclass
class _Batch:
    """Records of one partition; ``first`` is the number of the first one among all that were written."""

    builder: Any
    first: int
    delivery: asyncio.Future[Any] | None = None

    is_acknowledged: bool = False

    def sent(self, delivery: asyncio.Future[Any]) -> None:
        """Whoever waits for ``delivery`` or not, note how it ends."""
        self.delivery = delivery
        delivery.add_done_callback(self._note)

    def _note(self, delivery: asyncio.Future[Any]) -> None:
        self.is_acknowledged = not delivery.cancelled() and delivery.exception() is None


class EventWriter:
    """Appends records to ``sie.events`` in order, within each partition. Use ``open_writer``.

    Whatever cancels one of its calls loses nothing: ``delivered`` goes on where it was.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str, partitions: int) -> None:
        self.partitions = partitions
        self._producer = producer
        self._topic = topic
        self._place = Placer(partitions)
        self._open: dict[int, _Batch] = {}
        self._unacked: deque[_Batch] = deque()
        self._written = 0

    async def write(self, records: Sequence[WireRecord]) -> None:
        """Append ``records``; full batches leave at once, others with ``flush``."""
        now_ms = int(time.time() * 1_000)
        for record in records:
            partition = self._partition(record)
            batch = self._open.get(partition) or self._begin(partition)
            if not self._append(batch, record, now_ms):
                await self._send(partition)
                self._append(self._begin(partition), record, now_ms)
            self._written += 1

    async def flush(self) -> None:
        """Hand every started batch to the sender."""
        for partition in list(self._open):
            await self._send(partition)

    async def delivered(self) -> None:
        """Flush and wait until the broker has acknowledged everything.

        Raises:
            UnreachableError: the broker did not, in time.
            UsageError: a record is larger than the broker admits.
        """
        await self.flush()
        while self._unacked:
            await self._acknowledge_oldest()

    def acknowledged(self) -> tuple[int, int]:
        """How many records the broker has acknowledged so far, and how many of them come before all others."""
        waiting = [batch for batch in (*self._open.values(), *self._unacked) if not batch.is_acknowledged]
        count = self._written - sum(batch.builder.record_count() for batch in waiting)
        return count, min((batch.first for batch in waiting), default=self._written)

    def _partition(self, record: WireRecord) -> int:
        if record.partition is not None:
            return record.partition % self.partitions
        return 0 if record.key is None else self._place(record.key)

    @staticmethod
    def _append(batch: _Batch, record: WireRecord, now_ms: int) -> bool:
        """Whether there was room."""
        added = batch.builder.append(timestamp=now_ms, key=record.key, value=record.value, headers=HEADERS)
        return added is not None

    def _begin(self, partition: int) -> _Batch:
        batch = self._open[partition] = _Batch(self._producer.create_batch(), self._written)
        return batch

    async def _send(self, partition: int) -> None:
        batch = self._open[partition]
        batch.builder.close()
        while len(self._unacked) >= UNACKED_PER_PARTITION * self.partitions:
            await self._acknowledge_oldest()
        sending = self._producer.send_batch(batch.builder, self._topic, partition=partition)
        batch.sent(await self._acknowledged(sending))
        self._unacked.append(self._open.pop(partition))

    async def _acknowledge_oldest(self) -> None:
        delivery = self._unacked[0].delivery
        if delivery is not None:
            await asyncio.wait([delivery])  # which, cancelled, does not cancel the delivery
            await self._acknowledged(delivery)
        self._unacked.popleft()

    async def _acknowledged(self, delivery: Any) -> Any:
        try:
            return await delivery
        except MessageSizeTooLargeError:
            raise UsageError(
                f"a record is larger than topic {self._topic} admits: raise its max.message.bytes"
            ) from None
        except KafkaError as error:
            raise failure(error, f"writing to {self._topic} failed: {error!r}") from None


@asynccontextmanager
async def open_writer(settings: Settings) -> AsyncIterator[EventWriter]:
    """A writer to ``settings.topics.events``; what it has not delivered when the block ends is lost.

    Raises:
        UnreachableError: no broker answers.
        TopicError: the topic does not exist.
        AccessError: it may not be written to.
    """
    topic = settings.topics.events
    async with broker_admin(settings) as admin:
        await require(admin._client, settings, Needs({topic: ("Write",)}))
        if topic not in await admin.list_topics():  # asking for this one's metadata alone might create it
            raise TopicError(f"{topic} does not exist: run {create_line(settings)}")
    compression = settings.kafka.compression
    producer = AIOKafkaProducer(
        **connection(settings),
        acks="all",
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
        compression_type=None if compression == "none" else compression,
        request_timeout_ms=round(settings.kafka.request_timeout_s * 1_000),
    )
    try:
        await producer.start()
        yield EventWriter(producer, topic, len(await producer.partitions_for(topic)))
    except KafkaConnectionError as error:
        raise UnreachableError(f"no broker answers on {settings.broker}: {error}") from None
    finally:
        await producer.stop()
