"""Snapshots hand out what changed, and a state that does not fit is refused."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st

from sie_online.errors import CheckpointError
from sie_online.shard import Shard, Snapshot
from sie_online.shard import ranges as shard_ranges
from sie_online.shard import snapshot as shard_snapshot
from sie_online.shard.snapshot import bounds_of, small_arrays, tables_of
from sie_online.shard.state import State
from tests.support.events import event, heartbeat, random_events, records, run, small_settings, weights


def contents(shard: Shard) -> dict[str, bytes]:
    """Every byte that a snapshot must hold, read from the arrays themselves."""
    state = shard._learned.state
    head, tail = int(state.counters["head"][0]), int(state.counters["tail"][0])
    found = {name: array.tobytes() for name, array in small_arrays(state)}
    found |= {table.name: table.records[np.arange(table.first, table.last) % max(len(table.records), 1)].tobytes()
              for table in tables_of(state)}  # fmt: skip
    at = np.arange(head, tail) % len(state.views.hot)
    hot = state.views.hot[at]
    hot["previous"] = 0  # the chains are derived
    views = {"hot": hot, "cold": state.views.cold[at], "overlay": state.views.overlay[at], "ids": ids_of(state)}
    return found | {name: part.tobytes() for name, part in views.items()} | {"events": str(tail).encode()}


def ids_of(state: State) -> np.ndarray:
    """The id bytes of all open views."""
    bounds = bounds_of(state)
    return state.views.ids[np.arange(bounds.ids_head, bounds.ids_tail) % len(state.views.ids)]


@pytest.mark.parametrize("settings", [{}, {"dedupe": {"events": 0}}], ids=["default", "no dedupe"])
@checks(max_examples=12, deadline=None)
@given(st.data())
def test_no_change_is_forgotten(settings: dict[str, Any], data: st.DataObject) -> None:
    """What was handed out of the pieces in force is, after every snapshot, the state byte for byte."""
    made = small_settings(**settings)
    events = random_events(700, seed=data.draw(st.integers(0, 5)), users=90, items=90)
    for at in sorted(data.draw(st.lists(st.integers(0, 699), max_size=2)), reverse=True):
        events.insert(at, {"event_type": "erase", "user_id": f"u{at % 90}"})
    rows = [one if events[one.offset]["event_type"] != "erase" else replace(one, key=None) for one in records(events)]
    cuts = sorted(data.draw(st.lists(st.integers(1, len(rows)), min_size=1, max_size=40, unique=True)))
    shard, pieces = Shard(made, 0), dict[str, bytes]()
    for first, last in itertools.pairwise([0, *cuts]):
        run(shard, rows[first:last])
        if data.draw(st.booleans()):
            shard.copy_ahead()
            continue
        snapshot = shard.snapshot()
        pieces = {name: bytes(snapshot.changed.get(name) or pieces[name]) for name in snapshot.live}
        meta = json.loads(json.dumps(snapshot.meta))
        assert contents(Shard.restore(made, 0, meta, pieces, generation=0)) == contents(shard)


def test_an_account_that_is_judged_while_it_is_away_has_changed() -> None:
    shard = Shard(small_settings(), 0)
    kinds = itertools.cycle(["purchase", "view", "view"])
    events = [event(n, next(kinds), at_s=n * 10_000, user="u1", item=f"i{n}") for n in range(30)]
    run(shard, records(events))
    first, judged = shard.snapshot(), shard.stats().judged_views
    run(shard, records([*events, heartbeat(500_000)])[30:])
    second = shard.snapshot()
    assert shard.stats().judged_views > judged
    pieces = {name: second.changed.get(name) or first.changed[name] for name in second.live}
    again = Shard.restore(small_settings(), 0, second.meta, pieces, generation=0)
    assert contents(again) == contents(shard)


@pytest.mark.parametrize("part_bytes", [1, 5_000, 20_000])
def test_a_first_snapshot_copied_ahead_in_parts_is_one_of_now(part_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_snapshot, "PART_BYTES", part_bytes)
    monkeypatch.setattr(shard_ranges, "LARGEST_RANGE", 64)
    shard, rows, parts = Shard(small_settings(), 0), records(random_events(600, seed=5)), 0
    run(shard, rows[:400])
    for at in range(400, 590, 10):
        parts += shard.copy_ahead()
        run(shard, rows[at : at + 10])
    assert parts > 3
    ahead = shard.snapshot()
    assert ahead.changed.keys() == ahead.live
    again = Shard.restore(small_settings(), 0, ahead.meta, ahead.changed, generation=0)
    assert contents(again) == contents(shard)
    assert not shard.copy_ahead(), "only the first one holds everything"


def advanced(n: int) -> tuple[Shard, Snapshot]:
    shard = Shard(small_settings(), 0)
    run(shard, records(random_events(n, seed=5)))
    return shard, written(shard)


def written(shard: Shard) -> Snapshot:
    """A snapshot whose pieces have been looked at, as a writer does before the shard's next one."""
    snapshot = shard.snapshot()
    assert snapshot.changed.keys() <= snapshot.live
    return snapshot


def test_a_second_snapshot_of_an_unchanged_shard_carries_nothing() -> None:
    shard, first = advanced(300)
    second = written(shard)
    assert second.changed == {}
    assert second.live == first.live == first.changed.keys()
    assert second.next_offset == 300


def test_a_snapshot_after_one_event_carries_little() -> None:
    shard, first = advanced(300)
    rows = records([*random_events(300, seed=5), event(10_000, at_s=9_000)])
    run(shard, rows[300:])
    second = written(shard)
    changed, whole = (sum(map(len, one.changed.values())) for one in (second, first))
    assert 0 < changed < 0.6 * whole


def test_ranges_of_open_views_stay_few_and_disappear_when_settled() -> None:
    settings = small_settings(labels={"window_s": 3600, "max_open_views": 1 << 13})
    shard, rows = (
        Shard(settings, 0),
        records([*(event(n, at_s=n, item=f"i{n}") for n in range(3_000)), heartbeat(9_000)]),
    )
    most = 0
    for at in range(0, 3_000, 10):
        run(shard, rows[at : at + 10])
        most = max(most, sum(name.startswith("views/") for name in shard.snapshot().live))
    assert most <= 12
    run(shard, rows[3_000:])
    assert not any(name.startswith("views/") for name in shard.snapshot().live)


def test_taking_snapshots_changes_nothing() -> None:
    events = records(random_events(500, seed=8))
    quiet, watched = Shard(small_settings(), 0), Shard(small_settings(), 0)
    expected = weights(run(quiet, events))
    outputs = []
    for at in range(0, 500, 50):
        outputs += run(watched, events[at : at + 50])
        watched.snapshot()
    assert weights(outputs).equals(expected)


def test_a_missing_range_of_views_is_refused() -> None:
    _, snapshot = advanced(300)
    pieces = {name: data for name, data in snapshot.changed.items() if not name.startswith("views/")}
    with pytest.raises(CheckpointError, match=r"open views .* are missing"):
        Shard.restore(small_settings(), 0, snapshot.meta, pieces, generation=1)


def test_a_state_of_other_sizes_is_refused() -> None:
    _, snapshot = advanced(300)
    other = small_settings(dedupe={"events": 0})
    with pytest.raises(CheckpointError, match="does not fit"):
        Shard.restore(other, 0, snapshot.meta, snapshot.changed, generation=1)
