"""What was published lately is found by its event's id: as it was, all of it, and no more than there is room for."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pyarrow as pa
import pytest

from sie_online.client.rows import WeightRow, weight_rows
from sie_online.ingest.events import Text
from sie_online.shard import Shard, ShardOutput
from sie_online.unpacking import FramedRows, picked
from streams.worker.processing import keep_recent
from streams.worker.recent import MOST_FOUND, RecentWeights, newest
from tests.support.events import random_events, records, run, small_settings

EVENTS = random_events(900, seed=3)


@pytest.fixture(scope="module")
def outputs() -> list[ShardOutput]:
    return run(Shard(small_settings(), 0, generation=4), records(EVENTS), cuts=range(0, 900, 13))


def rows_of(outputs: Iterable[ShardOutput]) -> list[WeightRow]:
    return [row for output in outputs for row in weight_rows(output.weights)]


def kept(outputs: Iterable[ShardOutput], limit: int = 64 << 20) -> RecentWeights:
    recent = RecentWeights(limit)
    for output in outputs:
        keep_recent(recent, output)
    return recent


def found(recent: RecentWeights, event_id: str) -> list[WeightRow]:
    return newest(row for rows in recent.find(event_id) for row in rows)


def place(row: WeightRow) -> tuple[int, int, int]:
    return row.partition, row.offset, row.revision


def test_every_revision_of_every_event_is_found_as_it_was_published(outputs: list[ShardOutput]) -> None:
    recent, published = kept(outputs), rows_of(outputs)
    for event_id in random.Random(1).sample(sorted({row.event_id for row in published}), 60):
        assert found(recent, event_id) == sorted((row for row in published if row.event_id == event_id), key=place)
    assert found(recent, "nothing") == []
    assert recent.since_ms() == outputs[0].known_ms


@pytest.mark.parametrize("limit", [30_000, 90_000])
def test_beyond_its_bound_the_oldest_make_room_and_all_newer_ones_are_found(
    outputs: list[ShardOutput], limit: int
) -> None:
    recent, published = RecentWeights(limit), list[WeightRow]()
    for output in [*outputs, *outputs]:  # the second time under numbers that the first has used up
        keep_recent(recent, output)
        assert recent.n_bytes <= limit
        published += weight_rows(output.weights)
    second_time = published[len(published) // 2 :]
    held = [row in found(recent, row.event_id) for row in second_time[::-9]]
    assert 5 < sum(held) < len(held)
    assert held == sorted(held, reverse=True), "what is kept is the newest, without a gap"


def test_what_became_known_since_the_time_it_says_is_kept(outputs: list[ShardOutput]) -> None:
    recent, published = kept(outputs, limit=120_000), rows_of(outputs)
    since = recent.since_ms()
    assert since is not None
    assert since > outputs[0].known_ms
    for row in published[-200::5]:
        assert row.published_ms <= since or row in found(recent, row.event_id)


def test_a_message_that_is_larger_than_all_there_is_room_for_is_not_kept(outputs: list[ShardOutput]) -> None:
    whole = run(Shard(small_settings(), 0), records(EVENTS))
    recent = kept([*outputs, *whole], limit=30_000)
    assert recent.since_ms() is None
    assert found(recent, EVENTS[-1]["event_id"]) == []
    keep_recent(recent, outputs[-1])
    last = rows_of(outputs[-1:])[-1]
    assert last in found(recent, last.event_id)


def test_of_one_identity_the_highest_generation_counts(outputs: list[ShardOutput]) -> None:
    again = run(Shard(small_settings(), 0, generation=7), records(EVENTS), cuts=range(0, 900, 50))
    recent = kept([*again, *outputs])
    first = rows_of(outputs)[0]
    assert {row.generation for row in found(recent, first.event_id)} == {7}
    once = found(kept(outputs), first.event_id)
    assert list(map(place, found(recent, first.event_id))) == list(map(place, once))


def test_messages_of_one_output_are_told_apart(outputs: list[ShardOutput]) -> None:
    two = outputs[20:22]
    messages = tuple(message for output in two for message in output.framed.messages)
    ids = Text.of([row.event_id.encode() for row in rows_of(two)])
    recent = RecentWeights(1 << 20)
    recent.take(FramedRows(messages, len(rows_of(two)), two[0].framed.empty), ids, known_ms=5)
    for row in rows_of(two):
        assert row in found(recent, row.event_id)


def test_of_an_id_that_events_share_by_the_hundred_only_the_newest_are_decoded(outputs: list[ShardOutput]) -> None:
    rows = [
        {**EVENTS[0], "event_id": "same", "user_id": f"u{n}", "timestamp_ms": EVENTS[n]["timestamp_ms"]}
        for n in range(900)
    ]
    settings = small_settings(dedupe={"events": 0})
    said = run(Shard(settings, 0), records(rows), cuts=range(0, 900, 13))
    recent, published = kept(said), rows_of(said)
    assert len(published) > MOST_FOUND
    assert [row for of_one in recent.find("same") for row in of_one][:1] != []
    assert sum(len(of_one) for of_one in recent.find("same")) == MOST_FOUND
    assert set(map(place, published[-MOST_FOUND:])) == {place(row) for of_one in recent.find("same") for row in of_one}


def test_what_is_found_is_settled_when_it_is_asked_for(outputs: list[ShardOutput]) -> None:
    recent = kept(outputs)
    row = rows_of(outputs)[0]
    steps = recent.find(row.event_id)
    recent.forget()
    assert row in [each for step in steps for each in step]
    assert found(recent, row.event_id) == []


def test_an_erasure_leaves_nothing_of_what_was_said_before() -> None:
    shard, recent = Shard(small_settings(), 0), RecentWeights(1 << 20)
    rows = records([*EVENTS[:50], {"event_type": "erase", "user_id": "u1"}, *EVENTS[50:60]])
    for output in run(shard, rows, cuts=[50, 51]):
        keep_recent(recent, output)
    assert found(recent, "e1") == []
    assert found(recent, "e55") != []


def test_picked_rows_are_those_of_the_whole_message(outputs: list[ShardOutput]) -> None:
    message = max((m for o in outputs for m in o.framed.messages), key=len)
    whole = next(o.framed.batch for o in outputs if message in o.framed.messages)
    for rows in ([0], [len(whole) - 1], [1, 3, 4], list(range(len(whole)))):
        found = picked(message, pa.array(rows).to_numpy())
        assert found.to_pylist() == whole.take(pa.array(rows)).to_pylist()
        assert found.schema.equals(whole.schema)


def test_ids_of_any_length_and_script_are_found() -> None:
    ids = ["x" * 256, "é" * 100, "-", "{}", "a/b", "日本"]
    events = [{**EVENTS[0], "event_id": name} for name in ids]
    recent = kept(run(Shard(small_settings(), 0), records(events)))
    assert [found(recent, name)[0].event_id for name in ids] == ids
