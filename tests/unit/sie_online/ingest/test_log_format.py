"""Whatever the bytes of a batch say, the walk stays within them; and memory within their size."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.ingest import log_format
from sie_online.ingest.log_batch import LogBatches, Room
from sie_online.ingest.records import LogRecord
from tests.support.log_records import ATTRIBUTES, COUNT, batch

T = 1_700_000_000_000
HEADS = (("traceparent", b"00-4bf9-01"), ("empty", b""))


def records(n: int, base: int = 0) -> list[LogRecord]:
    """Plain ones, and a last one with headers."""
    plain = [LogRecord(base + at, T + at, b"u%d" % at, b"{value %d}" % at * 9) for at in range(n)]
    return [*plain, LogRecord(base + n, T, None, b"v", HEADS)]


class Fenced:
    """Bytes of which none may be read but those of batches."""

    def __init__(self, data: bytes, first: int, last: int) -> None:
        self._data, self._first, self._last = data, first, last

    def __getitem__(self, at: int) -> int:
        assert self._first <= at < self._last
        return self._data[at]


def columns(rows: int) -> list[Any]:
    """Values, keys, offsets, timestamps and headers to be written."""
    spans, numbers = np.full((3, rows, 2), -7), np.full((2, rows), -7)
    return [spans[0], spans[1], numbers[0], numbers[1], spans[2]]


def broken(rng: random.Random, data: bytes) -> bytes:
    """A batch of which some bytes behind the lengths are others."""
    found = bytearray(data)
    for _ in range(rng.randrange(4)):
        found[rng.randrange(ATTRIBUTES, len(found))] = rng.choice((0, 1, 0x7E, 0x7F, 0x80, 0xFF))
    return bytes(found)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=200, deadline=None)
def test_nothing_outside_the_batches_is_ever_read(seed: int) -> None:
    rng = random.Random(seed)
    body = broken(rng, batch(records(rng.randrange(6)))) + broken(rng, batch(records(2, 10), base=10))
    data, first, last = rng.randbytes(40) + body + rng.randbytes(40), 40, 40 + len(body)
    plain, compiled, place = columns(20), columns(20), np.zeros(5, np.int64)
    log_format.enter(np.frombuffer(data, np.uint8), first, 0, place)
    its_place = place.copy()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("enter", "_record", "_varint", "_after_headers", "_number", "_note"):
            patch.setattr(log_format, name, getattr(log_format, name).py_func)
        walk: Any = getattr(log_format.walk, "py_func")  # noqa: B009 - mypy sees the function itself
        expected = walk(Fenced(data, first, last), last, its_place, 1 << 40, *plain)
    assert log_format.walk(np.frombuffer(data, np.uint8), last, place, 1 << 40, *compiled) == expected
    assert place.tolist() == its_place.tolist()
    for one, other in zip(plain, compiled, strict=True):
        assert one.tolist() == other.tolist()
    for spans in (plain[0], plain[1], plain[4]):
        found = spans[: expected[0]]
        assert ((found == -1).all(axis=1) | ((first <= found[:, 0]) & (found[:, 0] <= found[:, 1]))).all()
        assert (found <= last).all()


def test_a_count_of_records_that_is_too_large_costs_no_memory() -> None:
    data = batch(records(2))
    data = data[:COUNT] + b"\x7f\xff\xff\xff" + data[COUNT + 4 :]
    log = LogBatches(data, 0, len(data), (1 << 31) - 1, 0)
    found = log.take(Room(1 << 40, 1 << 40))
    assert len(found) == 3
    assert log.is_unsure
    assert found.values.base is not None
    assert found.values.base.nbytes < 100 * len(data)
