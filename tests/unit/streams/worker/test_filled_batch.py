"""A batch of ready records is the batch that aiokafka's own builder makes of them."""

from __future__ import annotations

import time
from typing import get_args

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch

from sie_online.ingest.events import Text
from sie_online.ingest.keyed import fill_batches
from sie_online.settings.operation import Kafka
from streams.worker.filled_batch import FilledBatch

NOW_MS = 1_700_000_000_000
COMPRESSIONS = get_args(Kafka.model_fields["compression"].annotation)


def pairs(n: int) -> list[tuple[bytes, bytes | None]]:
    return [(b"item:%d#0" % at, None if at % 7 == 3 else b'{"n_events":%d}' % at) for at in range(n)]


def both(n: int, compression: str) -> tuple[BatchBuilder, FilledBatch]:
    """The same ``n`` records, as aiokafka puts them together and as ours are handed over."""
    found = pairs(n)
    whole = BatchBuilder(1 << 20, getattr(DefaultRecordBatch, f"CODEC_{compression.upper()}"))
    for key, value in found:
        whole.append(timestamp=NOW_MS, key=key, value=value)
    keys, values = Text.of([key for key, _ in found]), Text.of([value or b"" for _, value in found])
    (filled,) = fill_batches(keys, values, 1, 1 << 20)
    return whole, FilledBatch(filled, NOW_MS, compression)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_it_is_aiokafka_s_to_the_byte(compression: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW_MS / 1_000)  # gzip says when it was made, in seconds
    batches = both(900, compression)
    whole, filled = batches
    assert (filled.size(), filled.record_count()) == (whole.size(), whole.record_count())
    for batch in batches:
        batch._set_producer_state(3, 5, 17)
    assert bytes(filled._build()) == bytes(whole._build())
    assert filled.size() == whole.size()


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("n", [1, 900])  # one record does not shrink
def test_a_reader_gets_every_record_back(n: int, compression: str) -> None:
    _, filled = both(n, compression)
    read = DefaultRecordBatch(bytes(filled._build()))
    assert read.validate_crc()
    assert [(record.key, record.value, record.timestamp) for record in read] == [
        (key, value, NOW_MS) for key, value in pairs(n)
    ]


def test_nothing_can_be_added_to_it() -> None:
    _, filled = both(1, "none")
    assert filled.closed()
    assert filled.append(timestamp=NOW_MS, key=b"k", value=b"v") is None
