"""The guard inside a shard: whose views it judges, that it outlives a restart, and what it does to rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online.contracts import FACTORS
from sie_online.importance.guard import ESTABLISHED_EVENTS, LOOKS
from sie_online.shard import Shard
from tests.support.events import event, heartbeat, random_events, records, run, samples, small_settings, weights

DAY_S = 86_400.0
N = 4_000
ROWS = records([*random_events(N, seed=3, step_s=600.0), heartbeat(N * 600.0 + 30 * DAY_S)])


def guard_of(shard: Shard) -> dict[str, Any]:
    """The guard's state, of everybody and of each account."""
    population, users = shard._learned.state.population, shard._learned.state.users.rows
    found = {name: population[name].tobytes() for name in population.dtype.names or () if name.startswith("guard")}
    order = np.argsort(users["key"])
    return found | {name: users[name][order].tobytes() for name in users.dtype.names or () if name.startswith("guard")}


@hypothesis_settings(max_examples=5, deadline=None)
@given(at=st.integers(1, N))
def test_the_guard_goes_on_after_a_restart_as_if_there_had_been_none(at: int) -> None:
    whole, first = Shard(small_settings(), 0), Shard(small_settings(), 0)
    run(whole, ROWS)
    run(first, ROWS[:at])
    saved = first.snapshot()
    second = Shard.restore(small_settings(), 0, saved.meta, saved.changed, generation=1)
    run(second, ROWS[at:])
    assert whole.stats().judged_views > LOOKS[0]
    assert guard_of(second) == guard_of(whole)
    assert second.stats().log_evidence == whole.stats().log_evidence


def history(acts: int, days: float, views: int = ESTABLISHED_EVENTS) -> list[dict[str, Any]]:
    """Views and acts of a user over ``days``, and one more view at their end."""
    times = np.linspace(0, days * DAY_S, views + acts + 1).tolist()
    kinds = ["cart"] * acts + ["view"] * (views + 1)
    return [event(n, kind, at_s=at, item=f"i{n % 9}") for n, (kind, at) in enumerate(zip(kinds, times, strict=True))]


@pytest.mark.parametrize(
    ("events", "judged"),
    [
        (history(acts=2, days=1.1), 2),  # those of days 1.05 and 1.1
        (history(acts=1, days=1.1), 0),
        (history(acts=2, days=0.9), 0),
        (history(acts=2, days=1.1, views=12), 0),
    ],
    ids=["established", "one act", "a day old at most", "few events"],
)
def test_only_views_of_established_accounts_are_judged(events: list[dict[str, Any]], judged: int) -> None:
    shard = Shard(small_settings(), 0)
    run(shard, records([*events, heartbeat(3 * DAY_S)]))
    assert shard.stats().judged_views == judged


def test_views_of_an_account_that_was_forgotten_are_not_judged() -> None:
    events = history(acts=2, days=1.1)
    last = events[-1]["timestamp_ms"]
    strangers = [event(1_000 + n, user=f"s{n}") | {"timestamp_ms": last + n} for n in range(200)]
    shard = Shard(small_settings(), 0)
    run(shard, records([*events, *strangers, heartbeat(3 * DAY_S)]))
    assert shard.stats().judged_views == 1, "the one that had settled"


def test_rows_are_published_at_the_strength_in_force() -> None:
    guarded, pinned = Shard(small_settings(), 0), Shard(small_settings(guard={"strength": 0.25}), 0)
    guarded._learned.state.population["guard_withheld"] = 0.75
    outputs = [run(shard, ROWS[:700]) for shard in (guarded, pinned)]
    assert guarded.stats().strength == pinned.stats().strength == 0.25
    assert weights(outputs[0]).equals(weights(outputs[1]))
    assert samples(outputs[0]).equals(samples(outputs[1]))
    columns = weights(outputs[0])
    assert np.abs(columns["f_guard"].to_numpy()).max() > 0.01
    log_weight = sum(columns[f"f_{name}"].to_numpy() for name in FACTORS)
    np.testing.assert_allclose(np.log(columns["weight"].to_numpy()), log_weight, atol=1e-6)


def test_a_pinned_strength_changes_no_evidence() -> None:
    free, pinned = Shard(small_settings(), 0), Shard(small_settings(guard={"strength": 0.0}), 0)
    for shard in (free, pinned):
        run(shard, ROWS)
    assert free.stats().judged_views == pinned.stats().judged_views > LOOKS[0]
    assert pinned.stats().strength == 0.0
