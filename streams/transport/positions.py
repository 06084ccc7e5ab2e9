"""What a worker knows of its partitions' offsets: owned under which epoch, fetched and checkpointed up to where.

Pure bookkeeping, without a broker or a loop. Two threads use it (the fetching one and the processing one), so every
operation is one critical section.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from sie_online.ingest.record_columns import RecordColumns
from sie_online.ingest.records import RecordBatch

RECORD_BYTES = 64  # what a batch keeps per record beside its buffer: three spans, an offset, a timestamp


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to consume a partition under ``epoch``, from ``offset`` on; ``durable`` is covered by a checkpoint."""

    epoch: int
    offset: int
    durable: int


@dataclass(slots=True)
class _Owned:
    epoch: int
    next_offset: int
    in_flight: int = 0


class Positions:
    """Offsets of the partitions owned now.

    A *term* lasts from one loss of the partitions to the next (aiokafka revokes all of them at every rebalance). A
    claim that was prepared in one term is refused in another.

    >>> positions = Positions()
    >>> positions.begin(positions.term, {0: Claim(epoch=3, offset=100, durable=100)})
    True
    >>> positions.fetched(0, end=150, n_bytes=5_000)
    (3, 100)
    >>> positions.committable({0: 150})  # fetched, even processed, is not enough
    {0: 100}
    >>> positions.checkpointed(0, 150)
    >>> positions.committable({0: 150})
    {0: 150}
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owned: dict[int, _Owned] = {}
        self._durable: dict[int, int] = {}  # outlives the term: the last checkpoint is written after the loss
        self._term = 0

    @property
    def term(self) -> int:
        """Number of the present term."""
        return self._term

    def begin(self, term: int, claims: Mapping[int, Claim]) -> bool:
        """Own ``claims`` from now on, unless ``term`` is over; whether it was done."""
        with self._lock:
            if term != self._term:
                return False
            for partition, claim in claims.items():
                self._owned[partition] = _Owned(claim.epoch, claim.offset)
                self._durable[partition] = claim.durable
            return True

    def end(self) -> None:
        """Own nothing from now on: what is in flight will be dropped, what is not committed stays so."""
        with self._lock:
            self._owned.clear()
            self._term += 1

    def owns(self, partition: int, epoch: int) -> bool:
        """Whether ``partition`` is ours under exactly this ``epoch``."""
        owned = self._owned.get(partition)
        return owned is not None and owned.epoch == epoch

    def partitions(self) -> set[int]:
        """The partitions owned now."""
        with self._lock:
            return set(self._owned)

    def next_offset(self, partition: int) -> int | None:
        """Where the next fetch begins; None if the partition is not ours."""
        owned = self._owned.get(partition)
        return None if owned is None else owned.next_offset

    def fetched(self, partition: int, *, end: int, n_bytes: int) -> tuple[int, int] | None:
        """Records up to ``end`` were fetched: the epoch and start to stamp them with; None if they are not ours."""
        with self._lock:
            owned = self._owned.get(partition)
            if owned is None:
                return None
            start, owned.next_offset = owned.next_offset, end
            owned.in_flight += n_bytes
            return owned.epoch, start

    def released(self, partition: int, epoch: int, n_bytes: int) -> None:
        """A batch of ``n_bytes`` is done with. Of another epoch: it is counted no longer anyway."""
        with self._lock:
            owned = self._owned.get(partition)
            if owned is not None and owned.epoch == epoch:
                owned.in_flight -= n_bytes

    def in_flight(self) -> int:
        """Bytes fetched under the present epochs and not done with."""
        with self._lock:
            return sum(owned.in_flight for owned in self._owned.values())

    def checkpointed(self, partition: int, offset: int) -> None:
        """A durable checkpoint of ours covers everything before ``offset``."""
        with self._lock:
            self._durable[partition] = max(self._durable.get(partition, 0), offset)

    def committable(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """``offsets`` as far as a durable checkpoint covers them."""
        with self._lock:
            capped = {partition: min(offset, self._durable.get(partition, 0)) for partition, offset in offsets.items()}
        return {partition: offset for partition, offset in capped.items() if offset > 0}


def batch_bytes(batch: RecordBatch | RecordColumns) -> int:
    """Memory that ``batch`` holds, about."""
    return len(batch.buffer) + RECORD_BYTES * len(batch)
