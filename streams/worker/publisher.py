"""What a shard says, on its way to Kafka and the other sinks: framing, sending, and knowing when it has arrived.

Rows go to the input's partition number, in order. A checkpoint waits for the deliveries of everything before it; until
then an output is only in memory, bounded in bytes, and the replay after a crash says it again.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import mode
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from sie_online import content, ndjson_text
from sie_online.client.access import REFUSALS, refusal
from sie_online.client.backoff import back_off
from sie_online.client.connection import connection
from sie_online.content import Header
from sie_online.contracts import DEAD_LETTER_VALUE_BYTES, FINGERPRINT_HEADER, GROUP_HEADER
from sie_online.errors import UnreachableError
from sie_online.ingest.events import DeadLetter
from sie_online.ingest.keyed import fill_batches
from sie_online.settings import Settings
from sie_online.shard import Gathered, ShardOutput, Statements
from sie_online.unpacking import FramedRows
from streams.exits import code_of, die
from streams.sinks import SAMPLES, WEIGHTS, Rows, Sink, TopicSink, new_sink
from streams.sinks.topic import Deliveries, confirmed, messages
from streams.worker.filled_batch import FilledBatch

log = logging.getLogger(__name__)

LINGER_MS = 0  # a turn's messages leave together as it is
MESSAGE_BYTES = 128  # what a record costs beside key, value and headers
DEAD_LETTER_KEY_BYTES = 65_536  # a key that is itself the fault (an id of 100 kB) must not break the dead letter

FRAMES = {"1": messages, "json": ndjson_text.messages}
"""What makes messages of rows, by their layout; those of layout 2 are the shard's."""


class Publisher(mode.Service):
    """Sends what shards say. Starts before and stops after everything that could have something to say."""

    mundane_level = "debug"

    def __init__(self, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        origin = {GROUP_HEADER: settings.group, FINGERPRINT_HEADER: settings.fingerprint()}
        self._origin = [(name, text.encode()) for name, text in origin.items()]
        self._layout = settings.output.layout
        self._sinks = [new_sink(entry) for entry in settings.sinks]  # beside Kafka
        self._producer: AIOKafkaProducer | None = None
        self._unacked = 0
        self._confirmed_at = 0.0
        self._room = asyncio.Event()

    async def on_start(self) -> None:
        """Connect.

        Raises:
            UnreachableError: no broker answers, or a sink does not.
        """
        for sink in self._sinks:
            await sink.start()
        kafka = self._settings.kafka
        producer = AIOKafkaProducer(
            **connection(self._settings),
            client_id=f"sie-worker-{self._settings.group}",
            acks="all",
            # a retry must neither double nor reorder a shard's rows
            enable_idempotence=True,
            compression_type=None if kafka.compression == "none" else kafka.compression,
            linger_ms=LINGER_MS,
            max_batch_size=kafka.max_message_bytes,
            max_request_size=kafka.max_request_bytes,
            request_timeout_ms=int(kafka.request_timeout_s * 1000),
            metadata_max_age_ms=int(kafka.metadata_max_age_s * 1000),
        )
        back_off(producer.client)
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise UnreachableError(f"broker {self._settings.broker} does not answer: {error}") from error
        self._producer = producer

    async def on_stop(self) -> None:
        """Disconnect; what is not confirmed by now is said again after the next start."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()
        for sink in self._sinks:
            await sink.close()

    @property
    def unacked_bytes(self) -> int:
        """Bytes sent and not confirmed."""
        return self._unacked

    @property
    def unconfirmed_s(self) -> float:
        """For how many seconds messages have waited without any being confirmed."""
        return time.monotonic() - self._confirmed_at if self._unacked else 0.0

    async def publish(self, partition: int, output: ShardOutput, deliveries: Deliveries) -> asyncio.Future[Any] | None:
        """Send everything in ``output``; returns when it is under way, waiting while too much is unconfirmed.

        Returns:
            The delivery of the last of the weights, None if there are none.
        """
        topics = self._settings.topics
        last = await self._add(WEIGHTS, partition, output.framed, deliveries)
        await self.publish_gathered(partition, output.gathered, deliveries)
        for letter in output.dead_letters:
            key, value, headers = dead_letter(topics.events, partition, letter)
            await self._send(deliveries, topics.dead_letters, value, key=key, headers=headers)
        return last

    async def publish_gathered(self, partition: int, gathered: Gathered, deliveries: Deliveries) -> None:
        """Send samples, statements about entities and lists of recommendations, as ``publish`` does."""
        await self._add(SAMPLES, partition, gathered.framed, deliveries)
        topics = self._settings.topics
        await self._send_keyed(deliveries, topics.entities, gathered.entities, content.ENTITIES)
        await self._send_keyed(deliveries, topics.recs, gathered.lists, content.RECOMMENDATIONS, partition)

    async def flush(self, partition: int, outstanding: frozenset[asyncio.Future[Any]]) -> None:
        """Return when deliveries ``outstanding``, and what the other sinks were given of ``partition``, are durable."""
        await confirmed(outstanding)
        for sink in self._sinks:
            await sink.flush(partition)

    async def _add(
        self, stream: str, partition: int, framed: FramedRows, deliveries: Deliveries
    ) -> asyncio.Future[Any] | None:
        """Give rows to every sink; returns the delivery of the last message, None if there are no rows."""
        topics, limit, layout = self._settings.topics, self._settings.kafka.max_message_bytes, self._layout
        names = {WEIGHTS: topics.weights, SAMPLES: topics.samples}
        topic = TopicSink(self._send_rows, names, limit, deliveries, layout, FRAMES.get(layout))
        sinks: list[Sink] = list(self._sinks)
        if layout == "2":
            await topic.send(stream, partition, framed.messages)
        else:
            sinks.insert(0, topic)
        if sinks:  # they get the contract's columns, which have to be unpacked
            rows = Rows(stream, partition, framed.batch)
            for sink in sinks:
                await sink.add(rows)
        return topic.last

    async def _send_rows(
        self, deliveries: Deliveries, topic: str, value: bytes, *, partition: int | None, headers: Sequence[Header]
    ) -> asyncio.Future[Any]:
        return await self._send(deliveries, topic, value, partition=partition, headers=(*headers, *self._origin))

    async def publish_adopted(self, key: bytes, value: bytes, deliveries: Deliveries) -> None:
        """Publish on the models topic where a shard adopted a model late."""
        headers = content.of_model(key).headers
        await self._send(deliveries, self._settings.topics.models, value, key=key, partition=0, headers=headers)

    async def _send(
        self,
        deliveries: Deliveries,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[Header] = (),
    ) -> asyncio.Future[Any]:
        """One message; without ``partition`` it goes where its key belongs."""
        size = len(value or b"") + len(key or b"") + sum(len(name) + len(text or b"") for name, text in headers)
        size += MESSAGE_BYTES
        return await self._hand_over(
            deliveries,
            topic,
            size,
            lambda producer: producer.send(topic, value, key=key, partition=partition, headers=list(headers)),
        )

    async def _send_keyed(
        self,
        deliveries: Deliveries,
        topic: str,
        statements: Statements,
        said: content.Content,
        partition: int | None = None,
    ) -> None:
        """Many small messages: as record batches of our own, not one by one. Without ``partition`` each goes where its
        key belongs.
        """
        if not statements:
            return
        kafka, now_ms = self._settings.kafka, int(time.time() * 1000)
        partitions = len(await self._connected.partitions_for(topic)) if partition is None else 1
        limit, headers = kafka.max_message_bytes, said.headers
        for filled in fill_batches(statements.keys, statements.values, partitions, limit, headers):
            batch = FilledBatch(filled, now_ms, kafka.compression)
            await self._send_batch(deliveries, topic, filled.partition if partition is None else partition, batch)

    async def _send_batch(self, deliveries: Deliveries, topic: str, partition: int, batch: FilledBatch) -> None:
        await self._hand_over(
            deliveries,
            topic,
            batch.size(),
            lambda producer: producer.send_batch(batch, topic, partition=partition),
        )

    async def _hand_over(
        self,
        deliveries: Deliveries,
        topic: str,
        size: int,
        send: Callable[[AIOKafkaProducer], Awaitable[asyncio.Future[Any]]],
    ) -> asyncio.Future[Any]:
        """Give ``size`` bytes to the producer as soon as there is room, and watch their delivery."""
        while self._unacked and self._unacked + size > self._settings.kafka.max_unacked_bytes:
            self._room.clear()
            await self._room.wait()
        while True:
            try:
                delivery = await send(self._connected)
                break
            except KafkaTimeoutError:
                # the partition's queue is full and the broker away; nothing was taken, so trying again is safe
                log.warning("broker takes no messages", extra={"topic": topic})
            except REFUSALS:  # the topic's metadata, where a right was taken away, say so before the delivery does
                raise refusal(self._settings, "topic", topic, "Write") from None
        if not self._unacked:
            self._confirmed_at = time.monotonic()
        self._unacked += size
        deliveries.add(delivery)
        delivery.add_done_callback(lambda done: self._settle(topic, size, done))
        return delivery

    @property
    def _connected(self) -> AIOKafkaProducer:
        """The producer; while stopping, whoever asks is cancelled: nobody will confirm anything any more."""
        if self._producer is None:
            raise asyncio.CancelledError
        return self._producer

    def _settle(self, topic: str, size: int, delivery: asyncio.Future[Any]) -> None:
        self._unacked -= size
        self._confirmed_at = time.monotonic()
        self._room.set()
        if self._producer is not None and not delivery.cancelled() and (error := delivery.exception()):
            reason = refusal(self._settings, "topic", topic, "Write") if isinstance(error, REFUSALS) else repr(error)
            die(code_of(error), f"a message to {topic} was refused: {reason}")


def dead_letter(topic: str, partition: int, letter: DeadLetter) -> tuple[bytes | None, bytes | None, list[Header]]:
    """Key, value and headers of the record that carries ``letter``; what is cut is named by size and digest."""
    added: list[tuple[str, str]] = [
        ("sie-reason", str(letter.reason)),
        ("sie-exception", letter.detail),
        ("sie-source-topic", topic),
        ("sie-source-partition", str(partition)),
        ("sie-source-offset", str(letter.offset)),
        ("sie-source-timestamp-ms", str(letter.timestamp_ms)),
    ]
    key, value = letter.key, letter.value
    if value is not None and len(value) > DEAD_LETTER_VALUE_BYTES:
        added += [("sie-value-bytes", str(len(value))), ("sie-value-sha256", hashlib.sha256(value).hexdigest())]
        value = value[:DEAD_LETTER_VALUE_BYTES]
    if key is not None and len(key) > DEAD_LETTER_KEY_BYTES:
        added += [("sie-key-bytes", str(len(key))), ("sie-key-sha256", hashlib.sha256(key).hexdigest())]
        key = key[:DEAD_LETTER_KEY_BYTES]
    original = list(_original(letter))
    said = content.of_dead_letter(dict(original))
    return key, value, [*original, *said, *((name, text.encode()) for name, text in added)]


def _original(letter: DeadLetter) -> Iterator[Header]:
    """The record's own headers, as long as they leave room for ours."""
    room = DEAD_LETTER_KEY_BYTES
    for name, value in letter.headers:
        room -= len(name) + len(value or b"")
        if room < 0:
            return
        yield name, value
