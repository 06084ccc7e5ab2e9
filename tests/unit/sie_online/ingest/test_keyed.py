"""Records laid out in bulk are, byte for byte, those that aiokafka lays out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online.ingest import keyed
from sie_online.ingest.events import Text
from sie_online.ingest.headers import Headers
from sie_online.ingest.keyed import HEADER_BYTES, fill_batches
from sie_online.ingest.partitioner import partition_of

Pairs = list[tuple[bytes, bytes]]

sizes = st.sampled_from([0, 1, 40, 60, 63, 64, 100, 127, 128, 300, 8_191, 8_192])
pairs = st.lists(st.tuples(st.binary(max_size=9), sizes.map(lambda size: b"v" * size)), max_size=80)


def in_bulk(found: Pairs, partitions: int, limit: int, headers: Headers = ()) -> list[tuple[int, int, bytes]]:
    keys, values = (Text.of([pair[side] for pair in found]) for side in (0, 1))
    return [
        (filled.partition, filled.n_records, bytes(filled.records))
        for filled in fill_batches(keys, values, partitions, limit, headers)
    ]


def one_by_one(found: Pairs, partitions: int, limit: int, headers: Headers = ()) -> list[tuple[int, int, bytes]]:
    batches: list[tuple[int, BatchBuilder]] = []
    for partition in range(partitions):
        mine = [(key, value or None) for key, value in found if partition_of(key, partitions) == partition]
        builder = None
        for key, value in mine:
            if builder is None or builder.append(timestamp=7, key=key, value=value, headers=list(headers)) is None:
                builder = BatchBuilder(limit, 0)
                batches.append((partition, builder))
                builder.append(timestamp=7, key=key, value=value, headers=list(headers))
    return [(partition, each.record_count(), bytes(each._build()[HEADER_BYTES:])) for partition, each in batches]


@hypothesis_settings(deadline=None)
@given(pairs, st.integers(1, 5), st.sampled_from([100, 1_000, 20_000, 900_000]))
@example([(b"", b"")], 1, 100)
@example([(b"%d" % n, b"x" * (n % 90)) for n in range(20_000)], 3, 500_000)
def test_batches_are_those_of_aiokafka(found: Pairs, partitions: int, limit: int) -> None:
    assert in_bulk(found, partitions, limit) == one_by_one(found, partitions, limit)


@hypothesis_settings(deadline=None)
@given(pairs, st.lists(st.tuples(st.text("aé", max_size=70), st.binary(max_size=70)), max_size=3))
def test_all_records_have_the_headers_that_are_given(found: Pairs, headers: list[tuple[str, bytes]]) -> None:
    assert in_bulk(found, 3, 2_000, headers) == one_by_one(found, 3, 2_000, headers)


def test_the_kernels_are_what_plain_python_makes_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(b"k%d" % n, b"v" * (n % 70)) for n in range(200)]
    compiled = in_bulk(found, 3, 1_000)
    for name, each in vars(keyed).copy().items():
        if hasattr(each, "py_func"):
            monkeypatch.setattr(keyed, name, each.py_func)
    monkeypatch.setattr(keyed, "FILLED", np.dtype((np.record, keyed.FILLED)))  # fields as attributes, as in kernels
    assert in_bulk(found, 3, 1_000) == compiled
