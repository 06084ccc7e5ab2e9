"""Batches of a log (Kafka's message format 2) whose records are taken out of their bytes, some at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sie_online.ingest.headers import SlicedHeaders
from sie_online.ingest.log_format import (
    AFTER_LENGTH,
    AT,
    BATCH,
    BATCH_END,
    FULL,
    HEADER_BYTES,
    LENGTH_AT,
    SMALLEST_RECORD,
    UNSURE,
    enter,
    walk,
)
from sie_online.ingest.record_columns import RecordColumns


@dataclass(slots=True)
class Room:
    """What may be taken yet: so many records, and as many as it takes for their values to have ``n_bytes``."""

    records: int
    n_bytes: int

    @property
    def is_used_up(self) -> bool:
        """Whether there is none left."""
        return self.records <= 0 or self.n_bytes <= 0

    def use(self, records: int, n_bytes: int) -> None:
        """``records`` were taken, with ``n_bytes`` of values."""
        self.records -= records
        self.n_bytes -= n_bytes


class LogBatches:
    """The batches in ``buffer[first:end]``: whole, uncompressed, at rising offsets; one or more, of ``records``.

    Records below offset ``floor`` are passed over. Once a record is found that is not plain, it and those behind it in
    its batch are another parser's, and the batches behind that are another ``LogBatches``.
    """

    def __init__(self, buffer: bytes, first: int, end: int, records: int, floor: int) -> None:
        self._buffer, self._end, self._left = buffer, end, records
        self._array = np.frombuffer(buffer, np.uint8)
        self._place = np.empty(5, np.int64)
        self._why = FULL
        enter(self._array, first, floor, self._place)

    @property
    def has_more(self) -> bool:
        """Whether there may be another plain record."""
        return self._why == FULL

    @property
    def is_unsure(self) -> bool:
        """Whether something was found in ``batch`` that is not plain."""
        return self._why == UNSURE

    @property
    def batch(self) -> tuple[int, int]:
        """Where the present batch begins and ends."""
        return int(self._place[BATCH]), int(self._place[BATCH_END])

    def take(self, room: Room) -> RecordColumns:
        """The next records, as many as ``room`` allows."""
        first = int(self._place[AT])
        rows = max(0, min(self._left, room.records, (self._end - first) // SMALLEST_RECORD + 1))
        spans, numbers = np.empty((3, rows, 2), np.int64), np.empty((2, rows), np.int64)
        values, keys, offsets, stamps_ms, headers = spans[0], spans[1], numbers[0], numbers[1], spans[2]
        taken, n_bytes, n_headed, self._why = walk(
            self._array, self._end, self._place, room.n_bytes, values, keys, offsets, stamps_ms, headers
        )
        self._left -= taken
        room.use(taken, n_bytes)
        return RecordColumns(
            self._buffer,
            first,
            int(self._place[AT]),
            values[:taken],
            keys[:taken],
            offsets[:taken],
            stamps_ms[:taken],
            SlicedHeaders(self._buffer, headers[:taken]) if n_headed else {},
        )


def warm_up() -> None:
    """Compile the kernels, or load them from the cache."""
    LogBatches(bytes(HEADER_BYTES), 0, HEADER_BYTES, 0, 0).take(Room(1, 1))


def uncompressed(header: bytes, records: bytes) -> bytes:
    """The batch with this ``header`` as if its ``records`` had never been compressed."""
    length = HEADER_BYTES - AFTER_LENGTH + len(records)
    return b"".join((header[:LENGTH_AT], length.to_bytes(4, "big"), header[AFTER_LENGTH:HEADER_BYTES], records))
