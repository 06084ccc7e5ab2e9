"""Record sets as brokers keep them, and the two ways of taking records out: by objects, and as columns."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED, FetchResult, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from sie_online.client.batches import ReadableBatches
from sie_online.client.consumer import _drained
from sie_online.ingest.record_columns import RecordColumns
from sie_online.ingest.records import LogRecord, RecordBatch
from streams.transport.raw_batches import taking

PLACE = TopicPartition("t", 0)
CODECS = NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
STAMPED, TRANSACTIONAL, CONTROL = 0x08, 0x10, 0x20
ABORT, COMMIT = 0, 1
CHECKSUM, ATTRIBUTES, LAST_DELTA, COUNT = 17, 21, 23, 57
"""Where these lie in a batch."""


def batch(
    records: Sequence[LogRecord],
    codec: int = NONE,
    *,
    base: int = 0,
    last: int | None = None,
    attributes: int = 0,
    producer: int = -1,
) -> bytes:
    """A batch of message format 2 that begins at offset ``base`` and ends at ``last``; records need not be in order."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, producer, 0, 0, 1 << 30)
    for record in records:
        headers = [(name, value) for name, value in record.headers]
        builder.append(record.offset - base, record.timestamp, record.key, record.value, headers)
    made = bytearray(builder.build())
    struct.pack_into(">q", made, 0, base)
    (kept,) = struct.unpack_from(">h", made, ATTRIBUTES)
    struct.pack_into(">h", made, ATTRIBUTES, kept | attributes)
    if last is not None:
        struct.pack_into(">i", made, LAST_DELTA, last - base)
    return sealed(made)


def marker(kind: int, offset: int, producer: int) -> bytes:
    """What ends a transaction: a batch of its own."""
    record = LogRecord(offset, 0, struct.pack(">hh", 0, kind), struct.pack(">hi", 0, 0))
    return batch([record], base=offset, attributes=TRANSACTIONAL | CONTROL, producer=producer)


def old_batch(records: Sequence[LogRecord], magic: int, codec: int = NONE) -> bytes:
    """Message format 0 or 1; ``records`` at consecutive offsets."""
    builder = LegacyRecordBatchBuilder(magic, codec, 1 << 30)
    for at, record in enumerate(records):
        builder.append(at, record.timestamp, record.key, record.value)
    return bytes(builder.build())


def sealed(changed: bytes | bytearray) -> bytes:
    """One batch with its length and its checksum made right."""
    made = bytearray(changed)
    struct.pack_into(">i", made, 8, len(made) - 12)
    struct.pack_into(">I", made, CHECKSUM, calc_crc32c(bytes(made[ATTRIBUTES:])))
    return bytes(made)


class Fetched(NamedTuple):
    """What a fetch from offset ``position`` brought, and how it is read."""

    record_set: bytes
    position: int = 0
    aborted: Sequence[tuple[int, int]] = ()
    committed: bool = True
    most_records: int = 1 << 20
    most_bytes: int = 1 << 30


class Taken(NamedTuple):
    """What was taken at a time, and the position then."""

    end: int
    offsets: list[int]
    timestamps_ms: list[int]
    values: list[bytes | None]
    keys: list[bytes | None]
    headers: dict[int, Any]


def by_objects(fetched: Fetched) -> Iterator[Taken | str]:
    """As any consumer: aiokafka's records, laid out afterwards. An error comes by its name, and is the end."""
    result = fetch_result(fetched)
    records = result._partition_records
    records._records = ReadableBatches(records._records)
    take = partial(_drained, result, fetched.most_bytes)
    yield from _all(result, lambda: RecordColumns.of(take(fetched.most_records)))


def as_columns(fetched: Fetched) -> Iterator[Taken | str]:
    """As the worker."""
    result = fetch_result(fetched)
    take = taking(result, fetched.record_set, fetched.most_bytes)
    yield from _all(result, lambda: take(fetched.most_records) or RecordColumns.of(()))


def fetch_result(fetched: Fetched) -> Any:
    """As aiokafka's fetcher makes it of an answer."""
    state = SimpleNamespace(paused=False, position=fetched.position)
    state.consumed_to = partial(setattr, state, "position")
    assignment = SimpleNamespace(active=True, state_value=lambda _: state)
    isolation = READ_COMMITTED if fetched.committed else READ_UNCOMMITTED
    memory = MemoryRecords(fetched.record_set)
    records = PartitionRecords(PLACE, memory, list(fetched.aborted), fetched.position, None, None, True, isolation)
    return FetchResult(PLACE, assignment=assignment, partition_records=records, backoff=0)


def _all(result: Any, take: Callable[[], RecordColumns]) -> Iterator[Taken | str]:
    while result.has_more():
        try:
            columns = take()
        except Exception as error:  # noqa: BLE001 - brokers' own batches, damaged, are aiokafka's to fail at
            yield type(error).__name__
            return
        end = result._assignment.state_value(PLACE).position
        found = RecordBatch.over(columns, topic="t", partition=0, epoch=0, start=0, end=end)
        rows = range(len(found))
        yield Taken(
            end,
            found.offsets.tolist(),
            found.timestamps_ms.tolist(),
            [found.value(row) for row in rows],
            [found.key(row) for row in rows],
            dict(found.headers),
        )
