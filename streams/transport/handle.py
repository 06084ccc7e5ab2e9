"""The consumer, as the worker's parts see it: what they may tell it and ask it.

Faust makes the consumer late, and the consumer needs the worker before: so the parts are given a handle, and the
consumer is put into it as soon as there is one.
"""

from __future__ import annotations

from collections.abc import Iterable

from sie_online.ingest.records import RecordBatch
from streams.transport.consumer import Consumer
from streams.transport.positions import Positions


class ConsumerHandle:
    """Stands for the consumer of the input topic. Owns nothing."""

    def __init__(self) -> None:
        self._attached: Consumer | None = None

    def attach(self, consumer: Consumer) -> None:
        """Stand for ``consumer`` from now on."""
        self._attached = consumer

    @property
    def _consumer(self) -> Consumer:
        if self._attached is None:
            raise RuntimeError("there is no consumer yet")
        return self._attached

    # -- what is owned, and how far it got

    @property
    def positions(self) -> Positions:
        """The truth about what is owned at this moment."""
        return self._consumer.positions

    def partitions(self) -> set[int]:
        """The partitions owned now; none before there is a consumer."""
        return set() if self._attached is None else self._attached.positions.partitions()

    def done(self, batch: RecordBatch) -> None:
        """``batch`` was processed or dropped: make room for others."""
        self._consumer.done(batch)

    def checkpointed(self, partition: int, offset: int) -> None:
        """A durable checkpoint covers everything before ``offset``: have it committed, soon."""
        self.positions.checkpointed(partition, offset)
        self._consumer.thread.commit_soon({partition: offset})

    async def commits_done(self) -> None:
        """Return when no commit is under way."""
        thread = self._consumer.thread
        await thread.ask(thread.committed_all, ())

    # -- questions to the brokers

    async def log_range(self, partitions: Iterable[int]) -> dict[int, tuple[int, int]]:
        """First offset there is and the one after the last, be it of an open transaction, per partition."""
        thread = self._consumer.thread
        return await thread.ask(thread.log_range, partitions)

    async def committed(self, partitions: Iterable[int]) -> dict[int, int | None]:
        """What the group has committed, None where nothing."""
        thread = self._consumer.thread
        return await thread.ask(thread.committed, partitions)

    async def partition_count(self) -> int:
        """Partitions that the topic has."""
        thread = self._consumer.thread
        return await thread.ask(thread.partition_count, ())

    async def topic_id(self) -> str:
        """Kafka's id of the topic; ``UNKNOWN`` where the brokers tell none."""
        thread = self._consumer.thread
        return await thread.ask(thread.topic_id, ())
