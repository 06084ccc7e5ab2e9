"""Record batches as brokers send them: one that would decompress to too much is replaced before anything does it, and
one that cannot be read ends where that shows.

A batch of a megabyte may hold gigabytes. How much it holds at most is read off the compressed stream's own structure
(block headers; only long gzip streams, which have none, are decompressed, in small pieces that are thrown away). The
layout is Kafka's message format 2 ("RecordBatch"); brokers have kept no other since Kafka 3.0.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiokafka.record.util import calc_crc32c, encode_varint

from sie_online.ingest.record_columns import NO_TIMESTAMP
from sie_online.ingest.records import REFUSED_BATCH

# base offset, length, leader epoch, magic, checksum, attributes, last offset delta, first and newest timestamp,
# producer's id and epoch, first sequence number, records
HEADER = struct.Struct(">qiibIhiqqqhii")
LENGTH = struct.Struct(">qi")
AFTER_LENGTH = LENGTH.size
_CHECKSUM_AT, ATTRIBUTES_AT = 17, 21
CODEC, TRANSACTIONAL, CONTROL = 0x07, 0x10, 0x20
MAGIC = 2

_REPEATED, _COMPRESSED = 1, 2
"""Kinds of zstd blocks: one byte over and over; compressed."""

_U32 = struct.Struct("<I")
_BLOCK = 128 << 10
"""Most bytes of a zstd block."""


class _TornError(Exception):
    """The stream is none of its codec's."""


def bounded(record_set: bytes, limit: int) -> bytes:
    """``record_set`` (the batches that a fetch brought), with every batch that may hold over ``limit`` bytes replaced.

    In its place stands one record without key and value at the batch's last offset, with the header ``REFUSED_BATCH``:
    nothing else is lost, and the position moves behind it. The batch still belongs to its transaction. What is damaged
    (checksum, truncation) is left to the consumer, which refuses it.
    """
    parts, kept, at = [], 0, 0
    while at + HEADER.size <= len(record_set):
        end = at + AFTER_LENGTH + LENGTH.unpack_from(record_set, at)[1]
        if not at + HEADER.size <= end <= len(record_set):
            break
        is_compressed = record_set[at + ATTRIBUTES_AT + 1] & CODEC
        if is_compressed and _is_refused(memoryview(record_set)[at:end], limit):
            parts += [record_set[kept:at], _stand_in(record_set[at : at + HEADER.size])]
            kept = end
        at = end
    return b"".join([*parts, record_set[kept:]]) if parts else record_set


def _is_refused(batch: memoryview, limit: int) -> bool:
    magic, attributes = batch[16], batch[ATTRIBUTES_AT + 1]
    holds = _HOLDS.get(attributes & CODEC)
    if magic != MAGIC or holds is None:
        return False
    try:
        refused = holds(batch[HEADER.size :], limit) > limit
    except (_TornError, IndexError, struct.error, zlib.error):
        refused = True  # nothing can be told of it
    return refused and calc_crc32c(bytes(batch[ATTRIBUTES_AT:])) == struct.unpack_from(">I", batch, _CHECKSUM_AT)[0]


def _stand_in(header: bytes) -> bytes:
    base, _, epoch, magic, _, attributes, last, first_ms, newest_ms, *producer, count = HEADER.unpack(header)
    name, value = REFUSED_BATCH.encode(), f"{base} {count}".encode()
    record = bytearray(1)  # its attributes
    delta_ms = (newest_ms - first_ms + (1 << 63)) % (1 << 64) - (1 << 63)  # as 64 bits hold it, whatever was written
    for number in (delta_ms, last, -1, -1, 1, len(name)):
        encode_varint(number, record.append)
    record += name
    encode_varint(len(value), record.append)
    record += value
    records = bytearray()
    encode_varint(len(record), records.append)
    records += record
    length = HEADER.size - AFTER_LENGTH + len(records)
    attributes &= ~CODEC
    made = bytearray(
        HEADER.pack(base, length, epoch, magic, 0, attributes, last, first_ms, newest_ms, *producer, 1) + records
    )
    struct.pack_into(">I", made, _CHECKSUM_AT, calc_crc32c(bytes(made[ATTRIBUTES_AT:])))
    return bytes(made)


class ReadableBatches:
    """The batches of a fetch as aiokafka takes them (``MemoryRecords``), of which none can stop a reader.

    A broker passes on what it does not look into, such as a header's name that is no UTF-8. Where a batch cannot be
    read on, a record without key and value, with the header ``REFUSED_BATCH``, stands for the rest at its last offset.
    """

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def has_next(self) -> bool:
        """Whether there is another batch."""
        return bool(self._batches.has_next())

    def next_batch(self) -> Any:
        """The next batch; raises what aiokafka's does."""
        return ReadableBatch(self._batches.next_batch())


class ReadableBatch:
    """One batch; what is asked of it but its records is the batch's to answer."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        batch = self._batch
        last = batch.next_offset - 1
        at = getattr(batch, "base_offset", last)  # those of older formats say neither this nor when
        try:
            for record in batch:
                yield record
                at = record.offset + 1
        except Exception:  # noqa: BLE001 - whatever a codec or a parser makes of what others wrote
            why = f"{at} {last + 1 - at} 1".encode()
            stamp_ms = getattr(batch, "max_timestamp", NO_TIMESTAMP)
            yield Unread(offset=last, timestamp=stamp_ms, headers=[(REFUSED_BATCH, why)])


@dataclass(frozen=True)
class Unread:
    """A record, as aiokafka's batches give them, that stands for what could not be read."""

    offset: int
    timestamp: int
    headers: list[tuple[str, bytes]]
    timestamp_type: int = 0
    key: None = None
    value: None = None
    checksum: None = None


# -- most bytes that a compressed stream can hold; each may stop counting once that is over ``limit``


def _gzip(stream: memoryview, limit: int) -> int:
    """RFC 1952. Deflate's ratio is at most 1,032, so that short streams need no look."""
    if len(stream) * 1_032 <= limit:
        return len(stream) * 1_032
    total, rest = 0, bytes(stream)
    while rest and total <= limit:
        member = zlib.decompressobj(wbits=31)
        while not member.eof and total <= limit:
            piece = member.decompress(rest, _BLOCK)
            total, rest = total + len(piece), member.unconsumed_tail
            if not (piece or rest or member.eof):
                raise _TornError
        rest = member.unused_data.lstrip(b"\0")
    return total


def _snappy(stream: memoryview, limit: int) -> int:
    """Snappy's format description: every block begins with its length; xerial's framing puts several together."""
    if bytes(stream[:8]) != b"\x82SNAPPY\0":
        return _varint(stream, 0)
    total, at = 0, 16
    while at < len(stream) and total <= limit:
        (size,) = struct.unpack_from(">i", stream, at)
        if size < 1:
            raise _TornError
        total += _varint(stream, at + 4)
        at += 4 + size
    return total


def _framed(magic: int, frame: Callable[[memoryview, int], tuple[int, int]], stream: memoryview, limit: int) -> int:
    """Frames one after the other, those that are to be skipped among them; ``frame``: what the one at a place holds,
    and where it ends."""
    total, at = 0, 0
    while at < len(stream) and total <= limit:
        (found,) = _U32.unpack_from(stream, at)
        if found >> 4 == 0x184D2A5:
            at += 8 + int(_U32.unpack_from(stream, at + 4)[0])
            continue
        if found != magic:
            raise _TornError
        held, at = frame(stream, at + 4)
        total += held
    return total


def _lz4_frame(stream: memoryview, at: int) -> tuple[int, int]:
    """LZ4 frame format 1.6. A block holds at most what its frame says, and 255 times its own size."""
    flags, block_bytes = stream[at], 1 << (8 + 2 * max(4, stream[at + 1] >> 4 & 7))
    at += 3 + 8 * (flags >> 3 & 1) + 4 * (flags & 1)
    total = 0
    while size := _U32.unpack_from(stream, at)[0]:
        raw, size = size >> 31, size & 0x7FFF_FFFF
        total += size if raw else min(block_bytes, 255 * size)
        at += 4 + size + 4 * (flags >> 4 & 1)
    return total, at + 4 + 4 * (flags >> 2 & 1)


def _zstd_frame(stream: memoryview, at: int) -> tuple[int, int]:
    """RFC 8878. A block holds what its header says or, where it is compressed, at most 128 kB."""
    descriptor = stream[at]
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    size_bytes = (single, 2, 4, 8)[descriptor >> 6]
    at += 1 + (1 - single) + (0, 1, 2, 4)[descriptor & 3] + size_bytes
    total = last = 0
    while not last:
        block = stream[at] | stream[at + 1] << 8 | stream[at + 2] << 16
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        total += size if kind < _COMPRESSED else _BLOCK
        at += 3 + (1 if kind == _REPEATED else size)
    return total, at + 4 * checksum


_lz4 = partial(_framed, 0x184D2204, _lz4_frame)
_zstd = partial(_framed, 0xFD2FB528, _zstd_frame)


def _varint(stream: memoryview, at: int) -> int:
    value = 0
    for shift in range(0, 35, 7):
        byte = stream[at + shift // 7]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
    raise _TornError


_HOLDS: dict[int, Callable[[memoryview, int], int]] = {1: _gzip, 2: _snappy, 3: _lz4, 4: _zstd}
"""By the codec's number in a batch's attributes."""
