"""The thread that talks to Kafka: fetches record batches, seeks, commits. All of it runs on the thread's own loop.

So a seek and a fetch can never interleave: a batch is stamped with the epoch and the start that were in force at the
very moment its records were taken from aiokafka.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from sie_online.ingest.record_columns import RecordColumns
from sie_online.ingest.records import RecordBatch
from streams.topic_ids import topic_id
from streams.transport.positions import Claim, batch_bytes
from streams.transport.raw_batches import RawConsumer
from streams.transport.single_topic import SingleTopicConsumer

T = TypeVar("T")

IDLE_S = 0.05  # pause of the fetch loop while nothing is owned
FETCH_WAIT_MS = 500  # how long a broker may hold back an empty answer; bounds the latency of nothing but idleness
PAUSE_S = 0.02  # between fetches: half of it is latency; a turn costs some 3 ms of a core, however few its records
TRICKLE_PAUSE_S = 0.1  # below 500 records a second turns would cost more than all else: down to ten a second
LEAVE_S = 1.0  # a dying worker waits so long for the broker to hear of it
MAX_IDLE_MS = 600_000  # aiokafka leaves the group silently after this long without a fetch; our own watchdog is earlier


class FetchThread(AIOKafkaConsumerThread):
    """Fetches for ``consumer``, beside the loop on which its records are processed."""

    mundane_level = "debug"
    consumer: SingleTopicConsumer

    def __post_init__(self) -> None:
        super().__post_init__()
        self._to_commit: dict[int, int] = {}
        self._committing: asyncio.Task[None] | None = None

    # -- life

    def _create_worker_consumer(self, transport: Any) -> AIOKafkaConsumer:
        """Stock Faust's, but with every argument set on purpose."""
        settings = self.consumer.settings
        kafka = settings.kafka
        return RawConsumer(
            settings,
            client_id=f"sie-worker-{settings.group}",
            group_id=settings.group,
            group_instance_id=settings.instance_id or None,
            partition_assignment_strategy=self.consumer.assignors,
            # 'earliest' would skip records that retention deletes under us without a word
            auto_offset_reset="none",
            max_poll_records=kafka.max_poll_records,
            max_poll_interval_ms=MAX_IDLE_MS,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            session_timeout_ms=_ms(kafka.session_timeout_s),
            heartbeat_interval_ms=_ms(kafka.heartbeat_interval_s),
            rebalance_timeout_ms=_ms(kafka.rebalance_timeout_s),
            pause_s=PAUSE_S,
            trickle_pause_s=TRICKLE_PAUSE_S,
        )

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """End all ownership here and now, before the processing thread hears of it."""
        self.consumer.positions.end()
        await super().on_partitions_revoked(revoked)

    # -- fetching

    async def _fetch_records(  # type: ignore[override]  # batches instead of lists of records is the point
        self,
        consumer: AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's
        max_records: int | None = None,
    ) -> dict[TP, RecordBatch]:
        """One batch of at most ``max_records`` for each owned partition that got further; waits up to ``timeout`` s."""
        owned = self._owned(active_partitions)
        if not (self.consumer.flow_active and owned):
            await asyncio.sleep(IDLE_S)
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        term = self.consumer.positions.term
        batches: dict[TP, RecordBatch] = {}
        try:
            with fetcher._subscriptions.fetch_context():
                batches = self._stamp(consumer, owned, await fetcher.fetched_records(owned, timeout, max_records))
                # max_records counts over all partitions: ask again for the others, or the first would starve them
                for tp in (owned - batches.keys()) & fetcher._records.keys():
                    batches |= self._stamp(consumer, {tp}, await fetcher.fetched_records({tp}, 0, max_records))
        except KafkaError:
            # A call that waited through a rebalance finds partitions that are assigned but not sought yet, and aiokafka
            # complains that they have no committed offset. Within a term every error counts.
            if term == self.consumer.positions.term:
                raise
        return batches

    def _owned(self, active: Iterable[TP]) -> set[TopicPartition]:
        owned = self.consumer.positions.partitions()
        return {TopicPartition(tp.topic, tp.partition) for tp in tuple(active) if tp.partition in owned}

    def _stamp(
        self,
        consumer: AIOKafkaConsumer,
        asked: Iterable[TopicPartition],
        drained: Mapping[TopicPartition, RecordColumns],
    ) -> dict[TP, RecordBatch]:
        """Batches of the records just drained; an empty one where the position of an ``asked`` partition moved alone.

        That is how it passes what has an offset and is no record for us: transaction markers, aborted transactions,
        gaps of compaction. No await between the drain and here, so that no seek lies between.
        """
        assignment = consumer._subscription.subscription.assignment
        batches, now = {}, time.time()
        for tp in asked:
            next_offset = self.consumer.positions.next_offset(tp.partition)
            if next_offset is None:
                continue  # lost while we waited
            end = assignment.state_value(tp).position
            if end == next_offset:
                continue
            columns = drained.get(tp) or RecordColumns.of(())
            stamp = self.consumer.positions.fetched(tp.partition, end=end, n_bytes=batch_bytes(columns))
            if stamp is not None:
                epoch, start = stamp
                batches[TP(*tp)] = RecordBatch.over(
                    columns, topic=tp.topic, partition=tp.partition, epoch=epoch, start=start, end=end, fetched_at=now
                )
        return batches

    # -- ownership

    async def begin(self, term: int, claims: Mapping[int, Claim]) -> None:
        """Seek to where the claims say and own them, unless the partitions were lost meanwhile."""
        consumer = self._ensure_consumer()
        topic = self.consumer.topic
        assigned = {tp.partition for tp in consumer.assignment() if tp.topic == topic}
        claims = {partition: claim for partition, claim in claims.items() if partition in assigned}
        if self.consumer.positions.begin(term, claims):
            for partition, claim in claims.items():
                consumer.seek(TopicPartition(topic, partition), claim.offset)
            # the last commit before may have been refused, as after a session that has ended in an outage
            self._enqueue_commit({partition: claim.durable for partition, claim in claims.items()})

    # -- commits: for lag tools only, we never read them to find our place

    def commit_soon(self, offsets: Mapping[int, int]) -> None:
        """Commit when the present commit is done; the newest offsets win. Callable from any thread, returns at once.

        It bypasses Faust's method queue: a commit retries while the broker is away, and would hold one of two slots.
        """
        self.thread_loop.call_soon_threadsafe(self._enqueue_commit, dict(offsets))

    def _enqueue_commit(self, offsets: dict[int, int]) -> None:
        self._to_commit.update(offsets)
        if self._committing is None or self._committing.done():
            self._committing = self.thread_loop.create_task(self._commit_all())

    async def _commit_all(self) -> None:
        while self._to_commit:
            offsets, self._to_commit = self._to_commit, {}
            await self._commit({TP(self.consumer.topic, partition): offset for partition, offset in offsets.items()})

    async def committed_all(self, _: Iterable[int] = ()) -> None:
        """Return when no commit is under way."""
        if self._committing is not None:
            await asyncio.wait([self._committing])

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit nothing ahead of a durable checkpoint. A refusal costs nothing: the next commit or term repeats it."""
        consumer = self._ensure_consumer()
        topic = self.consumer.topic
        capped = self.consumer.positions.committable({tp.partition: offset for tp, offset in offsets.items()})
        found = {TopicPartition(topic, partition): offset for partition, offset in capped.items()}
        request = {tp: OffsetAndMetadata(offset, "") for tp, offset in found.items() if tp in consumer.assignment()}
        if not request:
            return False
        try:
            await consumer.commit(request)
        except KafkaError as error:
            self.log.warning("commit refused error=%r", error)
            return False
        return True

    # -- questions, answered beside whatever the method queue is busy with

    async def ask(self, question: Callable[[Iterable[int]], Awaitable[T]], partitions: Iterable[int]) -> T:
        """Have this thread's loop answer ``question``, one of the methods below, about ``partitions``."""

        async def answer() -> T:
            return await question(partitions)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer(), self.thread_loop))

    async def log_range(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """First offset there is and the one after the last, be it of an open transaction, per partition."""
        consumer = self._ensure_consumer()
        tps = [TopicPartition(self.consumer.topic, partition) for partition in partitions]
        first, last = await consumer.beginning_offsets(tps), await consumer.high_watermarks(tps)
        return {tp.partition: (first[tp], last[tp]) for tp in tps}

    async def committed(self, partitions: Iterable[int]) -> dict[int, int | None]:
        """What the group has committed, None where nothing."""
        consumer = self._ensure_consumer()
        return {p: await consumer.committed(TopicPartition(self.consumer.topic, p)) for p in partitions}

    async def partition_count(self, _: Iterable[int] = ()) -> int:
        """Partitions that the topic has."""
        return len(self._ensure_consumer().partitions_for_topic(self.consumer.topic) or ())

    async def topic_id(self, _: Iterable[int] = ()) -> str:
        """Kafka's id of the topic; ``UNKNOWN`` where the brokers tell none."""
        return await topic_id(self._ensure_consumer()._client, self.consumer.topic)

    def leave(self) -> None:
        """Leave the group, if that can be done at once, so that the others need not wait for the session's end."""
        if self._consumer is None or threading.current_thread() is self._thread:
            return
        leaving = asyncio.run_coroutine_threadsafe(self._consumer._coordinator._maybe_leave_group(), self.thread_loop)
        with suppress(TimeoutError):
            leaving.result(LEAVE_S)

    def close(self) -> None:
        """Nothing: stock closes the client from the wrong thread when a rebalance meets a shutdown."""


def _ms(seconds: float) -> int:
    return int(seconds * 1000)
