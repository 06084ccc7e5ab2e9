"""Numbered events: what stands in the text is what was asked for, and a shard takes it."""

from __future__ import annotations

import msgspec
import numpy as np

from sie_online.settings import Settings
from sie_online.shard import Shard
from tests.benchmarks.ever_new import FIRST_MS, TEMPLATE, points
from tests.benchmarks.numbered import batch


def test_each_field_has_its_number_and_the_key_is_the_users() -> None:
    numbers = np.array([[1, 2, 3, 4], [10**9, 0, 12_345, 7]])
    records = batch(TEMPLATE, numbers, np.array([FIRST_MS, FIRST_MS + 5]), start=40)
    found = [msgspec.json.decode(records.value(row) or b"") for row in range(2)]
    names = ("event_id", "user_id", "item_id", "category_id")
    assert [[int(each[name][1:]) for name in names] for each in found] == numbers.tolist()
    assert [each["timestamp_ms"] for each in found] == [FIRST_MS, FIRST_MS + 5]
    assert [records.key(row) for row in range(2)] == [each["user_id"].encode() for each in found]
    assert records.offsets.tolist() == [40, 41]


def test_a_shard_weighs_all_of_them() -> None:
    numbers = np.arange(20).reshape(5, 4)
    records = batch(TEMPLATE, numbers, FIRST_MS + np.arange(5), start=0)
    assert sum(len(output.weights) for output in Shard(Settings(), 0).process(records)) == 5


def test_where_ids_never_return_a_reading_tells_of_the_views_that_wait() -> None:
    found = list(points(Settings(), n_events=8_000, n_points=2))
    assert [(point.value, point.figures["open views"]) for point in found] == [(4_000, 4_000), (8_000, 8_000)]
