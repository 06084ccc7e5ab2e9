"""No batch is decompressed that may hold more than it is allowed to; all others pass untouched."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from typing import Any

import cramjam
import pytest
from aiokafka import TopicPartition, codec
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from hypothesis import given
from hypothesis import strategies as st

from sie_online.client import batches
from sie_online.client.batches import ReadableBatches, bounded
from sie_online.ingest.records import REFUSED_BATCH

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
LIMIT = 1 << 20
BASE = 1_000
PLACE = TopicPartition("t", 0)


def made(
    values: list[bytes], kind: int = 0, *, base: int = BASE, transactional: bool = False, producer: int = -1
) -> bytes:
    """One batch, as a broker keeps it."""
    builder = DefaultRecordBatchBuilder(2, kind, int(transactional), producer, 0, 0, 1 << 30)
    for number, value in enumerate(values):
        builder.append(number, 1_700_000_000_000 + number, None, value, [])
    batch = bytearray(builder.build())
    struct.pack_into(">q", batch, 0, base)
    return bytes(batch)


def read(record_set: bytes) -> list[Any]:
    """The batches in it, with their records."""
    records, found = MemoryRecords(record_set), []
    while records.has_next():
        batch = records.next_batch()
        assert batch is not None
        assert batch.validate_crc()
        found.append((batch, list(batch)))
    return found


def streamed(compressor: Any, data: bytes) -> bytes:
    """As Java's producers compress: piece by piece, so that no frame says how much it holds."""
    for at in range(0, len(data), 10_000):
        compressor.compress(data[at : at + 10_000])
    return bytes(compressor.finish())


def several_members(data: bytes) -> bytes:
    """Gzip in two members: the end of the stream says nothing of the first."""
    return gzip.compress(data) + gzip.compress(b"")


STREAMS: dict[str, tuple[Callable[[memoryview, int], int], Callable[[bytes], bytes]]] = {
    "gzip": (batches._gzip, codec.gzip_encode),
    "gzip, two members": (batches._gzip, several_members),
    "snappy, xerial": (batches._snappy, codec.snappy_encode),
    "snappy, raw": (batches._snappy, lambda data: codec.snappy_encode(data, xerial_compatible=False)),
    "lz4": (batches._lz4, codec.lz4_encode),
    "lz4, streamed": (batches._lz4, lambda data: streamed(cramjam.lz4.Compressor(), data)),
    "zstd": (batches._zstd, codec.zstd_encode),
    "zstd, streamed": (batches._zstd, lambda data: streamed(cramjam.zstd.Compressor(), data)),
}

contents = st.builds(
    lambda seed, times: seed * times, st.binary(min_size=1, max_size=300), st.integers(1, 20_000)
) | st.binary(max_size=3_000)


@pytest.mark.parametrize("name", STREAMS)
@given(data=contents)
def test_no_stream_holds_more_than_is_read_off_it(name: str, data: bytes) -> None:
    holds, encode = STREAMS[name]
    bound = holds(memoryview(encode(data)), 1 << 40)
    assert len(data) <= bound
    if not name.startswith("gzip"):
        assert bound <= 2 * len(data) + (256 << 10), "whoever compresses well is not taken for a bomb"


@pytest.mark.parametrize("kind", [0, GZIP, SNAPPY, LZ4, ZSTD])
def test_what_is_within_the_limit_passes_untouched(kind: int) -> None:
    record_set = made([b"a" * 100_000] * 5, kind) + made([b"b"], base=BASE + 5)
    assert bounded(record_set, LIMIT) is record_set


@pytest.mark.parametrize("kind", [GZIP, SNAPPY, LZ4, ZSTD])
def test_an_oversize_batch_becomes_one_record_at_its_last_offset_and_nothing_else_changes(kind: int) -> None:
    good = [made([b"a"], base=BASE - 1), made([b"c", b"d"], kind, base=BASE + 3)]
    bomb = made([b"x", bytes(3 * LIMIT), b"y"], kind, transactional=True, producer=77)
    assert len(bomb) < LIMIT
    before, (batch, records), after = read(bounded(good[0] + bomb + good[1], LIMIT))

    assert [record.value for record in before[1] + after[1]] == [b"a", b"c", b"d"]
    (stand_in,) = records
    assert (stand_in.offset, stand_in.key, stand_in.value) == (BASE + 2, None, None)
    assert stand_in.timestamp == 1_700_000_000_002
    assert stand_in.headers == [(REFUSED_BATCH, b"1000 3")]
    assert (batch.base_offset, batch.next_offset) == (BASE, BASE + 3), "the position moves behind all of it"
    assert (batch.is_transactional, batch.producer_id) == (True, 77), "what is aborted stays aborted"


def test_a_record_that_is_large_but_not_compressed_passes() -> None:
    record_set = made([bytes(2 * LIMIT)])
    assert bounded(record_set, LIMIT) is record_set


@pytest.mark.parametrize("kind", [GZIP, SNAPPY, LZ4, ZSTD])
@given(data=st.data())
def test_damage_is_left_to_the_consumer_which_sees_it(kind: int, data: st.DataObject) -> None:
    batch = bytearray(made([bytes(2 * LIMIT)], kind))
    at = data.draw(st.integers(21, len(batch) - 1))
    batch[at] ^= data.draw(st.integers(1, 255))
    assert bounded(bytes(batch), LIMIT) == bytes(batch)
    cut = bytes(batch)[: data.draw(st.integers(0, len(batch) - 1))]
    assert bounded(cut, LIMIT) == cut


@pytest.mark.parametrize("kind", [GZIP, SNAPPY, LZ4, ZSTD])
def test_a_stream_of_which_nothing_can_be_told_is_refused(kind: int) -> None:
    batch = bytearray(made([b"a"] * 40, kind))[:61] + b"\xff" * 2_000
    struct.pack_into(">i", batch, 8, len(batch) - 12)
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
    ((_, (record,)),) = read(bounded(bytes(batch), LIMIT))
    assert record.headers == [(REFUSED_BATCH, b"1000 40")]


def _with_a_bad_header(record_set: bytes) -> bytes:
    """A batch whose header ``bad-name`` is no UTF-8, under a valid checksum."""
    broken = bytearray(record_set.replace(b"bad-name", b"\xffad-name"))
    struct.pack_into(">I", broken, 17, calc_crc32c(bytes(broken[21:])))
    return bytes(broken)


def _iterated(record_set: bytes) -> list[Any]:
    """What aiokafka's consumer makes of ``record_set``."""
    return list(PartitionRecords(PLACE, ReadableBatches(MemoryRecords(record_set)), [], 0, None, None, True, 0))


def test_a_batch_that_cannot_be_read_ends_where_that_shows_and_stops_nobody() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1 << 20)
    for number in range(5):
        headers = [("bad-name", b"x")] if number == 2 else []
        builder.append(number, 1_700_000_000_000 + number, b"key", b"value", headers)
    found = _iterated(_with_a_bad_header(bytes(builder.build())) + made([b"next"], base=5))

    assert [(one.offset, one.value) for one in found] == [(0, b"value"), (1, b"value"), (4, None), (5, b"next")]
    assert found[2].headers == ((REFUSED_BATCH, b"2 3 1"),)
    assert found[2].timestamp == 1_700_000_000_004


def test_readable_batches_are_read_as_ever() -> None:
    record_set = made([b"a", b"b"], base=0) + made([b"c"], base=2)
    plain = list(PartitionRecords(PLACE, MemoryRecords(record_set), [], 0, None, None, True, 0))
    assert _iterated(record_set) == plain
