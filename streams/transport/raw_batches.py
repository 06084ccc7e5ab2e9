"""A fetch's records as columns over the fetched bytes themselves, taken through aiokafka's own bookkeeping.

aiokafka's ``PartitionRecords`` keeps deciding what is read at all (checksums, aborted transactions, markers) and where
the position is. Batches that need no such decision reach it as if they were one, and what it yields of them are
columns. Whatever is not plain (``sie_online.ingest.log_format``), and every batch of an older format, comes as
aiokafka's own records.
"""

from __future__ import annotations

import struct
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.consumer.fetcher import READ_COMMITTED
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from sie_online.client.batches import (
    AFTER_LENGTH,
    ATTRIBUTES_AT,
    CODEC,
    CONTROL,
    HEADER,
    LENGTH,
    MAGIC,
    TRANSACTIONAL,
    ReadableBatch,
)
from sie_online.client.consumer import PatientConsumer
from sie_online.ingest.log_batch import LogBatches, Room, uncompressed
from sie_online.ingest.record_columns import RecordColumns, joined

DECODERS: dict[int, Callable[[bytes], bytes]] = {1: gzip_decode, 2: snappy_decode, 3: lz4_decode, 4: zstd_decode}
"""By the codec's number in a batch's attributes."""


_OFFSETS = struct.Struct(">qiibIhi")
"""A batch's header up to its last offset, which is told relative to its first."""


class RawConsumer(PatientConsumer):
    """A consumer whose fetcher gives, per partition, ``RecordColumns`` instead of a list of records."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._record_sets: dict[TopicPartition, bytes] = {}
        super().__init__(*args, **options)

    def _received(self, place: TopicPartition, record_set: bytes) -> bytes:
        self._record_sets[place] = record_set = super()._received(place, record_set)
        return record_set

    def _taking(self, result: Any) -> partial[Any]:
        """Nothing is awaited between an answer's arrival and here: its are the record sets received last."""
        return taking(result, self._record_sets.pop(result._topic_partition), self._drain_bytes)


def taking(result: Any, record_set: bytes, most_bytes: int) -> partial[Any]:
    """How columns are taken from ``result``, a new ``FetchResult`` of ``record_set``."""
    records = result._partition_records
    records._records = RawBatches(records, record_set)
    records._consumer_record = _as_it_is
    return partial(_taken, result, most_bytes)


def _taken(result: Any, most_bytes: int, max_records: int | None = None) -> RecordColumns | tuple[()]:
    """What a ``FetchResult`` whose batches are ``RawBatches`` has next: as many as ``_drained`` gives elsewhere."""
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return ()
    records = result._partition_records
    room = records._records.room
    room.records, room.n_bytes = sys.maxsize if max_records is None else max_records, most_bytes
    parts = []
    for part in records:
        parts.append(part)
        if not isinstance(part, RecordColumns):
            room.use(1, len(part.value or b""))
        if room.is_used_up:
            break
    result._update_position()
    if not room.is_used_up:
        result._partition_records = None
    return joined(list(_as_columns(parts))) if parts else ()


def _as_columns(parts: list[Any]) -> Iterator[RecordColumns]:
    for are_columns, group in groupby(parts, lambda part: isinstance(part, RecordColumns)):
        if are_columns:
            yield from group
        else:
            yield RecordColumns.of(group)


def _as_it_is(_place: TopicPartition, record: Any) -> Any:
    return record


class RawBatches:
    """The batches of ``record_set``, just fetched, as ``records`` (a ``PartitionRecords``) takes them.

    Of their records, as many are given as there is ``room`` for.
    """

    def __init__(self, records: Any, record_set: bytes) -> None:
        self._records = weakref.proxy(records)  # which holds this: a circle would keep the bytes for a while
        self._record_set, self._view = record_set, memoryview(record_set)
        self._at, self._plain = 0, _Stretch(0, 0)
        self.room = Room(0, 0)

    @property
    def position(self) -> int:
        """Records below this offset are not wanted."""
        return int(self._records.next_fetch_offset)

    def has_next(self) -> bool:
        """Whether there is another batch, whole."""
        left = len(self._record_set) - self._at
        return left >= AFTER_LENGTH and left >= AFTER_LENGTH + self._length()

    def next_batch(self) -> Any:
        """The next batch, or several as if they were one; raises what aiokafka's does."""
        first = self._at
        if first >= self._plain.end:
            self._plain = self._plain_from(first)
        if first < self._plain.end:
            return _PlainBatches(self, self._record_set, first, self._plain)
        self._at += AFTER_LENGTH + max(0, self._length())
        return _Batch(self, self._record_set[first : self._at])

    def read_on_from(self, at: int) -> None:
        """What comes before was given."""
        self._at = at

    def _length(self) -> int:
        return int(LENGTH.unpack_from(self._record_set, self._at)[1])

    def _plain_from(self, first: int) -> _Stretch:
        """The batches from ``first`` on that need nothing of aiokafka but their checksum, which is checked here."""
        others = CODEC | CONTROL | (TRANSACTIONAL if self._may_be_aborted() else 0)
        at, n_records, floor = first, 0, self.position
        while at + HEADER.size <= len(self._record_set):
            base, length, _, magic, checksum, attributes, last, *_, count = HEADER.unpack_from(self._record_set, at)
            end = at + AFTER_LENGTH + length
            if magic != MAGIC or attributes & others or not at + HEADER.size <= end <= len(self._record_set):
                break
            follows = base >= floor or (at == first and base + last >= floor)  # a fetch may begin within a batch
            if not (follows and last >= 0 and calc_crc32c(self._view[at + ATTRIBUTES_AT : end]) == checksum):
                break
            at, n_records, floor = end, n_records + max(0, count), base + last + 1
        return _Stretch(at, n_records)

    def _may_be_aborted(self) -> bool:
        """Whether a transaction in this fetch is, for all that is known."""
        records = self._records
        is_known = records._aborted_transactions or records._aborted_producers
        return bool(is_known) and records._isolation_level == READ_COMMITTED


class _Stretch(NamedTuple):
    """Plain batches up to a place in a record set, and how many records they have together."""

    end: int
    n_records: int


class _PlainBatches:
    """Plain batches as one batch: up to the first in which a record is not, or to the end of the stretch."""

    producer_id = None
    is_control_batch = False

    def __init__(self, batches: RawBatches, record_set: bytes, first: int, stretch: _Stretch) -> None:
        self._batches, self._record_set = batches, record_set
        self._log = LogBatches(record_set, first, *stretch, batches.position)

    def validate_crc(self) -> bool:
        """They were."""
        return True

    @property
    def next_offset(self) -> int:
        """Behind the batch that was read last."""
        base, *_, last = _OFFSETS.unpack_from(self._record_set, self._log.batch[0])
        return int(base + last + 1)

    def __iter__(self) -> Iterator[Any]:
        yield from _columns(self._log, self._batches.room)
        first, end = self._log.batch
        if self._log.is_unsure:
            yield from ReadableBatch(MemoryRecords(self._record_set[first:end]).next_batch())
        self._batches.read_on_from(end)


class _Batch(ReadableBatch):
    """A batch of which aiokafka decides whether it is read: as columns where it is plain once it is decompressed."""

    def __init__(self, batches: RawBatches, data: bytes) -> None:
        super().__init__(MemoryRecords(data).next_batch())
        self._batches, self._data = batches, data

    def __iter__(self) -> Iterator[Any]:
        log = _decompressed(self._data, self._batches.position)
        if log is not None:
            yield from _columns(log, self._batches.room)
        if log is None or log.is_unsure:
            yield from super().__iter__()


def _columns(log: LogBatches, room: Room) -> Iterator[RecordColumns]:
    while log.has_more:
        if len(found := log.take(room)):
            yield found


def _decompressed(data: bytes, floor: int) -> LogBatches | None:
    """The batch that ``data`` is; None if it is of an older format or no stream of its codec."""
    if len(data) < HEADER.size:
        return None
    _, _, _, magic, _, attributes, *_, count = HEADER.unpack_from(data)
    if magic != MAGIC:
        return None
    if codec := attributes & CODEC:
        try:
            data = uncompressed(data, DECODERS[codec](data[HEADER.size :]))
        except Exception:  # noqa: BLE001 - aiokafka meets it again, and says what becomes of the batch
            return None
    return LogBatches(data, 0, len(data), count, floor)
