"""Columns that are put together are those of all their parts, headers included, wherever these lie."""

from __future__ import annotations

import pytest

from sie_online.ingest.headers import HeadersByRow, SlicedHeaders, encoded
from sie_online.ingest.log_batch import LogBatches, Room
from sie_online.ingest.record_columns import RecordColumns, joined
from sie_online.ingest.records import LogRecord
from tests.support.log_records import batch

T = 1_700_000_000_000


def headers_of(at: int) -> tuple[tuple[str, bytes], ...]:
    """Every third record has none."""
    return (("content-type", b"application/json"), ("at", b"%d" % at)) if at % 3 else ()


def log(first: int, n: int) -> list[LogRecord]:
    return [
        LogRecord(first + at, T, b"u%d" % at, b"value %d" % (first + at), headers_of(first + at)) for at in range(n)
    ]


def parts(first: int, n: int, at_a_time: int) -> list[RecordColumns]:
    """The columns of a batch in a buffer of its own, taken some at a time."""
    buffer = batch(log(first, n), base=first)
    batches, found = LogBatches(buffer, 0, len(buffer), n, 0), []
    while batches.has_more and sum(map(len, found)) < n:
        found.append(batches.take(Room(at_a_time, 1 << 20)))
    return found


def said(columns: RecordColumns) -> list[tuple[int, bytes, tuple[tuple[str, bytes], ...]]]:
    """Offset, value and headers of every record."""
    headers = HeadersByRow(columns.headers)
    return [
        (offset, columns.buffer[first:last], tuple(headers.get(row, ())))
        for row, (offset, (first, last)) in enumerate(
            zip(columns.offsets.tolist(), columns.values.tolist(), strict=True)
        )
    ]


def expected(records: list[LogRecord]) -> list[tuple[int, bytes | None, tuple[tuple[str, bytes], ...]]]:
    return [(record.offset, record.value, tuple(record.headers)) for record in records]


@pytest.mark.parametrize("at_a_time", [1, 4, 40])
@pytest.mark.parametrize("kept", [slice(None), slice(0, 1), slice(-1, None)])
def test_headers_stay_with_their_records(at_a_time: int, kept: slice) -> None:
    found = [*parts(0, 20, at_a_time)[kept], *parts(20, 9, at_a_time)[kept]]
    before = [one for part in found for one in said(part)]
    assert said(joined(found)) == before
    if kept == slice(None):
        assert before == expected(log(0, 29))


def test_a_part_of_a_large_buffer_lets_go_of_it_with_its_headers() -> None:
    (first, *_) = parts(0, 60, 5)
    small = joined([first])
    assert len(small.buffer) * 2 < len(first.buffer)
    assert isinstance(small.headers, SlicedHeaders)
    assert said(small) == expected(log(0, 5))


def test_records_laid_out_one_by_one_are_joined_with_those_of_a_batch() -> None:
    found = [*parts(0, 5, 5), RecordColumns.of(log(5, 4))]
    assert said(joined(found)) == expected(log(0, 9))


def test_rows_without_headers_have_none() -> None:
    (columns,) = parts(0, 4, 10)
    assert isinstance(columns.headers, SlicedHeaders)
    assert sorted(columns.headers) == [1, 2]
    assert len(columns.headers) == 2
    for row in (-1, 0, 3, 4):
        assert row not in columns.headers


def test_encoded_headers_are_read_back() -> None:
    headers = (("é", b""), ("long", b"x" * 9_000), ("a" * 64, b"\x00"))
    assert HeadersByRow({7: encoded(headers)})[7] == headers
    assert encoded(()) == b"\x00"
