"""What crosses from the transport to the decoder: raw records of one partition, not yet parsed.

The batch is columnar (one buffer and spans into it), so that the fetcher need not make a Python object per record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.headers import Headers, HeadersByRow
from sie_online.ingest.record_columns import RecordColumns

REFUSED_BATCH = "sie-refused-batch"
"""Header of the record that stands, at its last offset, for a batch that was not decompressed because it may hold too
much: the batch's first offset and number of records, in decimal. A third number, 1: for what of it cannot be read."""


class Record(Protocol):
    """The part of a Kafka consumer record that a batch is built from."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int | None: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class LogRecord(NamedTuple):
    """A ``Record`` that no broker has given out."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Consecutive records of one partition under one ownership.

    ``start`` is the position before the batch and ``end`` the one after it: gaps (compaction, transaction markers)
    lie inside, so ``start == shard.next_offset`` proves that nothing was skipped. ``values`` and ``keys`` are int64
    spans of shape (n, 2) into ``buffer``; (-1, -1) is null. ``timestamps_ms`` are Kafka's, not the events'.
    """

    topic: str
    partition: int
    epoch: int
    start: int
    end: int
    buffer: bytes
    values: NDArray[np.int64]
    keys: NDArray[np.int64]
    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    headers: Mapping[int, Headers] = field(default_factory=dict)
    fetched_at: float = 0.0
    """When it was taken from the fetcher, s since 1970; for latencies only."""

    def __len__(self) -> int:
        return len(self.offsets)

    def value(self, index: int) -> bytes | None:
        """Raw value of record ``index``, None if it was null."""
        first, last = self.values[index]
        return None if first < 0 else self.buffer[first:last]

    def key(self, index: int) -> bytes | None:
        """Raw key of record ``index``, None if it was null."""
        first, last = self.keys[index]
        return None if first < 0 else self.buffer[first:last]

    @classmethod
    def over(
        cls,
        columns: RecordColumns,
        *,
        topic: str,
        partition: int,
        epoch: int,
        start: int,
        end: int,
        fetched_at: float = 0.0,
    ) -> RecordBatch:
        """The batch that consists of ``columns``."""
        return cls(
            topic=topic,
            partition=partition,
            epoch=epoch,
            start=start,
            end=end,
            buffer=columns.buffer,
            values=columns.values,
            keys=columns.keys,
            offsets=columns.offsets,
            timestamps_ms=columns.timestamps_ms,
            headers=HeadersByRow(columns.headers),
            fetched_at=fetched_at,
        )

    @classmethod
    def of(cls, records: Iterable[Any], *, topic: str, partition: int, epoch: int, start: int, end: int) -> RecordBatch:
        """``records`` (see ``Record``) laid out in one buffer."""
        columns = RecordColumns.of(records)
        return cls.over(columns, topic=topic, partition=partition, epoch=epoch, start=start, end=end)


FetchedBatches = tuple[RecordBatch, ...]
"""What one fetch brought: one batch for each partition that had records."""
