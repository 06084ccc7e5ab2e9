"""Lists are a pure function of a partition's records, cost nothing where they are off, and forget whom they must."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st

from sie_online.errors import UsageError
from sie_online.ingest.events import Text
from sie_online.ranking.pooling import Neighbourhoods, pack, summed, unpack
from sie_online.settings import Settings
from sie_online.shard import Layout, Shard
from sie_online.shard.figures import table_limits
from sie_online.shard.ranking import is_ranking, own_neighbourhoods
from sie_online.shard.sizing import part_sizes
from tests.support.events import (
    EventRecord,
    event,
    heartbeat,
    random_events,
    records,
    run,
    samples,
    small_settings,
    weights,
)
from tests.unit.sie_online.shard.test_erase import erase, held, key_of, unkeyed

BOUNDS = {"users": 64, "items": 64, "categories": 64, "pairs": 64, "history": 4, "together": 3, "neighbours": 4}
"""So small that everything is evicted: of users, items, categories, pairs and neighbours there are more."""
N = 600
EVENTS = unkeyed([*random_events(N // 2, 1, users=90, items=120), erase("u3"), *random_events(N // 2, 2, users=90)])
PEOPLE = [f"u{n}" for n in range(90)]
MORE: dict[str, Any] = {"enabled": True, "half_life_s": 3_600, "list_length": 5, **BOUNDS}


def ranking_settings(**options: Any) -> Settings:
    return small_settings(recommend=MORE | options)


def ranked(events: Iterable[dict[str, Any]], **options: Any) -> Shard:
    shard = Shard(ranking_settings(**options), 0)
    run(shard, records(events))
    return shard


def lists(shard: Shard) -> list[list[str]]:
    return [shard.recommend(who, 8) for who in [*PEOPLE, "nobody"]]


def state(shard: Shard) -> dict[str, bytes]:
    """The pieces of a first snapshot: every byte that lists are made of."""
    return {name: bytes(piece) for name, piece in shard.snapshot().changed.items() if name.startswith("ranking.")}


@pytest.fixture(scope="module")
def undisturbed() -> tuple[list[list[str]], dict[str, bytes]]:
    shard = Shard(ranking_settings(), 0)
    run(shard, EVENTS)
    return lists(shard), state(shard)


cuts = st.lists(st.integers(1, N), max_size=8)


@checks(max_examples=20, deadline=None)
@given(cuts=cuts)
def test_lists_and_state_do_not_depend_on_how_records_are_cut_into_batches(undisturbed: Any, cuts: list[int]) -> None:
    shard = Shard(ranking_settings(), 0)
    run(shard, EVENTS, cuts)
    assert lists(shard) == undisturbed[0]
    assert state(shard) == undisturbed[1]


@checks(max_examples=15, deadline=None)
@given(restarts=st.lists(st.integers(1, N), min_size=1, max_size=4, unique=True), asks=st.booleans())
def test_nor_on_restarts_nor_on_having_been_asked(undisturbed: Any, restarts: list[int], asks: bool) -> None:
    shard, pieces = Shard(ranking_settings(), 0), dict[str, Any]()
    for first, last in itertools.pairwise([0, *sorted(restarts), len(EVENTS)]):
        run(shard, EVENTS[first:last])
        if asks:
            lists(shard)
        taken = shard.snapshot()
        pieces = {name: data for name, data in (pieces | taken.changed).items() if name in taken.live}
        shard = Shard.restore(ranking_settings(), 0, taken.meta, pieces, generation=0)
        assert not shard.lists_begin_anew
        pieces = {}
        again = shard.snapshot()
        pieces = dict(again.changed)
    assert lists(shard) == undisturbed[0]


def test_later_snapshots_hold_what_changed_and_are_put_together_again() -> None:
    shard, pieces = Shard(ranking_settings(), 0), dict[str, Any]()
    for first in range(0, len(EVENTS), 100):
        run(shard, EVENTS[first : first + 100])
        while shard.copy_ahead():
            pass
        taken = shard.snapshot()
        pieces = {name: data for name, data in (pieces | taken.changed).items() if name in taken.live}
    again = Shard.restore(ranking_settings(), 0, taken.meta, pieces, generation=0)
    assert lists(again) == lists(shard)
    assert state(again) == state_of_fresh(EVENTS)


def state_of_fresh(rows: Sequence[EventRecord]) -> dict[str, bytes]:
    shard = Shard(ranking_settings(), 0)
    run(shard, rows)
    return state(shard)


def test_rows_and_pieces_are_the_same_with_lists_and_without() -> None:
    on, off = Shard(ranking_settings(publish=True), 0), Shard(small_settings(), 0)
    said = [run(each, EVENTS, cuts=[100, 250]) for each in (on, off)]
    assert weights(said[0]).equals(weights(said[1]))
    assert samples(said[0]).equals(samples(said[1]))
    taken, plain = on.snapshot(), off.snapshot()
    assert {name: bytes(data) for name, data in taken.changed.items() if not name.startswith("ranking.")} == {
        name: bytes(data) for name, data in plain.changed.items()
    }
    assert not [name for name in (*plain.live, *plain.meta, *plain.meta["rows"]) if name.startswith("ranking")]
    assert Layout.of(ranking_settings()) == Layout.of(small_settings())
    assert ranking_settings().fingerprint() == small_settings().fingerprint()


def test_switched_on_over_a_checkpoint_without_lists_they_begin_empty_and_that_is_told() -> None:
    off = Shard(small_settings(), 0)
    run(off, EVENTS[:300])
    saved = off.snapshot()
    on = Shard.restore(ranking_settings(), 0, saved.meta, saved.changed, generation=1)
    assert on.lists_begin_anew
    assert on.recommend("u1", 5) == []
    run(on, EVENTS[300:])
    assert on.recommend("u1", 5)


def test_switched_off_a_checkpoint_drops_the_lists_and_goes_on() -> None:
    on = Shard(ranking_settings(), 0)
    run(on, EVENTS[:300])
    saved = on.snapshot()
    off = Shard.restore(small_settings(), 0, saved.meta, saved.changed, generation=1)
    assert not off.lists_begin_anew
    assert not [name for name in off.snapshot().live if name.startswith("ranking")]
    with pytest.raises(UsageError, match=r"recommend\.enabled=true"):
        off.recommend("u1", 5)


@pytest.mark.parametrize("changed", [{"neighbours": 5}, {"items": 128}, {"list_length": 6}])
def test_under_other_bounds_they_begin_empty_and_that_is_told(changed: dict[str, int]) -> None:
    on = Shard(ranking_settings(), 0)
    run(on, EVENTS[:300])
    saved = on.snapshot()
    assert Shard.restore(ranking_settings(**changed), 0, saved.meta, saved.changed, generation=1).lists_begin_anew


def test_settings_that_bound_nothing_change_no_saved_state() -> None:
    on = Shard(ranking_settings(), 0)
    run(on, EVENTS[:300])
    saved = on.snapshot()
    again = Shard.restore(ranking_settings(half_life_s=9, seen="include"), 0, saved.meta, saved.changed, generation=1)
    assert not again.lists_begin_anew


def test_under_another_half_life_what_was_counted_has_decayed_as_was_said_then() -> None:
    at_s = 30 * 3_600
    told = [event(0), *(event(n, at_s=at_s, user=f"u{n}", item="old") for n in range(1, 4))]
    then = [event(n, at_s=at_s, user=f"u{n}", item="new") for n in range(4, 9)]
    before = ranked(told)
    saved, counted = before.snapshot(), before.own_neighbourhoods()
    again = Shard.restore(ranking_settings(half_life_s=2_592_000), 0, saved.meta, saved.changed, generation=1)
    now = again.own_neighbourhoods()
    assert counted is not None and now is not None
    assert now.popularity == pytest.approx(counted.popularity, rel=1e-6)
    run(again, records([*told, *then])[len(told) :])
    assert again.recommend("nobody", 2) == ["new", "old"]


def test_duplicates_heartbeats_and_dead_letters_teach_nothing() -> None:
    told = [event(n, at_s=n, user=f"u{n % 3}", item=f"i{n % 4}") for n in range(20)]
    noise = [told[3], heartbeat(15), {"event_id": "x", "user_id": "u1"}, told[7], told[7], {"no": "event"}]
    assert state(ranked([*told, *noise])) == state(ranked(told))


def test_impressions_and_returns_teach_nothing() -> None:
    told = [event(n, at_s=n, user="u1", item=f"i{n}") for n in range(4)]
    passive = [event(10 + n, kind, 9, "u2", "i9") for n, kind in enumerate(("impression", "return"))]
    assert state(ranked([*told, *passive])) == state(ranked(told))


def test_low_ratings_count_what_is_set() -> None:
    told = [event(1, "rating", 0, "a", "good", rating=5), event(2, "rating", 1, "b", "bad", rating=1)]
    assert ranked(told).recommend("nobody", 2) == ["good", "bad"]
    assert ranked(told, disliked_weight=0).recommend("nobody", 2) == ["good"]
    assert ranked(told[1:], liked_rating=1).own_neighbourhoods() is not None


def test_after_an_erasure_nothing_of_the_lists_holds_the_user() -> None:
    told = [event(n, at_s=n, user="u-erased" if n % 2 else "u1", item=f"i{n}") for n in range(20)]
    shard = Shard(ranking_settings(pairs=1_024), 0)
    run(shard, unkeyed(told))
    assert key_of("u-erased") in b"".join(state(shard).values())
    run(shard, unkeyed([*told, erase("u-erased")])[len(told) :])
    assert key_of("u-erased") not in held(shard)
    assert shard.recommend("u-erased", 9) == shard.recommend("nobody", 9)


def test_tables_are_bounded_and_the_newest_are_known() -> None:
    shard = ranked(event(n, at_s=n, user=f"u{n}", item=f"i{n}") for n in range(2_000))
    assert shard.recommend("u1999", 99)
    assert sum(map(len, state(shard).values())) < 200_000


def test_a_list_names_no_item_twice_and_is_as_long_as_asked() -> None:
    shard = Shard(ranking_settings(items=1_024), 0)
    run(shard, EVENTS)
    for who in PEOPLE:
        listed = shard.recommend(who, 12)
        assert len(listed) == len(set(listed)) == 12
        assert shard.recommend(who, 3) == listed[:3]
    assert shard.recommend("u1", 0) == []


def test_ids_are_those_of_the_records_whatever_their_length() -> None:
    odd = ["ü", "x" * 256, "7"]
    shard = ranked(event(n, at_s=n, user="u1", item=item) for n, item in enumerate(odd))
    assert set(shard.recommend("nobody", 9)) == set(odd)


def test_a_user_is_asked_for_by_the_raw_id_where_published_ones_are_hidden(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    settings = small_settings(recommend=MORE, privacy={"hmac_key_file": key})
    told = [event(n, at_s=n, user=user, item=item) for n, (user, item) in enumerate(PATH)]
    shard = Shard(settings, 0)
    run(shard, records(told))
    assert shard.recommend("joe", 1) == ["pot"]


PATH = [
    *itertools.product("ab", ("tea", "pot")),
    *itertools.product("cde", ("hit",)),
    ("joe", "tea"),
]


def test_lists_before_events_are_those_that_stood_then() -> None:
    shard, step = Shard(ranking_settings(), 0), Shard(ranking_settings(), 0)
    shard.list_before_events()
    before = [each for output in run(shard, EVENTS, cuts=[70, 300]) for each in output.lists_before]
    expected = {}
    for row in EVENTS:
        user = row.key.decode() if row.key else ""
        listed = step.recommend(user, 5)
        if sum(sum(output.counts.weighted) for output in run(step, [row])):
            expected[len(expected)] = listed
    assert [each.items for each in before] == list(expected.values())
    assert before[0].cold
    assert not all(each.cold for each in before)
    assert lists(shard) == lists(step)


# -- what other partitions have counted


def counted_by(partition: int, **options: Any) -> tuple[Shard, Neighbourhoods]:
    shard = Shard(ranking_settings(**ROOMY | options), partition)
    rows = [row for row in EVENTS if row.key and hash_of(row.key) == partition]
    again = [EventRecord(offset, row.value, row.key) for offset, row in enumerate(rows)]
    run(shard, again)
    found = shard.own_neighbourhoods()
    assert found is not None
    return shard, found


ROOMY = {"users": 1_024, "items": 1_024, "pairs": 4_096, "neighbours": 256, "half_life_s": 0, "list_length": 50}


def hash_of(key: bytes) -> int:
    return hashlib.sha256(key).digest()[0] % 2


def test_counts_of_two_partitions_together_are_those_of_both() -> None:
    parts = [counted_by(partition)[1] for partition in (0, 1)]
    both = summed(parts, 0.0)
    assert both.popularity.sum() == pytest.approx(sum(part.popularity.sum() for part in parts))
    assert both.neighbours.counts.sum() == pytest.approx(sum(part.neighbours.counts.sum() for part in parts))
    assert len(both.keys) == len({*parts[0].keys.tolist(), *parts[1].keys.tolist()})
    assert pack(unpack(pack(both))) == pack(both)


def test_with_the_others_counts_a_partition_ranks_nearly_as_one_that_has_seen_everything() -> None:
    shard, _ = counted_by(0)
    _, others = counted_by(1)
    whole = Shard(ranking_settings(**ROOMY), 0)
    rows = [row for row in EVENTS if row.key]
    run(whole, [EventRecord(offset, row.value, row.key) for offset, row in enumerate(rows)])
    people = [who for who in PEOPLE if hash_of(who.encode()) == 0]
    apart = [shard.recommend(who, 20) for who in people]
    shard.put_neighbourhoods(others)
    together = [shard.recommend(who, 20) for who in people]
    known = [whole.recommend(who, 20) for who in people]
    overlap = [np.mean([len({*a} & {*b}) / 20 for a, b in zip(each, known, strict=True)]) for each in (apart, together)]
    assert overlap[0] < 0.8 < 0.9 < overlap[1]
    shard.put_neighbourhoods(None)
    assert [shard.recommend(who, 20) for who in people] == apart


def test_an_item_whose_id_ends_in_a_zero_byte_is_listed_but_not_shared() -> None:
    named = ["a", "a\0", "\0", "b"]
    shard = ranked(event(n, at_s=n, user="u1", item=item) for n, item in enumerate(named))
    found = shard.own_neighbourhoods()
    assert found is not None
    assert set(found.ids.tolist()) == {b"a", b"b"}
    assert found.keys.tolist() == Text.of(found.ids.tolist()).keys().tolist()
    assert {*found.neighbours.item.tolist(), *found.popular.item.tolist()} == {0, 1}
    assert set(shard.recommend("nobody", 9)) == set(named)


def test_the_others_counts_are_saved_and_are_no_part_of_the_own() -> None:
    shard, own = counted_by(0)
    shard.put_neighbourhoods(counted_by(1)[1])
    saved = shard.snapshot()
    again = Shard.restore(ranking_settings(**ROOMY), 0, saved.meta, saved.changed, generation=1)
    assert lists(again) == lists(shard)
    found = again.own_neighbourhoods()
    assert found is not None and pack(found) == pack(own)
    pieces = {name: data for name, data in saved.changed.items() if is_ranking(name)}
    read = own_neighbourhoods(ranking_settings(**ROOMY), saved.meta, pieces)
    assert read is not None and pack(read) == pack(own)


# -- what it takes


def test_the_lists_are_part_of_what_a_shard_takes() -> None:
    on, off = ({part.name: part.memory for part in part_sizes(each)} for each in (ranking_settings(), small_settings()))
    more = on.keys() - off.keys()
    assert more == {f"lists: {part}" for part in ("users", "items", "categories", "pairs", "working memory")}
    assert sum(on[name] for name in more) > 64 * 4 * 12
    bound = table_limits(ranking_settings()).bytes - table_limits(small_settings()).bytes
    assert 0 < bound <= sum(on[name] for name in more)
    shard = Shard(ranking_settings(), 0)
    empty = shard.stats().table_bytes
    run(shard, EVENTS)
    assert empty < shard.stats().table_bytes <= table_limits(ranking_settings()).bytes
