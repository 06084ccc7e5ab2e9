"""What crosses from the transport to the decoder: raw records of one partition, not yet parsed.

The batch is columnar (one buffer and spans into it), so that a faster fetcher can fill it without ever making
a Python object per record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Headers = Sequence[tuple[str, bytes]]

NULL_SPAN = (-1, -1)

REFUSED_BATCH = "sie-refused-batch"
"""Header of the record that stands, at its last offset, for a batch that was not decompressed because it may hold too
much: the batch's first offset and number of records, in decimal. A third number, 1: for what of it cannot be read."""


class Record(Protocol):
    """The part of a Kafka consumer record that a batch is built from."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
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
    def of(cls, records: Iterable[Any], *, topic: str, partition: int, epoch: int, start: int, end: int) -> RecordBatch:
        """Lay ``records`` (see ``Record``) out in one buffer, values first and then keys."""
        rows = list(records)
        values, at = _spans([row.value for row in rows], 0)
        keys, _ = _spans([row.key for row in rows], at)
        parts = [row.value for row in rows if row.value is not None] + [row.key for row in rows if row.key is not None]
        return cls(
            topic=topic,
            partition=partition,
            epoch=epoch,
            start=start,
            end=end,
            buffer=b"".join(parts),
            values=values,
            keys=keys,
            offsets=np.array([row.offset for row in rows], dtype=np.int64),
            timestamps_ms=np.array([row.timestamp for row in rows], dtype=np.int64),
            headers={index: row.headers for index, row in enumerate(rows) if row.headers},
        )


FetchedBatches = tuple[RecordBatch, ...]
"""What one fetch brought: one batch for each partition that had records."""


def _spans(parts: list[bytes | None], at: int) -> tuple[NDArray[np.int64], int]:
    """Spans of ``parts`` laid end to end from position ``at``; shape (n, 2), and the position after them."""
    lengths = np.array([-1 if part is None else len(part) for part in parts], dtype=np.int64)
    ends = at + np.cumsum(np.maximum(lengths, 0))
    spans = np.stack([ends - lengths, ends], axis=1) if len(parts) else np.empty((0, 2), dtype=np.int64)
    spans[lengths < 0] = NULL_SPAN
    return spans, int(ends[-1]) if len(parts) else at
