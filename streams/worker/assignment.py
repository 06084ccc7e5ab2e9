"""What the group assigns to this process: partitions taken over, kept, and let go of, at every rebalance.

Kafka's assignment says which shards should be here. Which are is ``ShardLeases``' to know, and who may write each of
them the store's, by the epoch that ``Ownership`` claims.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import NoReturn, TypeVar

from aiokafka.errors import KafkaError, KafkaTimeoutError

from sie_online.client.availability import ASK_EVERY_S
from sie_online.errors import SieError, UnreachableError
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from streams.checkpoint.outputs import highest_generation
from streams.exits import code_of, die
from streams.observe.metrics import Metrics
from streams.transport import Claim, ConsumerHandle
from streams.worker.adoption import Adoptions
from streams.worker.checkpointer import Checkpointer
from streams.worker.leases import ShardLease, ShardLeases
from streams.worker.report import ShardReports
from streams.worker.restore import LogPlace, Ownership
from streams.worker.topic_identity import TopicIdentity
from streams.worker.watchdog import Vitals

log = logging.getLogger(__name__)

T = TypeVar("T")

RESTORES_AT_ONCE = 2  # reading and checking pieces is done beside the interpreter's lock, and holds memory twice


class Assignment:
    """The transport's ``RebalanceListener``: a rebalance calls ``release``, ``keep`` and ``acquire``, in this order."""

    def __init__(
        self,
        settings: Settings,
        leases: ShardLeases,
        consumer: ConsumerHandle,
        *,
        store: CheckpointStore,
        ownership: Ownership,
        checkpointer: Checkpointer,
        adoptions: Adoptions,
        identity: TopicIdentity,
        reports: ShardReports,
        metrics: Metrics,
        vitals: Vitals,
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._consumer = consumer
        self._store = store
        self._ownership = ownership
        self._checkpointer = checkpointer
        self._adoptions = adoptions
        self._identity = identity
        self._reports = reports
        self._metrics = metrics
        self._vitals = vitals
        self._assigned: set[int] | None = None
        self._acquiring: asyncio.Task[Mapping[int, Claim]] | None = None

    @property
    def assigned(self) -> bool:
        """Whether the group has given an assignment, be it empty, and has not taken it back."""
        return self._assigned is not None

    @property
    def recovered(self) -> bool:
        """Whether everything assigned is being processed."""
        return self._assigned == self._leases.partitions

    async def release(self) -> None:
        """The partitions are lost: checkpoint what can be, so that the next owner has nothing to replay."""
        log.info("partitions lost", extra={"partitions": _listed(lease.partition for lease in self._leases)})
        self._vitals.lost()
        self._assigned = None
        self._vitals.unassigned_since, self._vitals.restoring_since = self._vitals.now, None
        # the group waits for us: whoever cannot save in time leaves it to the next owner's replay
        for partition in await self._checkpointer.save_all(self._settings.kafka.rebalance_timeout_s / 2):
            self._leases.forget(partition)

    def keep(self, partitions: set[int]) -> None:
        """Drop the state of every other shard."""
        self._assigned = partitions
        self._leases.keep(partitions)
        if not partitions:
            self._vitals.unassigned_since = None  # more workers than partitions: nothing to do is all right

    async def acquire(self, partitions: set[int], generation: int) -> Mapping[int, Claim]:
        """Claim and restore the shards of ``partitions``; the process ends if that fails or takes too long."""
        self._vitals.restoring_since = self._vitals.now
        self._vitals.unassigned_since = None
        if self._acquiring is not None:
            await asyncio.wait([self._acquiring])  # of a rebalance that was overtaken by this one; it cannot be stopped
        term = self._consumer.positions.term
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
            if self._leases.frozen:  # what it takes to restore is being closed
                log.info("restore given up: the worker is told to stop")
                return {}
            _fail(error)
        for lease in taken:
            if term == self._consumer.positions.term:
                self._leases.add(lease)
                self._reports.report(lease)
            else:
                lease.shard.close()  # lost again meanwhile
                self._metrics.revoke(lease.partition)
        return {lease.partition: lease.claim() for lease in taken if self._leases.holds(lease)}

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What ``ask`` finds, once the brokers answer; how long that may take is the watchdog's and its settings'."""
        while True:
            try:
                return await ask()
            except (UnreachableError, KafkaError) as error:
                passes = isinstance(error, UnreachableError | KafkaTimeoutError) or getattr(error, "retriable", False)
                if self._leases.frozen or not passes:
                    raise
                log.warning("brokers do not answer during the restore; asking again", extra={"error": repr(error)})
            await asyncio.sleep(ASK_EVERY_S)

    async def _take(self, partition: int, generation: int, place: LogPlace, limit: asyncio.Semaphore) -> ShardLease:
        async with limit:
            started, lease = time.perf_counter(), self._leases.take_out(partition)
            if lease is not None:
                lease = await asyncio.to_thread(self._ownership.take_again, lease, place)
            else:
                if await asyncio.to_thread(self._ownership.begins_anew, partition):
                    highest = await self._patiently(partial(highest_generation, self._settings, partition))
                    generation = max(generation, 1 + highest)
                lease = await asyncio.to_thread(self._ownership.take, partition, generation, place)
            await self._adoptions.offer(lease)
            self._metrics.observe_stage("restore", time.perf_counter() - started)
            return lease

    async def _places(self, partitions: set[int]) -> dict[int, LogPlace]:
        ranges = await self._consumer.log_range(partitions)
        committed = await self._consumer.committed(partitions)
        n_partitions = await self._consumer.partition_count()
        self._store.input_partitions = n_partitions
        topic_id = await self._identity.look()
        return {p: LogPlace(*ranges[p], committed[p], n_partitions, topic_id) for p in partitions}


def _fail(error: Exception) -> NoReturn:
    if isinstance(error, SieError):
        die(error.exit_code, str(error))
    log.error("restore failed", exc_info=error)
    die(code_of(error), f"restore failed: {error!r}")


def _listed(partitions: Iterable[int]) -> str:
    return ",".join(map(str, sorted(partitions))) or "none"
