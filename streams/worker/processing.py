"""Record batches through their shards: in order, under the epoch they were fetched under, each output published.

A batch is processed only under the epoch it was fetched under, and only if it continues the shard exactly. Whatever
goes wrong ends the process: to go on would lose records.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any, NoReturn

from sie_online.errors import SieError
from sie_online.ingest.records import FetchedBatches, RecordBatch
from sie_online.shard import ShardOutput
from streams.exits import code_of, die
from streams.observe.metrics import Metrics
from streams.observe.page.showcase import Showcase
from streams.threads import in_thread
from streams.transport import ConsumerHandle
from streams.worker.current import CurrentOwner
from streams.worker.leases import ShardLease, ShardLeases
from streams.worker.publisher import Publisher
from streams.worker.recent import RecentWeights
from streams.worker.watchdog import Vitals

log = logging.getLogger(__name__)

INLINE_RECORDS = 100
"""A batch of at most so many is processed on the event loop itself, in about a millisecond: the way to a thread and
back costs more, and the loop's other work waits for the interpreter either way."""


class Processing:
    """Runs what the transport delivers through ``leases``; ``run`` is Faust's agent."""

    def __init__(
        self,
        leases: ShardLeases,
        consumer: ConsumerHandle,
        *,
        owner: CurrentOwner,
        publisher: Publisher,
        metrics: Metrics,
        vitals: Vitals,
        pool: Executor,
        showcase: Showcase,
    ) -> None:
        self._leases = leases
        self._consumer = consumer
        self._owner = owner
        self._publisher = publisher
        self._metrics = metrics
        self._vitals = vitals
        self._pool = pool
        self._showcase = showcase
        self._running = False
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> bool:
        """Whether batches are being taken."""
        return self._running

    async def run(self, turns: AsyncIterable[FetchedBatches]) -> None:
        """The agent: every batch there is; those of one partition in order, several partitions beside each other."""
        self._running = True
        try:
            async for turn in turns:
                for batch in turn:
                    task = asyncio.create_task(self.process(batch))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
        finally:
            self._running = False
            for task in self._under_way:
                task.cancel()

    async def process(self, batch: RecordBatch) -> None:
        """Run ``batch`` through its shard and publish what comes out; a batch of a lost epoch is dropped."""
        try:
            lease = self._leases.get(batch.partition)
            if lease is not None and self._leases.owns(batch.partition, batch.epoch):
                async with lease.turn, lease.processing:
                    if self._leases.owns(batch.partition, batch.epoch):  # it may have been lost while we waited
                        await self._process(lease, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, going on would lose records
            _fail(error, batch)
        finally:
            self._consumer.done(batch)

    async def _process(self, lease: ShardLease, batch: RecordBatch) -> None:
        shard = lease.shard
        if batch.start != shard.next_offset:
            raise RuntimeError(f"the batch begins at {batch.start}, the shard expects {shard.next_offset}")
        if not await self._owner.is_ours(lease):
            return
        seconds = _seconds_before(batch) | {"process": 0.0, "publish": 0.0}
        lease.works()
        lease.reaches(batch.timestamps_ms[:1])
        if not await self._pump(lease, batch, seconds):
            return
        if shard.next_offset != batch.end:
            raise RuntimeError(f"the shard stands at {shard.next_offset} after a batch that ends at {batch.end}")
        lease.reaches(batch.timestamps_ms[-1:])
        self._metrics.observe_batch(batch.partition, len(batch), len(batch.buffer), seconds)

    async def _pump(self, lease: ShardLease, batch: RecordBatch, seconds: dict[str, float]) -> bool:
        """Publish what ``batch`` gives rise to, in order, each output while the next is made; False if given up."""
        inline = len(batch) <= INLINE_RECORDS
        outputs = lease.shard.process(batch, gather=True)
        publishing: asyncio.Task[None] | None = None
        try:
            while self._leases.holds(lease):  # a shard that was given up publishes nothing more
                output, took_s = _timed_next(outputs) if inline else await in_thread(self._pool, _timed_next, outputs)
                inline = False  # a clock that moves far may settle any number of samples
                seconds["process"] += took_s
                started = time.perf_counter()
                if publishing is not None:
                    await publishing
                publication = self._publish(lease, output, batch.fetched_at)
                if output.last:
                    await publication
                else:
                    publishing = asyncio.create_task(publication)
                seconds["publish"] += time.perf_counter() - started
                if output.last:
                    return True
            return False
        finally:
            if publishing is not None:
                publishing.cancel()

    async def _publish(self, lease: ShardLease, output: ShardOutput, fetched_at: float) -> None:
        """Publish ``output`` of records that were fetched at ``fetched_at`` (s since 1970)."""
        delivery = await self._publisher.publish(lease.partition, output, lease.deliveries)
        self._showcase.offer(output.framed)
        if lease.recent is not None:
            keep_recent(lease.recent, output)
        if delivery is not None:
            delivery.add_done_callback(partial(self._measure, lease.partition, output, fetched_at, time.time()))
        self._vitals.progressed(lease.partition)
        self._metrics.observe_counts(lease.partition, output.counts)
        self._metrics.observe_lists(lease.partition, output.lists)
        self._metrics.observe_quality(lease.partition, output.judged, output.noise)
        for letter in output.dead_letters:
            self._metrics.dead_letter(letter.reason)

    def _measure(
        self,
        partition: int,
        output: ShardOutput,
        fetched_at: float,
        published_at: float,
        delivery: asyncio.Future[Any],
    ) -> None:
        """Note how long ago the newest of the weights, confirmed now, became known, was fetched and was published."""
        if delivery.cancelled() or delivery.exception():
            return
        now = time.time()
        self._metrics.observe_output(partition, len(output.framed), now - output.known_ms / 1000, now - fetched_at)
        if len(output.judged.positive) and self._leases.get(partition) is not None:
            self._metrics.final_rows_confirmed(partition, now)
        self._metrics.observe_stage("deliver", now - published_at)


def keep_recent(recent: RecentWeights, output: ShardOutput) -> None:
    """Have what was published found again, but for what was said of users who are to be forgotten."""
    if output.counts.erasures:
        recent.forget()
    else:
        recent.take(output.framed, output.event_ids, output.known_ms)


def _fail(error: Exception, batch: RecordBatch) -> NoReturn:
    if isinstance(error, SieError):
        die(error.exit_code, str(error))
    at = {"topic": batch.topic, "partition": batch.partition, "start": batch.start, "end": batch.end}
    log.error("processing failed", exc_info=error, extra=at)
    die(
        code_of(error),
        f"processing failed at {batch.topic}[{batch.partition}] {batch.start}..{batch.end}: {error!r}",
    )


def _timed_next(outputs: Iterator[ShardOutput]) -> tuple[ShardOutput, float]:
    """The next output and the seconds it took."""
    started = time.perf_counter()
    return next(outputs), time.perf_counter() - started


def _seconds_before(batch: RecordBatch) -> dict[str, float]:
    """How long the oldest record lay in the log until it was fetched (by Kafka's timestamp), and ``batch`` since."""
    if not len(batch):
        return {}
    return {"fetch": batch.fetched_at - int(batch.timestamps_ms[0]) / 1000, "queue": time.time() - batch.fetched_at}
