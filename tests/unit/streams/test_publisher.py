"""Framing of what goes out, and gathering what may wait."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from sie_online.contracts import DEAD_LETTER_HEADERS, DEAD_LETTER_VALUE_BYTES, from_message
from sie_online.events import DeadLetter, Reason
from sie_online.settings import Settings
from streams import publisher
from streams.publisher import Deliveries, Publisher, dead_letter, messages


def _rows(n: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": np.arange(n), "text": ["x" * 100] * n})


def _letter(**changes: object) -> DeadLetter:
    values = {
        "offset": 5,
        "timestamp_ms": 1_700_000_000_000,
        "reason": Reason.BAD_JSON,
        "detail": "why",
        "key": b"k",
        "value": b"v",
        "headers": [("trace", b"1")],
    }
    return DeadLetter(**(values | changes))  # type: ignore[arg-type]


def test_rows_are_split_into_messages_within_the_limit_and_keep_their_order() -> None:
    found = list(messages(_rows(1000), 20_000))

    assert len(found) > 5
    assert max(map(len, found)) <= 20_000
    assert pa.concat_tables(map(from_message, found)).column("n").to_pylist() == list(range(1000))


def test_no_rows_make_no_message() -> None:
    assert list(messages(_rows(0), 20_000)) == []


def test_a_single_row_is_never_split() -> None:
    assert len(list(messages(_rows(1), 10))) == 1


def test_a_dead_letter_carries_the_record_and_says_where_it_is_from() -> None:
    key, value, headers = dead_letter("sie.events", 3, _letter())
    told = dict(headers)

    assert (key, value, told["trace"]) == (b"k", b"v", b"1")
    assert set(DEAD_LETTER_HEADERS) <= told.keys()
    assert told["sie-reason"] == b"bad_json"
    assert (told["sie-source-topic"], told["sie-source-partition"], told["sie-source-offset"]) == (
        b"sie.events",
        b"3",
        b"5",
    )


def test_a_huge_value_is_cut_and_named_by_size_and_digest() -> None:
    huge = b"z" * 10_000_000
    _, value, headers = dead_letter("sie.events", 0, _letter(value=huge))
    told = dict(headers)

    assert value == huge[:DEAD_LETTER_VALUE_BYTES]
    assert told["sie-value-bytes"] == b"10000000"
    assert told["sie-value-sha256"].decode() == hashlib.sha256(huge).hexdigest()


def test_key_value_and_headers_of_any_size_leave_a_message_that_a_broker_takes() -> None:
    big = _letter(key=b"k" * 900_000, value=b"v" * 900_000, headers=[(f"h{n}", b"x" * 40_000) for n in range(50)])
    key, value, headers = dead_letter("sie.events", 0, big)

    assert len(key or b"") + len(value or b"") + sum(len(name) + len(text) for name, text in headers) < 900_000


def test_null_keys_and_values_stay_null() -> None:
    key, value, _ = dead_letter("sie.events", 0, _letter(key=None, value=None))

    assert key is None
    assert value is None


class FakeBuilder:
    """A record batch being built, of any size."""

    def __init__(self) -> None:
        self.rows: list[tuple[bytes, bytes]] = []

    def append(self, *, timestamp: int, key: bytes, value: bytes) -> object:
        self.rows.append((key, value))
        return self

    def close(self) -> None:
        pass

    def size(self) -> int:
        return len(self.rows)


class FakeProducer:
    """Confirms at once and remembers the keyed batches."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[bytes, bytes]]] = []

    async def partitions_for(self, topic: str) -> set[int]:
        return {0}

    def create_batch(self) -> FakeBuilder:
        return FakeBuilder()

    async def send_batch(self, builder: FakeBuilder, topic: str, partition: int) -> asyncio.Future[None]:
        self.batches.append(builder.rows)
        confirmed = asyncio.get_running_loop().create_future()
        confirmed.set_result(None)
        return confirmed


def _stated(*statements: tuple[bytes, bytes]) -> Any:
    return SimpleNamespace(weights=_rows(0), samples=_rows(0), entities=list(statements), dead_letters=[])


async def _publishing(settings: Settings) -> tuple[Publisher, FakeProducer, Deliveries]:
    publishing, producer = Publisher(settings), FakeProducer()
    publishing._producer = cast(Any, producer)
    return publishing, producer, Deliveries()


def test_of_gathered_statements_about_an_entity_only_the_newest_is_sent(settings: Callable[..., Settings]) -> None:
    async def run() -> list[list[tuple[bytes, bytes]]]:
        publishing, producer, deliveries = await _publishing(settings())
        await publishing.publish(0, _stated((b"user:a", b"1"), (b"user:b", b"1")), deliveries)
        await publishing.publish(0, _stated((b"user:a", b"2")), deliveries)
        assert producer.batches == []
        await publishing.send_statements(deliveries)
        return producer.batches

    assert asyncio.run(run()) == [[(b"user:a", b"2"), (b"user:b", b"1")]]


def test_gathered_statements_leave_by_themselves(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "STATEMENTS_S", 0.0)

    async def run() -> list[list[tuple[bytes, bytes]]]:
        publishing, producer, deliveries = await _publishing(settings())
        await publishing.publish(0, _stated((b"user:a", b"1")), deliveries)
        await asyncio.wait(publishing._stating)
        return producer.batches

    assert asyncio.run(run()) == [[(b"user:a", b"1")]]


def test_many_statements_do_not_wait(settings: Callable[..., Settings]) -> None:
    many = [(b"user:%d" % n, b"1") for n in range(publisher.STATEMENTS)]

    async def run() -> list[list[tuple[bytes, bytes]]]:
        publishing, producer, deliveries = await _publishing(settings())
        await publishing.publish(0, _stated(*many), deliveries)
        return producer.batches

    assert asyncio.run(run()) == [many]


def test_what_a_lost_shard_had_not_stated_is_not_stated(settings: Callable[..., Settings]) -> None:
    async def run() -> list[list[tuple[bytes, bytes]]]:
        publishing, producer, deliveries = await _publishing(settings())
        await publishing.publish(0, _stated((b"user:a", b"1")), deliveries)
        deliveries.forget()
        await publishing.send_statements(deliveries)
        return producer.batches

    assert asyncio.run(run()) == []
