"""Writing to and reading whole topics in tests, from synchronous code."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pyarrow as pa
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.errors import KafkaTimeoutError
from aiokafka.structs import ConsumerRecord

from sie_online.client.connection import connection
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from sie_online.unpacking import from_message
from streams.topics import create_topics
from tests.support.waiting import awaited


def make_topics(settings: Settings) -> None:
    """All topics, as ``sie topics create`` makes them."""
    asyncio.run(create_topics(settings))


def grow(settings: Settings, partitions: int) -> None:
    """Give the input topic so many partitions, and then the outputs, as a person would."""
    asyncio.run(_grow(settings, partitions))
    make_topics(settings)


async def _grow(settings: Settings, partitions: int) -> None:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        await admin.create_partitions({settings.topics.events: NewPartitions(partitions)})
    finally:
        await admin.close()


def write(settings: Settings, rows: Iterable[WireRecord]) -> None:
    """Write ``rows`` to the input topic and return when all are acknowledged."""
    asyncio.run(_write(settings, rows, per_s=float("inf"), stop=threading.Event()))


class Writer:
    """Writes to the input topic from a thread of its own, so many records a second, until finished."""

    def __init__(self, settings: Settings, rows: Iterable[WireRecord], per_s: float) -> None:
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(settings, rows, per_s), daemon=True)
        self._thread.start()

    def _run(self, settings: Settings, rows: Iterable[WireRecord], per_s: float) -> None:
        try:
            asyncio.run(_write(settings, rows, per_s, self._stop))
        except BaseException as error:  # noqa: BLE001 - raised in ``finish``
            self._errors.append(error)

    @property
    def writing(self) -> bool:
        """Whether it has not come to an end by itself."""
        return self._thread.is_alive()

    def finish(self) -> None:
        """Stop; returns when everything written is acknowledged."""
        self._stop.set()
        self._thread.join()
        if self._errors:
            raise self._errors.pop()


@contextmanager
def writing(settings: Settings, rows: Iterable[WireRecord], per_s: float) -> Iterator[Writer]:
    """A ``Writer``, finished at the latest when the block ends."""
    writer = Writer(settings, rows, per_s)
    try:
        yield writer
    finally:
        writer.finish()


async def _write(settings: Settings, rows: Iterable[WireRecord], per_s: float, stop: threading.Event) -> None:
    # idempotent: a retry across a broker's death must not write a record twice
    producer = AIOKafkaProducer(**connection(settings), linger_ms=20, acks="all", enable_idempotence=True)
    await producer.start()
    loop = asyncio.get_running_loop()
    began, deliveries = loop.time(), []
    try:
        for n, row in enumerate(rows):
            if n % 100 == 0:
                await asyncio.sleep(max(0.0, began + n / per_s - loop.time()))
                if stop.is_set():
                    break
            while True:
                try:
                    sent = await producer.send(settings.topics.events, row.value, key=row.key, partition=row.partition)
                except KafkaTimeoutError:
                    continue  # the broker is away and nothing was taken
                deliveries.append(sent)
                break
        if deliveries:
            await asyncio.wait(deliveries)
    finally:
        await producer.stop()
    for delivery in deliveries:
        delivery.result()


def read(settings: Settings, topic: str) -> list[ConsumerRecord]:
    """Every record of ``topic`` up to its present end, in order per partition."""
    return asyncio.run(_read(settings, topic))


async def _read(settings: Settings, topic: str) -> list[ConsumerRecord]:
    consumer = AIOKafkaConsumer(**connection(settings), max_partition_fetch_bytes=8 << 20)
    await consumer.start()
    found: list[ConsumerRecord] = []
    try:
        partitions = [TopicPartition(topic, p) for p in await _partitions(settings, topic)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(tp) < ends[tp] for tp in partitions]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    finally:
        await consumer.stop()
    return sorted(found, key=lambda record: (record.partition, record.offset))


async def _partitions(settings: Settings, topic: str) -> list[int]:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
    finally:
        await admin.close()
    return sorted(partition["partition"] for partition in described["partitions"])


def read_rows(settings: Settings, topic: str) -> pa.Table:
    """Every row of a topic of weights or samples, in order per partition."""
    tables = [from_message(record.value, record.headers) for record in read(settings, topic)]
    return pa.concat_tables(tables, promote_options="default")


def topics(settings: Settings) -> set[str]:
    """Names of all topics there are."""
    return set(asyncio.run(_topics(settings)))


async def _topics(settings: Settings) -> list[str]:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        return list(await admin.list_topics())
    finally:
        await admin.close()


def ends(settings: Settings, topic: str) -> dict[int, int]:
    """Offset after the last record, per partition."""
    return asyncio.run(_ends(settings, topic))


async def _ends(settings: Settings, topic: str) -> dict[int, int]:
    consumer = AIOKafkaConsumer(**connection(settings))
    await consumer.start()
    try:
        tps = [TopicPartition(topic, p) for p in await _partitions(settings, topic)]
        return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}
    finally:
        await consumer.stop()


def committed(settings: Settings) -> dict[int, int]:
    """What the group has committed, per partition of the input."""
    return asyncio.run(_committed(settings))


async def _committed(settings: Settings) -> dict[int, int]:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(settings.group)
    finally:
        await admin.close()
    return {tp.partition: found.offset for tp, found in offsets.items() if found.offset >= 0}


async def administrate(settings: Settings, do: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
    """What ``do`` finds or changes as the broker's administrator."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        return await do(admin)
    finally:
        await admin.close()


async def publish(settings: Settings, topic: str, *messages: bytes | None, partition: int = 0, **extra: Any) -> None:
    """Write ``messages`` to ``topic``, one after the other."""
    producer = AIOKafkaProducer(**connection(settings))
    await producer.start()
    try:
        for message in messages:
            await producer.send_and_wait(topic, message, partition=partition, **extra)
    finally:
        await producer.stop()


@asynccontextmanager
async def transactions(settings: Settings, name: str = "shop") -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose records belong to transactions; ``name`` is its transactional id's."""
    producer = AIOKafkaProducer(**connection(settings), transactional_id=f"{settings.topics.events}-{name}")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def send_all(
    producer: AIOKafkaProducer, settings: Settings, rows: Iterable[WireRecord], partition: int = 0
) -> None:
    """Write ``rows`` to the input topic as part of whatever ``producer`` has begun, and await their delivery."""
    for delivery in [
        await producer.send(settings.topics.events, row.value, key=row.key, partition=partition) for row in rows
    ]:
        await delivery


async def make_anew(settings: Settings) -> None:
    """Delete the input topic and make it again, with as many partitions."""

    async def do(admin: AIOKafkaAdminClient) -> None:
        topic = settings.topics.events
        partitions = len(await _partitions(settings, topic))
        await admin.delete_topics([topic])
        await _until_listed(admin, topic, listed=False)
        await admin.create_topics([NewTopic(topic, partitions, 1)])
        await _until_listed(admin, topic, listed=True)

    await administrate(settings, do)


async def _until_listed(admin: AIOKafkaAdminClient, topic: str, *, listed: bool) -> None:
    async def as_wanted() -> bool:
        return (topic in await admin.list_topics()) == listed

    await awaited(as_wanted, f"topic {topic}" if listed else f"end of topic {topic}")
