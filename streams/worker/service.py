"""The worker: runs record batches through their shards, publishes what they say, and checkpoints them.

Who owns which truth: a shard its state and next offset; the store the durable state and who may write it; the
transport's ``Positions`` what is owned at this moment. The worker keeps them in step:

1. A batch is processed only under the epoch it was fetched under, and only if it continues the shard exactly.
2. A checkpoint is a snapshot at offset o, made durable only after everything said up to o is confirmed by the brokers.
3. Only then is o committed to Kafka, which nobody reads to find a place.

So whatever kills the process, the next owner starts from a state and an offset that belong together, and says again
only what this one may have said already.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn, TypeVar

import mode
import pyarrow as pa
from aiokafka.errors import KafkaError, KafkaTimeoutError

from sie_online.client.availability import ASK_EVERY_S
from sie_online.errors import SieError, UnreachableError
from sie_online.ingest.records import FetchedBatches, RecordBatch
from sie_online.settings import Settings
from sie_online.shard import ShardOutput
from streams.checkpoint import CheckpointStore
from streams.checkpoint.outputs import highest_generation
from streams.exits import code_of, die
from streams.observe.metrics import Metrics
from streams.threads import in_thread
from streams.transport import Claim, Consumer
from streams.worker.adoption import Adoptions
from streams.worker.checkpointer import Checkpointer
from streams.worker.publisher import Publisher
from streams.worker.restore import Held, LogPlace, Ownership
from streams.worker.topic_identity import TopicIdentity
from streams.worker.watchdog import Vitals

log = logging.getLogger(__name__)

T = TypeVar("T")

TURN_S = 0.5
GATHER_S = 1.0
"""Samples and statements about entities wait so long for more of them, at an ordinary load."""
INLINE_RECORDS = 100
"""A batch of at most so many is processed on the event loop itself, in about a millisecond: the way to a thread and
back costs more, and the loop's other work waits for the interpreter either way."""
RESTORES_AT_ONCE = 2  # reading and checking pieces is done beside the interpreter's lock, and holds memory twice
LAST_COMMIT_S = 2.0  # a shutdown waits so long for Kafka to take the last commit; it is for lag tools only


class Worker(mode.Service):
    """All shards of this process. The transport calls ``acquire``, ``release`` and ``keep``, the agent ``process``."""

    mundane_level = "debug"

    def __init__(
        self,
        settings: Settings,
        *,
        store: CheckpointStore,
        ownership: Ownership,
        publisher: Publisher,
        adoptions: Adoptions,
        metrics: Metrics,
        vitals: Vitals,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self._store = store
        self._ownership = ownership
        self._publisher = publisher
        self._adoptions = adoptions
        self._metrics = metrics
        self._vitals = vitals
        self._held: dict[int, Held] = {}
        self._acquiring: asyncio.Task[Mapping[int, Claim]] | None = None
        self._assigned: set[int] | None = None
        self._running = self._stopping = False
        self._consumer: Consumer | None = None
        self._checkpointer = Checkpointer(self, store, publisher, adoptions, vitals, metrics)
        self._identity = TopicIdentity(self, store)
        self._under_way: set[asyncio.Task[None]] = set()
        self.pool = ThreadPoolExecutor(_cores(), thread_name_prefix="shards")

    def attach(self, consumer: Consumer) -> None:
        """Work with ``consumer``, which needs the worker and is needed by it."""
        self._consumer = consumer

    @property
    def consumer(self) -> Consumer:
        """The transport's consumer."""
        if self._consumer is None:
            raise RuntimeError("the worker has no consumer yet")
        return self._consumer

    @property
    def partitions(self) -> set[int]:
        """Partitions that are owned, restored and being processed."""
        return set() if self._stopping or self._consumer is None else self._consumer.positions.partitions()

    @property
    def assigned(self) -> bool:
        """Whether the group has given an assignment, be it empty, and has not taken it back."""
        return self._assigned is not None

    @property
    def recovered(self) -> bool:
        """Whether everything assigned is being processed."""
        return self._assigned == self.partitions

    @property
    def running(self) -> bool:
        """Whether batches are being taken."""
        return self._running

    def owns(self, partition: int, epoch: int) -> bool:
        """Whether ``partition`` is being processed under exactly this ``epoch``."""
        return not self._stopping and self.consumer.positions.owns(partition, epoch)

    def held(self) -> Iterable[Held]:
        """The shards in memory, owned or waiting whether they will be again."""
        return tuple(self._held.values())

    def holds(self, held: Held) -> bool:
        """Whether ``held`` has not been given up."""
        return self._held.get(held.partition) is held

    async def on_start(self) -> None:
        """Read what has been announced; begin to checkpoint and to listen for announcements."""
        await self._adoptions.start()
        self._vitals.unassigned_since = self._vitals.now
        self.add_future(self._checkpointer.run())
        self.add_future(self._listen())
        self.add_future(self._identity.watch())
        self.add_future(self._turn())
        self.add_future(self._say_gathered())

    async def _turn(self) -> None:
        """Show the watchdog that the event loop turns."""
        while not self.should_stop:
            self._vitals.turned_at = self._vitals.awake
            await self.sleep(TURN_S)
        self._vitals.turned_at = None

    async def _say_gathered(self) -> None:
        """Publish now and then what the shards have gathered; a checkpoint does it, too."""
        while not self.should_stop:
            await self.sleep(GATHER_S)
            for held in self.held():
                async with held.processing:
                    if held.shard.waiting and self.owns(held.partition, held.epoch):
                        gathered = await in_thread(self.pool, held.shard.gathered)
                        await self._publisher.publish_gathered(held.partition, gathered, held.deliveries)

    async def _listen(self) -> None:
        """Tell the shards of every model that is announced."""
        while not self.should_stop:
            if await self._adoptions.heard():
                for held in self.held():
                    await self._adoptions.offer(held)

    async def on_stop(self) -> None:
        """Listen no more."""
        await self._adoptions.stop()

    # -- processing

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
            held = self._held.get(batch.partition)
            if held is not None and self.owns(batch.partition, batch.epoch):
                async with held.turn, held.processing:
                    if self.owns(batch.partition, batch.epoch):  # it may have been lost while we waited
                        await self._process(held, batch)
        except Exception as error:  # noqa: BLE001 - whatever it is, going on would lose records
            self._fail(error, batch)
        finally:
            self.consumer.done(batch)

    async def _process(self, held: Held, batch: RecordBatch) -> None:
        shard = held.shard
        if batch.start != shard.next_offset:
            raise RuntimeError(f"the batch begins at {batch.start}, the shard expects {shard.next_offset}")
        await self._stop_if_superseded(held)
        seconds = _seconds_before(batch) | {"process": 0.0, "publish": 0.0}
        if not await self._pump(held, batch, seconds):
            return
        if shard.next_offset != batch.end:
            raise RuntimeError(f"the shard stands at {shard.next_offset} after a batch that ends at {batch.end}")
        self._metrics.observe_batch(batch.partition, len(batch), len(batch.buffer), seconds)

    async def _pump(self, held: Held, batch: RecordBatch, seconds: dict[str, float]) -> bool:
        """Publish what ``batch`` gives rise to, in order, each output while the next is made; False if given up."""
        inline = len(batch) <= INLINE_RECORDS
        outputs = held.shard.process(batch, gather=inline)
        saying: asyncio.Task[None] | None = None
        try:
            while self.holds(held):  # a shard that was given up has nothing more to say
                output, took_s = _timed_next(outputs) if inline else await in_thread(self.pool, _timed_next, outputs)
                inline = False  # a clock that moves far may settle any number of samples
                seconds["process"] += took_s
                started = time.perf_counter()
                if saying is not None:
                    await saying
                said = self._say(held, output, batch.fetched_at)
                if output.last:
                    await said
                else:
                    saying = asyncio.create_task(said)
                seconds["publish"] += time.perf_counter() - started
                if output.last:
                    return True
            return False
        finally:
            if saying is not None:
                saying.cancel()

    async def _say(self, held: Held, output: ShardOutput, fetched_at: float) -> None:
        """Publish ``output`` of records that were fetched at ``fetched_at`` (s since 1970)."""
        delivery = await self._publisher.publish(held.partition, output, held.deliveries)
        if delivery is not None:
            delivery.add_done_callback(partial(self._measure, output.weights, fetched_at, time.time()))
        self._vitals.progressed(held.partition)
        self._metrics.observe_counts(held.partition, output.counts)
        for letter in output.dead_letters:
            self._metrics.dead_letter(letter.reason)

    def _measure(self, rows: pa.RecordBatch, fetched_at: float, said_at: float, delivery: asyncio.Future[Any]) -> None:
        """Note how long ago the newest of ``rows``, confirmed now, became known, was fetched and was said."""
        if delivery.cancelled() or delivery.exception():
            return
        now = time.time()
        known_ms, partition = rows.column("published_ms")[-1].as_py(), rows.column("partition")[0].as_py()
        self._metrics.observe_output(partition, rows.num_rows, now - known_ms / 1000, now - fetched_at)
        self._metrics.observe_stage("deliver", now - said_at)

    async def _stop_if_superseded(self, held: Held) -> None:
        """Ask the store now and then: a process that was suspended for a while is the last to learn of a new owner."""
        now = time.monotonic()
        if now - held.checked_at > self.settings.kafka.session_timeout_s / 2:
            await asyncio.to_thread(self._store.check_current, held.partition, held.epoch)
            held.checked_at = now

    def _fail(self, error: Exception, batch: RecordBatch) -> NoReturn:
        if isinstance(error, SieError):
            die(error.exit_code, str(error))
        at = {"topic": batch.topic, "partition": batch.partition, "start": batch.start, "end": batch.end}
        log.error("processing failed", exc_info=error, extra=at)
        die(
            code_of(error),
            f"processing failed at {batch.topic}[{batch.partition}] {batch.start}..{batch.end}: {error!r}",
        )

    # -- ownership: called by the transport, in this order, at every rebalance

    async def release(self) -> None:
        """The partitions are lost: checkpoint what can be, so that the next owner has nothing to replay."""
        log.info("partitions lost", extra={"partitions": _listed(self._held)})
        self._vitals.lost()
        self._assigned = None
        self._vitals.unassigned_since, self._vitals.restoring_since = self._vitals.now, None
        # the group waits for us: whoever cannot save in time leaves it to the next owner's replay
        for partition in await self._checkpointer.save_all(self.settings.kafka.rebalance_timeout_s / 2):
            self._forget(partition)

    def keep(self, partitions: set[int]) -> None:
        """Drop the state of every other shard."""
        self._assigned = partitions
        for partition in self._held.keys() - partitions:
            self._forget(partition)
        if not partitions:
            self._vitals.unassigned_since = None  # more workers than partitions: nothing to do is all right

    def _forget(self, partition: int) -> None:
        held = self._held.pop(partition)
        if not (held.processing.locked() or held.saving.locked()):  # else whoever uses it lets go of it
            held.shard.close()
        self._metrics.revoke(partition)

    async def acquire(self, partitions: set[int], generation: int) -> Mapping[int, Claim]:
        """Claim and restore the shards of ``partitions``; the process ends if that fails or takes too long."""
        self._vitals.restoring_since = self._vitals.now
        self._vitals.unassigned_since = None
        if self._acquiring is not None:
            await asyncio.wait([self._acquiring])  # of a rebalance that was overtaken by this one; it cannot be stopped
        term = self.consumer.positions.term
        self._acquiring = asyncio.create_task(self._acquire(partitions, generation, term))
        claims = await asyncio.shield(self._acquiring)
        self._vitals.restoring_since = None
        log.info("partitions taken", extra={"partitions": _listed(claims)})
        return claims

    async def _acquire(self, partitions: set[int], generation: int, term: int) -> Mapping[int, Claim]:
        limit = asyncio.Semaphore(RESTORES_AT_ONCE)
        try:
            places = await self._patiently(lambda: self._places(partitions))
            await self._patiently(self._adoptions.catch_up)
            taken = await asyncio.gather(*(self._take(p, generation, places[p], limit) for p in sorted(partitions)))
        except Exception as error:  # noqa: BLE001 - all of it ends here, in one way or another
            if self._stopping:  # what it takes to restore is being closed
                log.info("restore given up: the worker is told to stop")
                return {}
            self._fail_to_restore(error)
        for held in taken:
            if term != self.consumer.positions.term:
                held.shard.close()  # lost again meanwhile
                continue
            self._held[held.partition] = held
            self._vitals.owned(held.partition)
            self._metrics.set_epoch(held.partition, held.epoch)
        return {held.partition: held.claim() for held in taken if self.holds(held)}

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What ``ask`` finds, once the brokers answer; how long that may take is the watchdog's and its settings'."""
        while True:
            try:
                return await ask()
            except (UnreachableError, KafkaError) as error:
                passes = isinstance(error, UnreachableError | KafkaTimeoutError) or getattr(error, "retriable", False)
                if self._stopping or not passes:
                    raise
                log.warning("brokers do not answer during the restore; asking again", extra={"error": repr(error)})
            await asyncio.sleep(ASK_EVERY_S)

    def _fail_to_restore(self, error: Exception) -> NoReturn:
        if isinstance(error, SieError):
            die(error.exit_code, str(error))
        log.error("restore failed", exc_info=error)
        die(code_of(error), f"restore failed: {error!r}")

    async def _take(self, partition: int, generation: int, place: LogPlace, limit: asyncio.Semaphore) -> Held:
        async with limit:
            started, held = time.perf_counter(), self._held.pop(partition, None)
            if held is not None:
                held = await asyncio.to_thread(self._ownership.take_again, held, place)
            else:
                if await asyncio.to_thread(self._ownership.begins_anew, partition):
                    highest = await self._patiently(partial(highest_generation, self.settings, partition))
                    generation = max(generation, 1 + highest)
                held = await asyncio.to_thread(self._ownership.take, partition, generation, place)
            await self._adoptions.offer(held)
            self._metrics.observe_stage("restore", time.perf_counter() - started)
            return held

    async def _places(self, partitions: set[int]) -> dict[int, LogPlace]:
        thread = self.consumer.thread
        ranges = await thread.ask(thread.log_range, partitions)
        committed = await thread.ask(thread.committed, partitions)
        n_partitions = await thread.ask(thread.partition_count, ())
        self._store.input_partitions = n_partitions
        topic_id = await self._identity.look()
        return {p: LogPlace(*ranges[p], committed[p], n_partitions, topic_id) for p in partitions}

    # -- shutdown

    async def finish(self) -> None:
        """Process nothing more and checkpoint what was; after a crash nothing is saved, the last checkpoint stands."""
        self._stopping = True
        await self._checkpointer.save_all(self.settings.watchdog.shutdown_s / 2)
        try:
            thread = self.consumer.thread
            await asyncio.wait_for(thread.ask(thread.committed_all, ()), LAST_COMMIT_S)
        except (KafkaError, TimeoutError):
            log.warning("the last commit was not confirmed")


def _cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _timed_next(outputs: Iterator[ShardOutput]) -> tuple[ShardOutput, float]:
    """The next output and the seconds it took."""
    started = time.perf_counter()
    return next(outputs), time.perf_counter() - started


def _seconds_before(batch: RecordBatch) -> dict[str, float]:
    """How long the oldest record lay in the log until it was fetched (by Kafka's timestamp), and ``batch`` since."""
    if not len(batch):
        return {}
    return {"fetch": batch.fetched_at - int(batch.timestamps_ms[0]) / 1000, "queue": time.time() - batch.fetched_at}


def _listed(partitions: Iterable[int]) -> str:
    return ",".join(map(str, sorted(partitions))) or "none"
