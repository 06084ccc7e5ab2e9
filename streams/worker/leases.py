"""The shards in this process's memory, and under which epoch each of them is ours.

Who owns which truth: a shard its state and next offset; the store who may write that state; the transport's
``Positions`` what is owned at this moment. ``ShardLeases`` owns the list alone, and holds the three against each other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sie_online.announcements import Adoption
from sie_online.shard import Shard
from sie_online.shard.schedule import Artifact
from streams.checkpoint.manifest import Position
from streams.observe.metrics import Metrics
from streams.sinks.topic import Deliveries
from streams.transport import Claim, ConsumerHandle
from streams.worker.recent import RecentWeights
from streams.worker.watchdog import Vitals


@dataclass(slots=True)
class ShardLease:
    """A shard in this process's memory, and the epoch under which it may be written.

    ``turn`` keeps its batches in order. ``processing`` is held while the state changes, ``saving`` while a checkpoint
    is being made: the snapshot is taken under both, the slow rest (deliveries, fsync) under ``saving`` alone.
    """

    shard: Shard
    epoch: int
    saved: Position | None
    """Epoch and next offset of the newest durable checkpoint, None if there is none."""
    n_partitions: int
    begin: int
    """Next offset when it was put up; ``NOWHERE`` if what the store holds is to be replaced whatever comes."""
    deliveries: Deliveries = field(default_factory=Deliveries)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    processing: asyncio.Lock = field(default_factory=asyncio.Lock)
    saving: asyncio.Lock = field(default_factory=asyncio.Lock)
    recent: RecentWeights | None = None
    """What was published under it lately; None where nobody may ask for it."""
    late: list[tuple[Adoption, Artifact | None]] = field(default_factory=list)
    """Models heard of too late for their offset; adopted at the next checkpoint."""
    checked_at: float = 0.0
    reached_s: float = 0.0
    """Kafka's timestamp, s since 1970, of the record at which it stands or, between batches, of the one before; 0
    before the first."""
    unsaved_since: float | None = None
    """When the oldest work was done that no durable checkpoint covers; None where all is covered. Monotonic, as ..."""
    untaken_since: float | None = None
    """... when that was which not even a snapshot covers."""

    @property
    def partition(self) -> int:
        return self.shard.partition

    @property
    def unsaved(self) -> bool:
        """Whether something was processed that no durable checkpoint covers."""
        return self.shard.next_offset != (self.begin if self.saved is None else self.saved.offset)

    def reaches(self, timestamp_ms: NDArray[np.int64]) -> None:
        """The record with this timestamp (1,) has been reached; (0,): none was."""
        for milliseconds in timestamp_ms.tolist():
            self.reached_s = milliseconds / 1000

    def works(self) -> None:
        """Something is being processed, of which no snapshot is taken before it is done."""
        now = time.monotonic()
        self.unsaved_since = now if self.unsaved_since is None else self.unsaved_since
        self.untaken_since = now if self.untaken_since is None else self.untaken_since

    def snapshot_taken(self) -> None:
        """A snapshot covers all that was processed."""
        self.untaken_since = None

    def made_durable(self, saved: Position) -> None:
        """The snapshot taken last is the checkpoint ``saved`` now."""
        self.saved, self.unsaved_since = saved, self.untaken_since

    def unsaved_s(self) -> float:
        """How long ago the oldest work was done that no durable checkpoint covers, seconds; 0 where all is covered."""
        return 0.0 if self.unsaved_since is None else time.monotonic() - self.unsaved_since

    @property
    def busy(self) -> bool:
        """Whether it is being processed or saved."""
        return self.processing.locked() or self.saving.locked()

    def claim(self) -> Claim:
        """Where consumption begins."""
        durable = 0 if self.saved is None else self.saved.offset
        return Claim(epoch=self.epoch, offset=self.shard.next_offset, durable=durable)


class ShardLeases:
    """The shards that this process has, owned or waiting whether they will be again. Iterating takes a copy."""

    def __init__(self, consumer: ConsumerHandle, metrics: Metrics, vitals: Vitals) -> None:
        self._consumer = consumer
        self._metrics = metrics
        self._vitals = vitals
        self._leases: dict[int, ShardLease] = {}
        self._frozen = False

    # -- which there are

    def __iter__(self) -> Iterator[ShardLease]:
        return iter(tuple(self._leases.values()))

    def get(self, partition: int) -> ShardLease | None:
        """The shard of ``partition``, if it is in memory."""
        return self._leases.get(partition)

    def holds(self, lease: ShardLease) -> bool:
        """Whether ``lease`` has not been given up."""
        return self._leases.get(lease.partition) is lease

    # -- which are owned at this moment

    def owns(self, partition: int, epoch: int) -> bool:
        """Whether ``partition`` is being processed under exactly this ``epoch``."""
        return not self._frozen and self._consumer.positions.owns(partition, epoch)

    @property
    def partitions(self) -> set[int]:
        """Partitions that are owned, restored and being processed."""
        return set() if self._frozen else self._consumer.partitions()

    # -- coming and going

    def add(self, lease: ShardLease) -> None:
        """``lease`` was taken over: it is ours under its epoch."""
        self._leases[lease.partition] = lease
        self._vitals.owned(lease.partition)
        self._metrics.set_epoch(lease.partition, lease.epoch)
        self._metrics.watch_unsaved(lease.partition, lease.unsaved_s)

    def take_out(self, partition: int) -> ShardLease | None:
        """The shard of ``partition``, no longer listed: whoever asks adds it again, or lets go of it."""
        return self._leases.pop(partition, None)

    def forget(self, partition: int) -> None:
        """Give up the shard of ``partition`` and its state."""
        lease = self._leases.pop(partition)
        if not lease.busy:  # else whoever uses it lets go of it
            lease.shard.close()
        self._metrics.revoke(partition)

    def keep(self, partitions: set[int]) -> None:
        """Forget every shard but those of ``partitions``."""
        for partition in self._leases.keys() - partitions:
            self.forget(partition)

    def freeze(self) -> None:
        """The worker ends: from now on nothing is owned, though everything stays in memory to be saved."""
        self._frozen = True

    @property
    def frozen(self) -> bool:
        """Whether the worker ends."""
        return self._frozen
