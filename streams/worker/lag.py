"""How far the shards are behind the log, and whether the brokers are there at all.

Asked on a connection of its own, made anew after every failure: a consumer that has died reports no lag, and one that
knows no broker's address any more must not pass for an outage.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

import mode
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from sie_online.client.availability import ANSWER_S, ASK_EVERY_S, AWAY_AFTER_S, Availability
from sie_online.client.consumer import PatientConsumer
from sie_online.settings import Settings
from streams.observe.metrics import Metrics
from streams.worker.leases import ShardLease, ShardLeases
from streams.worker.publisher import Publisher
from streams.worker.watchdog import Vitals
from streams.worker.written import WrittenTimes


class LogEnds:
    """The ends of the input's log, as whoever connects just now would be told."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: PatientConsumer | None = None

    async def of(self, partitions: Iterable[int]) -> dict[int, int]:
        """Offset up to which there is something to deliver, per partition: an open transaction comes once it ends.

        Raises:
            KafkaError, OSError, TimeoutError: no answer within ``ANSWER_S``.
        """
        places = [TopicPartition(self._settings.topics.events, partition) for partition in partitions]
        try:
            async with asyncio.timeout(ANSWER_S):
                ends = await (await self._connected()).end_offsets(places)
        except BaseException:
            await self.close()
            raise
        return {place.partition: end for place, end in ends.items()}

    async def close(self) -> None:
        """Disconnect."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(consumer.stop(), ANSWER_S)

    async def _connected(self) -> PatientConsumer:
        if self._consumer is None:
            self._consumer = PatientConsumer(self._settings, client_id="sie-lag", group_id=None)
            await self._consumer.start()
        return self._consumer


class LogWatch(mode.Service):
    """Looks every ``ASK_EVERY_S`` seconds; a failure of this service ends the worker.

    The brokers are there if they tell the log's ends and confirm what is published: where only the latter fails, a
    topic has lost its leader or too many replicas.
    """

    mundane_level = "debug"

    def __init__(
        self,
        settings: Settings,
        leases: ShardLeases,
        *,
        vitals: Vitals,
        metrics: Metrics,
        publisher: Publisher,
        availability: Availability,
    ) -> None:
        super().__init__()
        self._leases = leases
        self._vitals = vitals
        self._metrics = metrics
        self._publisher = publisher
        self._availability = availability
        self._log_ends = LogEnds(settings)
        self._written = WrittenTimes()

    async def on_start(self) -> None:
        """Begin to look."""
        self.add_future(self._watch())

    async def on_stop(self) -> None:
        """Disconnect."""
        await self._log_ends.close()

    async def _watch(self) -> None:
        """Until the worker stops.

        Raises:
            UnreachableError: the brokers are away for longer than ``kafka.outage_limit_s``.
        """
        while not self.should_stop:
            await self.sleep(ASK_EVERY_S)
            try:
                self._note(await self._log_ends.of(self._leases.partitions or {0}))
            except (KafkaError, OSError, TimeoutError) as error:
                self._metrics.forget_lag()
                self._availability.failed(error)

    def _note(self, ends: dict[int, int]) -> None:
        self._written.keep(ends.keys())
        for lease in self._leases:
            if lease.partition in ends:
                lag = max(0, ends[lease.partition] - lease.shard.next_offset)
                self._vitals.lags(lease.partition, lag)
                self._metrics.set_lag(lease.partition, lag, self._waited_s(lease, ends[lease.partition]))
        if self._publisher.unconfirmed_s > AWAY_AFTER_S:
            self._availability.failed(TimeoutError("it does not confirm what is published"))
        else:
            self._availability.answered()

    def _waited_s(self, lease: ShardLease, end: int) -> float:
        """For how long the first record that waits has been in the log, as near as is known; 0 where none waits."""
        offset, now = lease.shard.next_offset, time.time()
        self._written.saw_end(lease.partition, end, now)
        return max(0.0, now - self._written.of(lease.partition, offset, lease.reached_s)) if end > offset else 0.0
