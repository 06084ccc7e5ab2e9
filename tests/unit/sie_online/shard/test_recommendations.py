"""Lists that a shard publishes: when one is made, and that batches, restarts and gathering change none of them."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online.pseudonyms import pseudonyms
from sie_online.shard import Shard, ShardOutput
from sie_online.statements import Recommendations, decode_recommendations
from tests.support.events import batch, event, heartbeat, random_events, records, run, samples, small_settings, weights

N = 150
LENGTH = 5
RANKED: dict[str, Any] = {
    "enabled": True,
    "publish": True,
    "list_length": LENGTH,
    "users": 64,
    "items": 64,
    "categories": 64,
    "pairs": 64,
}
EVENTS = [
    *random_events(N, seed=9, users=90, items=90),
    {"event_type": "erase", "user_id": "u3"},
    *random_events(N, seed=10, users=20, items=90),
]
SETTINGS = small_settings(recommend=RANKED)
Said = list[tuple[bytes, Recommendations | None]]


def said(outputs: Iterable[ShardOutput]) -> Said:
    return [
        (key, None if value is None else decode_recommendations(value))
        for one in outputs
        for key, value in one.gathered.lists
    ]


@pytest.fixture(scope="module")
def one_by_one() -> Said:
    """Every list that is made: with an event a batch none replaces another."""
    shard = Shard(SETTINGS, 0)
    outputs = run(shard, records(EVENTS), range(1, len(EVENTS)))
    made = said(outputs)
    assert sum(output.lists for output in outputs) == len(made) > N / 2
    return made


def test_whoever_keeps_a_shard_under_another_epoch_says_everything_under_that_one() -> None:
    shard = Shard(SETTINGS, 0, generation=3)
    rows = records([*random_events(400, seed=4), heartbeat(100_000_000)])
    for generation, part in ((3, rows[:200]), (5, rows[200:])):
        shard.generation = generation
        outputs = list(shard.process(batch(part)))
        tables = [weights(outputs)] if generation == 3 else [weights(outputs), samples(outputs)]
        assert [set(table["generation"].to_pylist()) for table in tables] == [{generation}] * len(tables)
        assert {made.generation for _, made in said(outputs) if made is not None} == {generation}


def test_a_list_is_said_whenever_an_event_has_changed_it_and_only_then() -> None:
    shard = Shard(SETTINGS, 0)
    last: dict[str, list[str]] = {}
    changed = 0
    for row in records(random_events(300, seed=3, users=8, items=30)):
        ((events, made),) = [(row, said(shard.process(batch([row]))))]
        before = shard.next_offset
        assert len(made) <= 1
        for _, one in made:
            assert one is not None
            assert (one.offset, one.partition, one.generation) == (events.offset, 0, 0)
            assert one.items == shard.recommend(one.user_id, LENGTH)
            assert one.items != last.get(one.user_id, [])
            last[one.user_id] = one.items
            changed += 1
        assert shard.next_offset == before
    assert changed > 100
    assert len(last) == 8


def test_an_event_that_changes_nothing_makes_no_list() -> None:
    shard = Shard(small_settings(recommend=RANKED | {"seen": "include"}), 0)
    rows = records(event(n, item="a", at_s=n) for n in range(5))
    assert [one.items for _, one in said(run(shard, rows, range(1, 5))) if one] == [["a"]]


@hypothesis_settings(max_examples=8)
@given(cuts=st.lists(st.integers(1, 2 * N), max_size=8))
def test_cuts_between_batches_change_no_list(one_by_one: Said, cuts: list[int]) -> None:
    outputs = run(Shard(SETTINGS, 0), records(EVENTS), cuts)
    found = said(outputs)
    places = {(key, one and one.offset): one for key, one in one_by_one}
    assert all(places[key, one and one.offset] == one for key, one in found)
    assert dict(found) == dict(one_by_one)
    assert sum(output.lists for output in outputs) == len(one_by_one)


@hypothesis_settings(max_examples=4)
@given(at=st.integers(1, 2 * N))
def test_a_shard_that_is_restored_goes_on_saying_the_same_lists(one_by_one: Said, at: int) -> None:
    rows, shard = records(EVENTS), Shard(SETTINGS, 0)
    before = said(run(shard, rows[:at], range(1, at)))
    snapshot = shard.snapshot()
    again = Shard.restore(SETTINGS, 0, snapshot.meta, snapshot.changed, generation=0)
    outputs = [output for row in rows[at:] for output in again.process(batch([row]))]
    assert before + said(outputs) == one_by_one


def test_a_replay_says_the_same_lists_under_a_higher_generation(one_by_one: Said) -> None:
    outputs = run(Shard(SETTINGS, 0, generation=7), records(EVENTS), range(1, len(EVENTS)))
    for (key, one), (expected_key, expected) in zip(said(outputs), one_by_one, strict=True):
        assert key == expected_key
        assert (one is None) == (expected is None)
        if one is not None and expected is not None:
            assert one.generation == 7
            assert (one.items, one.offset, one.event_time_ms) == (
                expected.items,
                expected.offset,
                expected.event_time_ms,
            )


def test_lists_wait_with_the_statements_about_entities(one_by_one: Said) -> None:
    shard, found = Shard(SETTINGS, 0), []
    for first in range(0, len(EVENTS), 10):
        for output in shard.process(batch(records(EVENTS)[first : first + 10]), gather=True):
            assert not output.gathered.lists
        if first % 100 == 0:
            assert not shard.gathered(statements=False).lists
            found += list(shard.gathered().lists)
    found += list(shard.gathered().lists)
    assert not shard.waiting
    assert {key: value and decode_recommendations(value) for key, value in found} == dict(one_by_one)


def test_an_erased_user_s_list_is_taken_back_and_begins_anew(one_by_one: Said) -> None:
    mine = [one for key, one in one_by_one if key == b"user:u3"]
    at = mine.index(None)
    assert 0 < at < len(mine) - 1
    assert mine.count(None) == 1


def test_nothing_is_said_unless_it_is_asked_for() -> None:
    rows, quiet = records(EVENTS), RANKED | {"publish": False}
    plain = run(Shard(small_settings(), 0), rows)
    for settings in (small_settings(), small_settings(recommend=quiet)):
        outputs = run(Shard(settings, 0), rows)
        assert said(outputs) == []
        assert sum(output.lists for output in outputs) == 0
    assert weights(run(Shard(SETTINGS, 0), rows)).equals(weights(plain))


def test_switched_off_and_on_again_a_list_is_said_that_was_said_before() -> None:
    on, off = (small_settings(recommend=RANKED | {"seen": "include", "publish": publish}) for publish in (True, False))
    rows, shard = records(event(n, item="a", at_s=n) for n in range(2)), Shard(on, 0)
    assert [one.items for _, one in said(run(shard, rows[:1])) if one] == [["a"]]
    for settings in (off, on):
        saved = shard.snapshot()
        shard = Shard.restore(settings, 0, saved.meta, saved.changed, generation=0)
    assert [one.items for _, one in said(run(shard, rows[1:])) if one] == [["a"]]


def test_under_a_key_lists_name_pseudonyms(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(base64.b64encode(b"k" * 32))
    settings = small_settings(recommend=RANKED, privacy={"hmac_key_file": str(file)})
    hidden_by = pseudonyms(settings)
    assert hidden_by is not None
    made = said(run(Shard(settings, 0), records(EVENTS[:50])))
    users = {str(one["user_id"]).encode() for one in EVENTS[:50]}
    assert made
    assert {key for key, _ in made} <= {b"user:" + hidden_by.of(user) for user in users}
    assert {one.user_id.encode() for _, one in made if one} == {key.removeprefix(b"user:") for key, _ in made}
