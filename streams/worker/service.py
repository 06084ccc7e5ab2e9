"""The worker: its parts put together, and what runs in it from start to stop.

Who owns which truth: a shard its state and next offset; the store the durable state and who may write it; the
transport's ``Positions`` what is owned at this moment; ``ShardLeases`` what is in memory. They are kept in step:

1. A batch is processed only under the epoch it was fetched under, and only if it continues the shard exactly.
2. A checkpoint is a snapshot at offset o, made durable once everything published up to o is confirmed by the brokers.
3. Only then is o committed to Kafka, which nobody reads to find a place.

So whatever kills the process, the next owner starts from a state and an offset that belong together, and says again
only what this one may have said already.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mode
from aiokafka.errors import KafkaError

from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from streams.observe.metrics import Metrics
from streams.observe.page.showcase import Showcase
from streams.threads import in_thread
from streams.transport import ConsumerHandle
from streams.worker.adoption import Adoptions
from streams.worker.assignment import Assignment
from streams.worker.checkpointer import Checkpointer
from streams.worker.current import CurrentOwner
from streams.worker.leases import ShardLeases
from streams.worker.processing import Processing
from streams.worker.publisher import Publisher
from streams.worker.report import ShardReports
from streams.worker.restore import Ownership
from streams.worker.topic_identity import TopicIdentity
from streams.worker.watchdog import Vitals

log = logging.getLogger(__name__)

TURN_S = 0.5
GATHER_S = 1.0
"""Samples wait so long for more of them, at an ordinary load."""
STATEMENTS_EVERY = 5
"""Turns of that after which statements about entities are published, too: many are replaced by newer ones till then."""
LAST_COMMIT_S = 2.0  # a shutdown waits so long for Kafka to take the last commit; it is for lag tools only


class Worker(mode.Service):
    """All shards of this process. The transport calls ``assignment`` at every rebalance, Faust's agent ``processing``.

    ``leases`` says which shards there are; ``consumer`` stands for Faust's, which is put into it before the start.
    """

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
        showcase: Showcase,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._publisher = publisher
        self._adoptions = adoptions
        self._vitals = vitals
        self._pool = ThreadPoolExecutor(_cores(), thread_name_prefix="shards")
        self.consumer = ConsumerHandle()
        self.leases = ShardLeases(self.consumer, metrics, vitals)
        self._reports = ShardReports(self.leases, adoptions, metrics)
        self._owner = CurrentOwner(settings, self.leases, store)
        self._identity = TopicIdentity(settings, self.leases, self.consumer, store)
        self.checkpointer = Checkpointer(
            settings,
            self.leases,
            self.consumer,
            store=store,
            owner=self._owner,
            publisher=publisher,
            adoptions=adoptions,
            metrics=metrics,
            vitals=vitals,
            pool=self._pool,
        )
        self.processing = Processing(
            self.leases,
            self.consumer,
            owner=self._owner,
            publisher=publisher,
            metrics=metrics,
            vitals=vitals,
            pool=self._pool,
            showcase=showcase,
        )
        self.assignment = Assignment(
            settings,
            self.leases,
            self.consumer,
            store=store,
            ownership=ownership,
            checkpointer=self.checkpointer,
            adoptions=adoptions,
            identity=self._identity,
            reports=self._reports,
            metrics=metrics,
            vitals=vitals,
        )

    async def on_start(self) -> None:
        """Read what has been announced; begin to checkpoint and to listen for announcements."""
        await self._adoptions.start()
        self._vitals.unassigned_since = self._vitals.now
        self.add_future(self.checkpointer.run(self))
        self.add_future(self._listen())
        self.add_future(self._reports.run(self))
        self.add_future(self._identity.watch(self))
        self.add_future(self._turn())
        self.add_future(self._publish_gathered())

    async def _turn(self) -> None:
        """Show the watchdog that the event loop turns."""
        while not self.should_stop:
            self._vitals.turned_at = self._vitals.awake
            await self.sleep(TURN_S)
        self._vitals.turned_at = None

    async def _publish_gathered(self) -> None:
        """Publish now and then what the shards have gathered; a checkpoint does it, too."""
        for turn in itertools.count(1):
            await self.sleep(GATHER_S)
            if self.should_stop:
                return
            statements = turn % STATEMENTS_EVERY == 0
            for lease in self.leases:
                async with lease.processing:
                    waiting = lease.shard.waiting if statements else lease.shard.waiting_samples
                    owned = self.leases.owns(lease.partition, lease.epoch)
                    if waiting and owned and await self._owner.is_ours(lease):
                        gathered = await in_thread(self._pool, lease.shard.gathered, statements=statements)
                        await self._publisher.publish_gathered(lease.partition, gathered, lease.deliveries)

    async def _listen(self) -> None:
        """Tell the shards of every model that is announced."""
        while not self.should_stop:
            if await self._adoptions.has_news():
                for lease in self.leases:
                    await self._adoptions.offer(lease)

    async def finish(self) -> None:
        """Process nothing more and checkpoint what was; after a crash nothing is saved, the last checkpoint stands."""
        self.leases.freeze()
        await self.checkpointer.save_all(self._settings.watchdog.shutdown_s / 2)
        try:
            await asyncio.wait_for(self.consumer.commits_done(), LAST_COMMIT_S)
        except (KafkaError, TimeoutError):
            log.warning("the last commit was not confirmed")

    async def on_stop(self) -> None:
        """Listen no more."""
        await self._adoptions.stop()


def _cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))
