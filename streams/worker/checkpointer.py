"""Making shards durable: when, in which order, and what it must wait for.

A checkpoint is a snapshot at offset o, written only after everything published up to o is confirmed by the brokers;
only then is o committed to Kafka. Processing stands still while a snapshot is copied, and for nothing else.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from concurrent.futures import Executor

import mode

from sie_online.errors import SieError
from sie_online.settings import Settings
from sie_online.shard import Snapshot
from streams.checkpoint import CheckpointStore, Written
from streams.checkpoint.manifest import Position
from streams.exits import die
from streams.observe.metrics import Metrics
from streams.threads import in_thread
from streams.transport import ConsumerHandle
from streams.worker.adoption import Adoptions
from streams.worker.current import CurrentOwner
from streams.worker.leases import ShardLease, ShardLeases
from streams.worker.publisher import Publisher
from streams.worker.watchdog import Vitals

log = logging.getLogger(__name__)

TURNS = 8  # the shards of one worker are checkpointed in so many turns per interval, not all at once


class Checkpointer:
    """Checkpoints the shards of ``leases``."""

    def __init__(
        self,
        settings: Settings,
        leases: ShardLeases,
        consumer: ConsumerHandle,
        *,
        store: CheckpointStore,
        owner: CurrentOwner,
        publisher: Publisher,
        adoptions: Adoptions,
        metrics: Metrics,
        vitals: Vitals,
        pool: Executor,
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._consumer = consumer
        self._publisher = publisher
        self._adoptions = adoptions
        self._store = store
        self._owner = owner
        self._vitals = vitals
        self._metrics = metrics
        self._pool = pool

    async def run(self, service: mode.Service) -> None:
        """Checkpoint every owned shard once per interval, in turns, until ``service`` stops; a failure ends it."""
        for turn in itertools.count():
            await service.sleep(self._settings.checkpoint.interval_s / TURNS)
            if service.should_stop:
                return
            for lease in self._leases:
                due = lease.partition % TURNS == turn % TURNS and not lease.saving.locked()
                if due and self._leases.owns(lease.partition, lease.epoch):
                    service.add_future(self.checkpoint(lease))

    async def save_all(self, within_s: float) -> list[int]:
        """Checkpoint everything unsaved; returns the partitions for which the time was too short."""
        tasks = {asyncio.create_task(self.checkpoint(lease)): lease.partition for lease in self._leases}
        if not tasks:
            return []
        done, late = await asyncio.wait(tasks, timeout=within_s)
        for task in late:
            task.cancel()
        failed = [tasks[task] for task in tasks if task in late or (task in done and task.exception())]
        for partition in failed:
            log.warning("no last checkpoint", extra={"partition": partition})
        return failed

    async def checkpoint(self, lease: ShardLease) -> None:
        """Make everything processed so far durable. One at a time per shard."""
        async with lease.saving:
            await self._copy_ahead(lease)
            async with lease.processing:
                if not lease.unsaved or not await self._owner.is_ours(lease):
                    return
                stopped = time.perf_counter()
                await self._adoptions.adopt_late(lease)
                gathered = await in_thread(self._pool, lease.shard.gathered)
                await self._publisher.publish_gathered(lease.partition, gathered, lease.deliveries)
                started = time.perf_counter()
                snapshot = await in_thread(self._pool, lease.shard.snapshot)
                taken = time.perf_counter()
                lease.snapshot_taken()
                epoch, outstanding = lease.epoch, lease.deliveries.open()
            self._metrics.observe_stage("stall", time.perf_counter() - stopped)
            await self._publisher.flush(lease.partition, outstanding)
            self._metrics.observe_stage("snapshot", taken - started)
            self._metrics.observe_stage("confirm", time.perf_counter() - taken)
            written = await self._write(lease, epoch, snapshot)
            if written is None:
                return
            lease.made_durable(Position(epoch, snapshot.next_offset))
            lease.checked_at = time.monotonic()
        self._report(lease, snapshot.next_offset, written)

    async def _copy_ahead(self, lease: ShardLease) -> None:
        """Copy most of a shard's first snapshot in parts, so that the line never stands still for all of it."""
        more = True
        while more:
            async with lease.processing:
                more = lease.unsaved and await in_thread(self._pool, lease.shard.copy_ahead)

    async def _write(self, lease: ShardLease, epoch: int, snapshot: Snapshot) -> Written | None:
        """The store's answer; None if the shard was given up while it was asked."""
        try:
            return await in_thread(None, self._store.write, lease.partition, epoch, snapshot)
        except SieError as error:
            if not self._leases.holds(lease):
                return None  # a successor may well have claimed it by now
            die(error.exit_code, f"partition {lease.partition}: {error}")

    def _report(self, lease: ShardLease, offset: int, written: Written) -> None:
        self._consumer.checkpointed(lease.partition, offset)
        self._vitals.saved(lease.partition, everything=not lease.unsaved)
        if self._leases.holds(lease):
            self._metrics.observe_checkpoint(lease.partition, written.seconds, written.bytes)
