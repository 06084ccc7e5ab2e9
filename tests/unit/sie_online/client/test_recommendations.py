"""Tables of recommendations: the newest list of each user, whatever a replay, a zombie or a repartitioning repeats."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sie_online.client.recommendations import LIST_BYTES, RecommendationTable, parse_user
from sie_online.statements import Recommendations, encode_recommendations


def record(user: str = "ann", *items: str, **values: Any) -> tuple[bytes, bytes, int]:
    given = {"event_time_ms": 1, "partition": 0, "offset": 0, "generation": 1} | values
    key, value = encode_recommendations(Recommendations(user_id=user, items=list(items), **given))
    return key, value, int(given["partition"])


def test_the_newest_list_replaces_the_one_before() -> None:
    table = RecommendationTable()
    table.apply(*record("ann", "a", "b", offset=1))
    table.apply(*record("ann", "b", offset=2))
    assert table.get("ann") == ("b",)
    assert (len(table), [made.offset for made in table]) == (1, [2])
    assert table.get("bob") == ()


def test_what_a_worker_says_that_lost_its_shard_changes_nothing() -> None:
    table = RecommendationTable()
    table.apply(*record("ann", "new", offset=5, generation=2))
    table.apply(*record("ann", "old", offset=9, generation=1))
    assert table.get("ann") == ("new",)


def test_the_longest_list_that_a_worker_may_send_is_read() -> None:
    table, items = RecommendationTable(), [f"{n:03}" + 253 * "\1" for n in range(200)]
    table.apply(*record("ann", *items))
    assert table.get("ann") == tuple(items)


def test_nor_does_it_bring_back_the_list_of_an_erased_user() -> None:
    table = RecommendationTable()
    table.apply(*record("ann", "old", offset=5, generation=1))
    table.apply(*record("bob", "new", offset=6, generation=2))
    table.apply(b"user:ann", None, 0)
    table.apply(*record("ann", "old", offset=5, generation=1))
    assert "ann" not in table
    table.apply(*record("ann", "other", generation=1, partition=1))
    assert table.get("ann") == ("other",)


def test_a_replay_begins_with_older_lists_and_ends_with_the_newest() -> None:
    table = RecommendationTable()
    for generation in (1, 2):
        for offset, item in ((3, "a"), (4, "b")):
            table.apply(*record("ann", item, offset=offset, generation=generation))
    assert table["ann"].generation == 2
    assert table.get("ann") == ("b",)


def test_of_two_shards_that_have_known_a_user_the_later_counts() -> None:
    table = RecommendationTable()
    table.apply(*record("ann", "now", event_time_ms=20, partition=1))
    table.apply(*record("ann", "then", event_time_ms=10, partition=0, offset=99, generation=9))
    assert table.get("ann") == ("now",)


def test_a_null_forgets_what_its_shard_has_said() -> None:
    table = RecommendationTable()
    table.apply(*record("ann", "a"))
    table.apply(*record("ann", "b", partition=1))
    table.apply(b"user:ann", None, 0)
    assert table.get("ann") == ("b",)
    table.apply(b"user:ann", None, 1)
    table.apply(b"user:ann", None, 2)
    assert "ann" not in table
    assert len(table) == 0


def test_fields_of_newer_workers_are_ignored() -> None:
    key, value, partition = record("ann", "a")
    table = RecommendationTable()
    table.apply(key, json.dumps(json.loads(value) | {"scores": [1.0]}).encode(), partition)
    assert table.get("ann") == ("a",)


@pytest.mark.parametrize("key", [None, b"", b"ann", b"item:42#0", b"\xff:1"])
def test_a_foreign_key_is_refused(key: bytes | None) -> None:
    with pytest.raises(ValueError, match=r"key|decode"):
        parse_user(key)


GOOD = {"user_id": "ann", "items": ["a"], "event_time_ms": 1, "partition": 0, "offset": 0, "generation": 0}
BAD: dict[str, object] = {
    "another user's": GOOD | {"user_id": "bob"},
    "items no list": GOOD | {"items": "a"},
    "an item no text": GOOD | {"items": [1]},
    "half a character": GOOD | {"items": ["\ud800"]},
    "an offset below zero": GOOD | {"offset": -1},
    "a generation of true": GOOD | {"generation": True},
    "no items": {name: value for name, value in GOOD.items() if name != "items"},
    "no object": [],
    "too long": GOOD | {"items": ["a" * LIST_BYTES]},
}


@pytest.mark.parametrize("what", BAD)
def test_a_foreign_value_is_refused_and_changes_nothing(what: str) -> None:
    table = RecommendationTable()
    with pytest.raises(ValueError, match=r".+"):
        table.apply(b"user:ann", json.dumps(BAD[what]).encode(), 0)
    assert len(table) == 0
