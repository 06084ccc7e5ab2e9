"""What was published lately is found by its event's id: as it was, all of it, and no more than there is room for."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from sie_online.client.rows import WeightRow, weight_rows
from sie_online.shard import Shard, ShardOutput
from sie_online.unpacking import picked
from streams.worker.processing import keep_recent
from streams.worker.recent import MESSAGE_BYTES, ROW_BYTES, RecentWeights
from tests.support.events import random_events, records, run, small_settings

EVENTS = random_events(900, seed=3)


@pytest.fixture(scope="module")
def outputs() -> list[ShardOutput]:
    return run(Shard(small_settings(), 0, generation=4), records(EVENTS), cuts=range(0, 900, 13))


def rows_of(outputs: list[ShardOutput]) -> list[WeightRow]:
    return [row for output in outputs for row in weight_rows(output.weights)]


def kept(outputs: list[ShardOutput], limit: int = 64 << 20) -> RecentWeights:
    recent = RecentWeights(limit)
    for output in outputs:
        recent.take(output.framed)
    return recent


def place(row: WeightRow) -> tuple[int, int, int]:
    return row.partition, row.offset, row.revision


def test_every_revision_of_every_event_is_found_as_it_was_published(outputs: list[ShardOutput]) -> None:
    recent, published = kept(outputs), rows_of(outputs)
    for event_id in random.Random(1).sample(sorted({row.event_id for row in published}), 60):
        assert recent.find(event_id) == sorted((row for row in published if row.event_id == event_id), key=place)
    assert recent.find("nothing") == []
    assert recent.since_ms() == min(row.published_ms for row in weight_rows(outputs[0].weights))


def test_beyond_its_bound_the_oldest_make_room(outputs: list[ShardOutput]) -> None:
    size = sum(len(m) + MESSAGE_BYTES for o in outputs for m in o.framed.messages) + ROW_BYTES * len(rows_of(outputs))
    recent = kept(outputs)
    assert recent.n_bytes == size
    few = kept(outputs, limit=size // 3)
    assert size // 6 < few.n_bytes <= size // 3
    newest, oldest = rows_of(outputs)[-1], rows_of(outputs)[0]
    assert newest in few.find(newest.event_id)
    assert oldest not in few.find(oldest.event_id)
    since = few.since_ms()
    assert since is not None
    assert since > oldest.published_ms


def test_full_segments_are_searched_as_the_open_one_is(outputs: list[ShardOutput]) -> None:
    recent, many = kept(outputs, limit=1 << 19), kept(outputs)
    for row in rows_of(outputs)[-80:]:
        assert recent.find(row.event_id)[-1] == many.find(row.event_id)[-1]
        assert recent.find(row.event_id) == recent.find(row.event_id), "the first search has made the index"


def test_of_one_identity_the_highest_generation_counts(outputs: list[ShardOutput]) -> None:
    again = run(Shard(small_settings(), 0, generation=7), records(EVENTS), cuts=range(0, 900, 50))
    recent = kept([*outputs, *again])
    first = rows_of(outputs)[0]
    assert {row.generation for row in recent.find(first.event_id)} == {7}
    once = kept(outputs).find(first.event_id)
    assert list(map(place, recent.find(first.event_id))) == list(map(place, once))


def test_an_erasure_leaves_nothing_of_what_was_said_before() -> None:
    shard, recent = Shard(small_settings(), 0), RecentWeights(1 << 20)
    rows = records([*EVENTS[:50], {"event_type": "erase", "user_id": "u1"}, *EVENTS[50:60]])
    for output in run(shard, rows, cuts=[50, 51]):
        keep_recent(recent, output)
    assert recent.find("e1") == []
    assert recent.find("e55") != []


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
    assert [recent.find(name)[0].event_id for name in ids] == ids
