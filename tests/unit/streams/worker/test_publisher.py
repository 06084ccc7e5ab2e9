"""Framing of what goes out."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from aiokafka.record.default_records import DefaultRecordBatch

from sie_online import content
from sie_online.contracts import DEAD_LETTER_HEADERS, DEAD_LETTER_VALUE_BYTES
from sie_online.ingest.events import DeadLetter, Reason, Text
from sie_online.ingest.headers import Headers
from sie_online.ingest.partitioner import partition_of
from sie_online.ndjson import is_ndjson
from sie_online.packing import LAYOUT
from sie_online.settings import Settings
from sie_online.shard import Shard, Statements
from sie_online.unpacking import from_message
from streams.sinks import WEIGHTS
from streams.sinks.topic import Deliveries, messages
from streams.worker.filled_batch import FilledBatch
from streams.worker.publisher import Publisher, dead_letter
from tests.support.events import batch, event, records
from tests.support.rows import packed, weight_batch, weight_row


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


@pytest.mark.parametrize("output", [{"version": 1}, {"version": 2}, {"format": "json"}], ids=str)
def test_rows_are_published_in_the_layout_that_is_set_and_are_the_same(output: dict[str, Any], settings: Any) -> None:
    framed, sent, said = packed(weight_batch(*(weight_row(at) for at in range(300))), 20_000), [], []
    given = settings(output=output, kafka={"max_message_bytes": 20_000})

    async def send(
        deliveries: Deliveries, topic: str, value: bytes, *, partition: int | None, headers: Headers
    ) -> asyncio.Future[Any]:
        sent.append((topic, value, partition))
        said.append(headers)
        return asyncio.get_running_loop().create_future()

    async def publish() -> None:
        publisher = Publisher(given)
        publisher._send_rows = send  # type: ignore[method-assign, assignment]
        assert await publisher._add(WEIGHTS, 3, framed, Deliveries()) is not None

    asyncio.run(publish())
    assert {(topic, partition) for topic, _, partition in sent} == {(given.topics.weights, 3)}
    values = [value for _, value, _ in sent]
    assert max(map(len, values)) <= 20_000
    assert {layout_of(value) for value in values} == {given.output.layout}
    assert {dict(headers)["sie-schema"] for headers in said} == {f"sie.weights.v1/{given.output.layout}".encode()}
    table = pa.concat_tables(map(from_message, values, said))
    assert table.to_pylist() == framed.batch.to_pylist()
    assert table.schema.metadata == framed.batch.schema.metadata


def layout_of(value: bytes) -> str:
    if is_ndjson(value):
        return "json"
    return "2" if LAYOUT in pa.ipc.open_stream(value).schema.metadata else "1"


def test_no_rows_make_no_message() -> None:
    assert list(messages(_rows(0), 20_000)) == []


def test_a_single_row_is_never_split() -> None:
    assert len(list(messages(_rows(1), 10))) == 1


class Broker:
    """Takes batches as aiokafka's producer does, and reads them."""

    def __init__(self, partitions: int, said: content.Content = content.ENTITIES) -> None:
        self.partitions = partitions
        self.said = said
        self.batches: list[tuple[int, list[tuple[bytes, bytes | None]]]] = []

    async def partitions_for(self, topic: str) -> set[int]:
        """The topic's partitions."""
        return set(range(self.partitions))

    async def send_batch(self, batch: FilledBatch, topic: str, *, partition: int) -> asyncio.Future[None]:
        """Note what is in ``batch``."""
        read = DefaultRecordBatch(bytes(batch._build()))
        found = list(read)
        assert {tuple(record.headers) for record in found} == {self.said.headers}
        self.batches.append((partition, [(record.key, record.value) for record in found]))
        delivery = asyncio.get_running_loop().create_future()
        delivery.set_result(None)
        return delivery


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_statements_go_where_their_keys_belong_in_batches_within_the_limit(
    settings: Callable[..., Settings], compression: str
) -> None:
    shard = Shard(settings(), 0)
    rows = records([event(n, user=f"u{n}", item=f"i{n % 40}", at_s=n) for n in range(300)])
    (output,) = shard.process(batch(rows))
    limit = 20_000
    publisher, broker = Publisher(settings(kafka={"max_message_bytes": limit, "compression": compression})), Broker(3)
    publisher._producer = broker
    asyncio.run(publisher.publish_gathered(0, output.gathered._replace(framed=shard.gathered().framed), set()))

    stated = list(output.gathered.entities)
    sent: dict[int, list[tuple[bytes, bytes | None]]] = {partition: [] for partition in range(3)}
    for partition, pairs in broker.batches:
        sent[partition] += pairs
    assert len(stated) > 300
    assert sent == {at: [pair for pair in stated if partition_of(pair[0], 3) == at] for at in range(3)}
    assert len(broker.batches) > 3
    assert all(sum(len(key) + len(value or b"") for key, value in pairs) < limit for _, pairs in broker.batches)
    assert publisher.unacked_bytes == 0


def test_lists_go_to_the_partition_of_the_shard_that_made_them(settings: Callable[..., Settings]) -> None:
    lists = Statements(Text.of([b"user:u%d" % n for n in range(2_000)]), Text.of([b'{"items":[]}', b""] * 1_000))
    publisher, broker = Publisher(settings(kafka={"max_message_bytes": 10_000})), Broker(3, content.RECOMMENDATIONS)
    publisher._producer = broker
    nothing = Shard(settings(), 2).gathered()
    asyncio.run(publisher.publish_gathered(2, nothing._replace(lists=lists), set()))
    assert {partition for partition, _ in broker.batches} == {2}
    assert [pair for _, pairs in broker.batches for pair in pairs] == list(lists)
    assert len(broker.batches) > 3


def test_a_dead_letter_carries_the_record_and_says_where_it_is_from() -> None:
    key, value, headers = dead_letter("sie.events", 3, _letter())
    told = dict(headers)

    assert (key, value, told["trace"]) == (b"k", b"v", b"1")
    assert (told["content-type"], told["sie-schema"]) == (b"application/octet-stream", b"sie.dead-letters.v1")
    assert set(DEAD_LETTER_HEADERS) <= told.keys()
    assert told["sie-reason"] == b"bad_json"
    assert (told["sie-source-topic"], told["sie-source-partition"], told["sie-source-offset"]) == (
        b"sie.events",
        b"3",
        b"5",
    )


def test_a_dead_letter_is_of_the_type_that_its_record_was_said_to_be_of() -> None:
    said = [("content-type", b"application/avro"), ("sie-schema", b"sie.events")]
    _, _, headers = dead_letter("sie.events", 3, _letter(headers=said))

    assert [value for name, value in headers if name == "content-type"] == [b"application/avro"]
    assert dict(headers)["sie-schema"] == b"sie.dead-letters.v1"  # the last of a name counts


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
