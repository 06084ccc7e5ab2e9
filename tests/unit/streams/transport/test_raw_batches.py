"""Columns over a fetch's own bytes are what aiokafka's records would have been, whatever a log holds."""

from __future__ import annotations

import random
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.client.batches import bounded
from sie_online.ingest.record_columns import NO_TIMESTAMP, RecordColumns
from sie_online.ingest.records import REFUSED_BATCH, LogRecord
from streams.transport.raw_batches import RawConsumer, taking
from tests.support.log_records import (
    ABORT,
    CODECS,
    COMMIT,
    COUNT,
    GZIP,
    LZ4,
    NONE,
    PLACE,
    SNAPPY,
    STAMPED,
    TRANSACTIONAL,
    Fetched,
    Taken,
    as_columns,
    batch,
    by_objects,
    fetch_result,
    marker,
    old_batch,
    sealed,
)

T = 1_700_000_000_000
HEADS = (("traceparent", b"00-4bf9-01"), ("empty", b""))


def records(n: int, base: int = 0, step: int = 1) -> list[LogRecord]:
    """Plain ones."""
    return [LogRecord(base + step * at, T + at, b"u%d" % at, b"{value %d}" % at * 9) for at in range(n)]


def moved(record: LogRecord, by: int) -> LogRecord:
    """``record`` so much further on."""
    return record._replace(offset=record.offset + by)


def same(fetched: Fetched) -> list[Taken | str]:
    """What is taken as columns, which is what comes by objects."""
    found = list(as_columns(fetched))
    assert found == list(by_objects(fetched))
    return found


def offsets(found: list[Taken | str]) -> list[list[int]]:
    """Of all that was taken."""
    return [taken.offsets for taken in found if isinstance(taken, Taken)]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("attributes", [0, STAMPED])
def test_plain_batches_of_every_codec_never_become_objects(
    codec: int, attributes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = b"".join(batch(records(50, base), codec, base=base, attributes=attributes) for base in (0, 50, 100))
    fetched = Fetched(log)
    expected = list(by_objects(fetched))
    monkeypatch.setattr("streams.transport.raw_batches.RecordColumns.of", None)
    (found,) = as_columns(fetched)
    assert [found] == expected
    assert isinstance(found, Taken)
    assert (found.end, found.offsets) == (150, list(range(150)))


def _columns(fetched: Fetched) -> RecordColumns:
    columns: RecordColumns = taking(fetch_result(fetched), fetched.record_set, fetched.most_bytes)(fetched.most_records)
    return columns


def test_a_fetch_is_not_copied_and_a_small_part_of_one_does_not_hold_all_of_it() -> None:
    log = batch(records(50)) + batch(records(50, 50), base=50)
    assert _columns(Fetched(log)).buffer is log
    few = _columns(Fetched(log, most_records=10))
    assert len(few) == 10
    assert len(few.buffer) < len(log) / 5


def test_what_is_not_plain_leaves_the_rest_of_its_batch_to_aiokafka_and_no_more() -> None:
    bad = [*records(3), LogRecord(3, T, None, b"x", (("näme", b""),)), LogRecord(4, T, None, b"y")]
    (found,) = same(Fetched(batch(records(2)) + batch([moved(each, 2) for each in bad], base=2)))
    assert isinstance(found, Taken)
    assert found.offsets == list(range(7))
    assert found.headers == {5: (("näme", b""),)}


@pytest.mark.parametrize("codec", CODECS)
def test_headers_and_nulls_are_kept(codec: int) -> None:
    rows = [
        LogRecord(0, T, None, b"v", HEADS),
        LogRecord(1, T, b"k", None),
        LogRecord(2, T, b"", b"", (("nothing", None),)),  # type: ignore[arg-type]  # Kafka knows null ones
        LogRecord(3, T, None, None),
    ]
    log = batch(rows, codec) + batch([moved(each, 4) for each in rows], codec, base=4)
    for most_records in (1, 3, 100):
        found = same(Fetched(log, most_records=most_records))
        assert isinstance(found[0], Taken)
        assert found[0].headers[0] == HEADS


@pytest.mark.parametrize(("magic", "codec"), [(0, NONE), (0, GZIP), (0, SNAPPY), (1, NONE), (1, GZIP), (1, LZ4)])
def test_older_formats_are_read(magic: int, codec: int) -> None:
    stamps = [None if magic == 0 else T + at for at in range(20)]
    rows = [each._replace(timestamp=stamp) for each, stamp in zip(records(20), stamps, strict=True)]  # type: ignore[arg-type]
    found = same(Fetched(old_batch(rows, magic, codec), position=3 if codec else 0))
    assert list(chain(*offsets(found))) == list(range(3 if codec else 0, 20))
    assert isinstance(found[-1], Taken)
    assert found[-1].timestamps_ms[-1] == (NO_TIMESTAMP if magic == 0 else T + 19)


def test_formats_may_change_within_a_fetch() -> None:
    """aiokafka's own reader takes all of a fetch for what its first batch is."""
    log = old_batch(records(5), 1, GZIP) + batch(records(5, 5), base=5)
    assert offsets(list(as_columns(Fetched(log)))) == [list(range(10))]


def transactions(codec: int) -> bytes:
    """Of producers 7 and 8: aborted, committed, and one that began in between; plain records among them."""
    return b"".join(
        [
            batch(records(4), codec, attributes=TRANSACTIONAL, producer=7),
            batch(records(3, 4), codec, base=4, attributes=TRANSACTIONAL, producer=8),
            batch(records(2, 7), codec, base=7),
            marker(ABORT, 9, 7),
            batch(records(4, 10), codec, base=10, attributes=TRANSACTIONAL, producer=7),
            marker(COMMIT, 14, 8),
            marker(COMMIT, 15, 7),
        ]
    )


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("most_records", [1, 2, 5, 100])
def test_aborted_transactions_and_markers_are_passed(codec: int, most_records: int) -> None:
    fetched = Fetched(transactions(codec), aborted=[(7, 0)], most_records=most_records)
    found = same(fetched)
    assert list(chain(*offsets(found))) == [4, 5, 6, 7, 8, 10, 11, 12, 13]
    assert isinstance(found[-1], Taken)
    assert found[-1].end == 16
    everything = same(fetched._replace(committed=False))
    assert list(chain(*offsets(everything))) == [at for at in range(14) if at != 9]


def test_a_fetch_of_markers_alone_moves_the_position() -> None:
    assert same(Fetched(marker(ABORT, 5, 7) + marker(COMMIT, 6, 8), position=5)) == [Taken(7, [], [], [], [], {})]


@pytest.mark.parametrize("codec", CODECS)
def test_compaction_leaves_gaps_and_empty_batches(codec: int) -> None:
    log = batch(records(5, 10, step=3), codec, base=7, last=40) + batch([], base=41, last=50)
    assert [each.end for each in same(Fetched(log, position=7)) if isinstance(each, Taken)] == [51]


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("position", range(6))
def test_a_fetch_may_begin_in_the_middle_of_a_batch(codec: int, position: int) -> None:
    log = batch(records(6), codec) + batch(records(6, 6), codec, base=6)
    found = same(Fetched(log, position=position))
    assert list(chain(*offsets(found))) == list(range(position, 12))


@pytest.mark.parametrize("cut", [1, 30, 61, 62, 200])
def test_the_last_batch_of_a_fetch_may_be_torn(cut: int) -> None:
    whole, torn = batch(records(6)), batch(records(9, 6), base=6)
    found = same(Fetched(whole + torn[:-cut]))
    assert offsets(found) == [list(range(6))]


@pytest.mark.parametrize("codec", CODECS)
@given(most_records=st.integers(1, 40), most_bytes=st.integers(1, 3_000))
@settings(max_examples=20)
def test_no_more_is_taken_at_a_time_than_is_allowed(codec: int, most_records: int, most_bytes: int) -> None:
    log = b"".join(batch(records(25, base), codec, base=base) for base in (0, 25, 50))
    found = same(Fetched(log, most_records=most_records, most_bytes=most_bytes))
    assert list(chain(*offsets(found))) == list(range(75))
    for each in found:
        assert isinstance(each, Taken)
        assert len(each.offsets) <= most_records
        assert sum(len(value or b"") for value in each.values[:-1]) < most_bytes


def test_a_damaged_batch_ends_in_the_same_error() -> None:
    log = bytearray(batch(records(5)) + batch(records(5, 5), base=5))
    log[-1] ^= 1
    assert same(Fetched(bytes(log)))[-1] == "CorruptRecordException"


@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_batch_that_would_hold_too_much_is_stood_in_for(codec: int) -> None:
    bomb = batch([LogRecord(5, T, b"k", bytes(3 << 20))], codec, base=5)
    log = bounded(batch(records(5), codec) + bomb + batch(records(5, 6), codec, base=6), 1 << 20)
    (found,) = same(Fetched(log))
    assert isinstance(found, Taken)
    assert found.values[5] is None
    assert dict(found.headers[5]) == {REFUSED_BATCH: b"5 1"}


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_no_stream_of_its_codec_or_no_records_is_stood_in_for(codec: int) -> None:
    broken = bytearray(batch(records(9), codec))
    broken[61:] = b"\xff" * 40
    (found,) = same(Fetched(sealed(broken) + batch(records(2, 9), base=9)))
    assert isinstance(found, Taken)
    assert found.offsets == [8, 9, 10]
    assert dict(found.headers[0]) == {REFUSED_BATCH: b"0 9 1"}


def wild_batch(rng: random.Random, base: int) -> tuple[bytes, int]:
    """A batch of some kind from offset ``base`` on, and where the next begins."""
    at, rows = base, []
    for _ in range(rng.randrange(1, 9)):
        at += rng.choice((0, 0, 0, 1, 5))
        heads = HEADS if rng.random() < 0.1 else (("ü", b"1"),) if rng.random() < 0.05 else ()
        value = rng.choice((None, b"", rng.randbytes(rng.randrange(300))))
        rows.append(LogRecord(at, T + rng.randrange(-(10**6), 10**6), rng.choice((None, b"key")), value, heads))
        at += 1
    if rng.random() < 0.05:
        rng.shuffle(rows)
    last = at - 1 + rng.choice((0, 0, 3))
    transactional, producer = rng.choice(((0, -1), (0, 7), (TRANSACTIONAL, 7), (TRANSACTIONAL, 8)))
    attributes = transactional | rng.choice((0, 0, STAMPED))
    made = batch(rows, rng.choice(CODECS), base=base, last=last, attributes=attributes, producer=producer)
    if rng.random() < 0.1:
        made = damaged(rng, made)
    return made, last + 1


def damaged(rng: random.Random, made: bytes) -> bytes:
    """Some of its bytes are others, and it is none the less under a checksum that fits."""
    broken = bytearray(made)
    for _ in range(rng.randrange(1, 4)):
        broken[rng.randrange(COUNT, len(broken))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return sealed(broken)


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=300, deadline=None)
def test_whatever_a_log_holds_both_ways_say_the_same(seed: int) -> None:
    rng, log, at = random.Random(seed), b"", 0
    for _ in range(rng.randrange(1, 8)):
        if rng.random() < 0.2:
            log, at = log + marker(rng.choice((ABORT, COMMIT)), at, rng.choice((7, 8))), at + 1
        made, at = wild_batch(rng, at)
        log += made
    cut = rng.choice((0, 0, rng.randrange(len(log) - 1)))
    same(
        Fetched(
            log[: len(log) - cut],
            position=rng.choice((0, 0, rng.randrange(at))),
            aborted=[(producer, rng.randrange(at)) for producer in (7, 8) if rng.random() < 0.5],
            committed=rng.random() < 0.7,
            most_records=rng.choice((1, 3, 10, 1_000)),
            most_bytes=rng.choice((1, 500, 1 << 20)),
        )
    )


def test_the_consumer_takes_what_it_received_last() -> None:
    reader = RawConsumer.__new__(RawConsumer)
    reader._closed = True  # or its finaliser complains
    reader._record_sets, reader._batch_max_bytes, reader._drain_bytes = {}, 1 << 20, 1 << 20
    for base in (0, 5):
        log = reader._received(PLACE, batch(records(5, base), base=base))
        found = reader._taking(fetch_result(Fetched(log, position=base)))()
        assert found.offsets.tolist() == list(range(base, base + 5))
        assert found.buffer is log
    assert not reader._record_sets, "a fetch that was taken is not kept"
