"""What is watched while a run goes on, each from a thread of its own. A broker that is away is waited for."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from sie_online.settings import Settings
from sie_online.unpacking import from_message
from streams.checkpoint import CheckpointStore

POLL_S = 0.2
AWAY_S = 0.5


class Monitor:
    """Runs ``watch`` again and again until stopped."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self.stopped.is_set():
            with suppress(KafkaError, OSError, TimeoutError):
                asyncio.run(self.watch())
            time.sleep(AWAY_S)

    @abstractmethod
    async def watch(self) -> None:
        """Watch until ``stopped`` is set or the broker goes away."""

    def stop(self) -> None:
        """End the thread."""
        self.stopped.set()
        self._thread.join()


class CommitMonitor(Monitor):
    """Compares what the group has committed with what is durable in the store, all the time.

    Commits are read first: the store can only be further on by the time it is looked at.
    """

    def __init__(self, settings: Settings) -> None:
        self.looks = 0
        self.committed: dict[int, int] = {}
        self.ahead: list[str] = []
        self._store = CheckpointStore(settings, settings.topics.events)
        super().__init__(settings)

    async def watch(self) -> None:
        """Look several times a second."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.settings.broker, request_timeout_ms=5_000)
        await admin.start()
        try:
            while not self.stopped.is_set():
                found = await admin.list_consumer_group_offsets(self.settings.group)
                self._compare({tp.partition: one.offset for tp, one in found.items() if one.offset >= 0})
                await asyncio.sleep(POLL_S)
        finally:
            await admin.close()

    def _compare(self, committed: dict[int, int]) -> None:
        for partition, offset in committed.items():
            newest = self._store.newest(partition)
            durable = newest.offset if newest else 0
            if offset > durable:
                self.ahead.append(f"partition {partition}: {offset} is committed, a checkpoint covers {durable}")
        self.looks += 1
        self.committed = committed


class RowMonitor(Monitor):
    """Knows under which generations each partition was published, and since when."""

    def __init__(self, settings: Settings) -> None:
        self.first_seen: dict[tuple[int, int], float] = {}
        self.messages = 0
        self._next: dict[TopicPartition, int] = {}
        super().__init__(settings)

    def generation(self, partition: int) -> int:
        """The highest one seen of ``partition``."""
        return max((generation for p, generation in tuple(self.first_seen) if p == partition), default=0)

    def seen_above(self, partition: int, generation: int) -> float | None:
        """When (``time.monotonic``) the first row of a higher generation was seen."""
        times = [at for (p, g), at in tuple(self.first_seen.items()) if p == partition and g > generation]
        return min(times, default=None)

    async def watch(self) -> None:
        """Follow the weights."""
        topic, n_partitions = self.settings.topics.weights, self.settings.topics.partitions
        async with _consumer(self.settings) as consumer:
            tps = [TopicPartition(topic, partition) for partition in range(n_partitions)]
            consumer.assign(tps)
            for tp in tps:
                consumer.seek(tp, self._next.get(tp, 0))
            while not self.stopped.is_set():
                for tp, records in (await consumer.getmany(timeout_ms=100)).items():
                    self._note(tp, [record.value for record in records])
                    self._next[tp] = records[-1].offset + 1

    def _note(self, tp: TopicPartition, values: list[bytes]) -> None:
        now = time.monotonic()
        for value in values:
            self.messages += 1
            generation = from_message(value)["generation"][0].as_py()
            self.first_seen.setdefault((tp.partition, generation), now)


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker, max_partition_fetch_bytes=8 << 20)
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


M = TypeVar("M", bound=Monitor)


@contextmanager
def running(monitor: M) -> Iterator[M]:
    """``monitor``, stopped when the block ends."""
    try:
        yield monitor
    finally:
        monitor.stop()
