"""Snapshots hand out what changed, and a state that does not fit is refused."""

from __future__ import annotations

import pytest

from sie_online.errors import CheckpointError
from sie_online.shard import Shard, Snapshot
from tests.support.events import event, heartbeat, random_events, records, run, small_settings, weights


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
