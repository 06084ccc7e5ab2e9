"""Numbered events: what stands in the text is what was asked for, and a shard takes it."""

from __future__ import annotations

import msgspec
import numpy as np

from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Shard
from tests.benchmarks.ever_new import FIRST_MS, points
from tests.benchmarks.numbered import Template

TEXT = (
    '{"event_id":"e<id:10>","user_id":"u<user:10>","item_id":"i<id:10>","event_type":<kind:6>,"timestamp_ms":<time:13>}'
)


def batch(ids: list[int], users: list[int], start: int = 0) -> RecordBatch:
    kind = np.tile(np.frombuffer(b'"view"', np.uint8), (len(ids), 1))
    times = FIRST_MS + 5 * np.arange(len(ids))
    return Template(TEXT).batch(start, id=np.array(ids), user=np.array(users), kind=kind, time=times)


def test_each_place_has_its_number_or_text_and_the_key_is_the_users() -> None:
    records = batch([1, 10**9], [2, 12_345], start=40)
    found = [msgspec.json.decode(records.value(row) or b"") for row in range(2)]
    assert [(each["event_id"], each["user_id"], each["item_id"]) for each in found] == [
        ("e0000000001", "u0000000002", "i0000000001"),
        ("e1000000000", "u0000012345", "i1000000000"),
    ]
    assert [each["event_type"] for each in found] == ["view", "view"]
    assert [each["timestamp_ms"] for each in found] == [FIRST_MS, FIRST_MS + 5]
    assert [records.key(row) for row in range(2)] == [each["user_id"].encode() for each in found]
    assert records.offsets.tolist() == [40, 41]


def test_a_shard_weighs_all_of_them() -> None:
    assert sum(len(output.weights) for output in Shard(Settings(), 0).process(batch([*range(5)], [*range(5)]))) == 5


def test_where_ids_never_return_a_reading_tells_of_the_views_that_wait() -> None:
    found = list(points(Settings(), n_events=8_000, n_points=2))
    assert [(point.value, point.figures["open views"]) for point in found] == [(4_000, 4_000), (8_000, 8_000)]
