"""Lists by what other shards have counted, too: as if a shard had seen their users, from the announced offset on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online.announcements import PRIORS, Adoption
from sie_online.ranking.pooling import Neighbourhoods, pack
from sie_online.recommender.pooling import Gains
from sie_online.shard import Shard
from sie_online.shard.ranking import is_ranking, own_neighbourhoods
from sie_online.statements import decode_recommendations
from tests.support.events import batch, event, random_events, records, run, small_settings, weights

N, LENGTH = 300, 5
AT, NEWER_AT, OUT_AT = 75, 150, 225
"""Where others' counts are taken in, where newer ones take their place, where they are taken out."""
RANKED: dict[str, Any] = {"enabled": True, "publish": True, "list_length": LENGTH, "seen": "exclude", "half_life_s": 0}
SETTINGS = small_settings(recommend=RANKED)
EVENTS = random_events(N, seed=1, users=12, items=40)
OTHERS = [one | {"user_id": f"other {one['user_id']}"} for one in random_events(2 * N, seed=2, users=30, items=40)]
USERS = sorted({str(one["user_id"]) for one in EVENTS})

Plan = list[tuple[Adoption, Gains | None]]


def lists_of(shard: Shard) -> dict[str, list[str]]:
    return {user: shard.recommend(user, LENGTH) for user in USERS}


def counted(n: int) -> Gains:
    """What another shard has learned of ``n`` records."""
    shard = Shard(SETTINGS, 1)
    run(shard, records(OTHERS)[:n])
    return shard.own_gains()


@pytest.fixture(scope="module")
def plan() -> Plan:
    return [
        (Adoption(1, "A", AT, PRIORS), counted(N)),
        (Adoption(2, "B", NEWER_AT, PRIORS), counted(2 * N)),
        (Adoption(3, "builtin", OUT_AT, PRIORS), None),
    ]


def adopting(plan: Plan) -> Shard:
    shard = Shard(SETTINGS, 0)
    assert all(shard.schedule(adoption, artifact) for adoption, artifact in plan)
    return shard


def test_users_get_the_lists_that_one_shard_of_all_users_would_give_them(plan: Plan) -> None:
    alone, single, shared = (Shard(SETTINGS, 0) for _ in range(3))
    run(alone, records(EVENTS))
    run(shared, records(EVENTS))
    shared.put_neighbourhoods(plan[1][1] and plan[1][1].neighbourhoods)
    run(single, records([*OTHERS, *EVENTS]))
    expected, found, before = lists_of(single), lists_of(shared), lists_of(alone)
    same = sum(found[user] == expected[user] for user in USERS)
    assert same >= 0.9 * len(USERS)  # counts are single floats, added in another order: ties may fall otherwise
    assert sum(before[user] == expected[user] for user in USERS) < 0.5 * len(USERS)


def test_items_that_only_others_have_met_are_recommended_by_their_ids() -> None:
    other, shard = Shard(SETTINGS, 1), Shard(SETTINGS, 0)
    seen = [event(n, user=f"o{n // 2}", item=("known", "été")[n % 2], at_s=n) for n in range(20)]
    run(other, records(seen))
    run(shard, records([event(99, user="ann", item="known")]))
    assert shard.recommend("ann", LENGTH) == []
    shard.put_neighbourhoods(other.own_neighbourhoods())
    assert shard.recommend("ann", LENGTH) == ["été"]
    assert set(shard.recommend("nobody", LENGTH)) == {"known", "été"}


def test_own_counts_do_not_contain_what_was_taken_in(plan: Plan) -> None:
    shard, alone = adopting(plan[:2]), Shard(SETTINGS, 0)
    for one in (shard, alone):
        run(one, records(EVENTS))
    assert _bytes(shard.own_neighbourhoods()) == _bytes(alone.own_neighbourhoods())


def _bytes(found: Neighbourhoods | None) -> bytes:
    assert found is not None
    return pack(found)


def said(shard: Shard, first: int = 0) -> list[tuple[int, tuple[str, ...]]]:
    """Every list that is made of the records from ``first`` on, with its offset."""
    outputs = [output for row in records(EVENTS)[first:] for output in shard.process(batch([row]))]
    made = [decode_recommendations(value) for one in outputs for _, value in one.gathered.lists if value]
    return [(one.offset, tuple(one.items)) for one in made]


@pytest.fixture(scope="module")
def undisturbed(plan: Plan) -> list[tuple[int, tuple[str, ...]]]:
    return said(adopting(plan))


def test_others_change_lists_from_their_offset_on_and_nothing_before(
    plan: Plan, undisturbed: list[tuple[int, tuple[str, ...]]]
) -> None:
    alone = said(Shard(SETTINGS, 0))
    assert [one for one in alone if one[0] < AT] == [one for one in undisturbed if one[0] < AT]
    assert [one for one in alone if AT <= one[0] < OUT_AT] != [one for one in undisturbed if AT <= one[0] < OUT_AT]
    out = adopting(plan)
    run(out, records(EVENTS))
    plain = Shard(SETTINGS, 0)
    run(plain, records(EVENTS))
    assert lists_of(out) == lists_of(plain)
    rows = weights(run(adopting(plan), records(EVENTS)))
    others = [(adoption, artifact and artifact._replace(neighbourhoods=None)) for adoption, artifact in plan]
    assert weights(run(adopting(others), records(EVENTS))).equals(rows)


@hypothesis_settings(max_examples=4)
@given(at=st.sampled_from([AT - 1, AT, AT + 20, NEWER_AT, NEWER_AT + 30, OUT_AT, OUT_AT + 20]))
def test_a_restored_shard_goes_on_with_what_came_from_others(
    plan: Plan, undisturbed: list[tuple[int, tuple[str, ...]]], at: int
) -> None:
    shard = adopting(plan)
    run(shard, records(EVENTS)[:at])
    shard.gathered()
    snapshot = shard.snapshot()
    again = Shard.restore(SETTINGS, 0, snapshot.meta, snapshot.changed, generation=0)
    for adoption, artifact in plan:
        if adoption.offset > at:
            assert again.schedule(adoption, artifact)
    assert said(again, at) == [one for one in undisturbed if one[0] >= at]


def test_a_snapshot_says_what_the_shard_has_counted_itself(plan: Plan) -> None:
    shard = adopting(plan)
    run(shard, records(EVENTS)[: NEWER_AT + 10])
    snapshot = shard.snapshot()
    pieces = {name: data for name, data in snapshot.changed.items() if is_ranking(name)}
    assert _bytes(own_neighbourhoods(SETTINGS, snapshot.meta, pieces)) == _bytes(shard.own_neighbourhoods())
    other = small_settings(recommend=RANKED | {"neighbours": 7})
    assert own_neighbourhoods(other, snapshot.meta, pieces) is None


def test_older_counts_of_others_count_less() -> None:
    decaying = small_settings(recommend=RANKED | {"half_life_s": 3_600})
    other, shard = Shard(decaying, 1), Shard(decaying, 0)
    run(other, records(event(n, user=f"o{n}", item="old", at_s=n) for n in range(4)))
    run(shard, records(event(n, user=f"u{n}", item="new", at_s=5 * 3_600 + n) for n in range(2)))
    shard.put_neighbourhoods(other.own_neighbourhoods())
    assert shard.recommend("nobody", 2) == ["new", "old"]
    early = Shard(decaying, 2)
    run(early, records(event(n, user=f"u{n}", item="new", at_s=n) for n in range(2)))
    early.put_neighbourhoods(other.own_neighbourhoods())
    assert early.recommend("nobody", 2) == ["old", "new"]


def test_a_shard_that_does_not_rank_shares_nothing() -> None:
    shard = Shard(small_settings(), 0)
    run(shard, records(EVENTS))
    assert shard.own_gains().neighbourhoods is None
    assert np.isfinite(shard.own_gains().linear.values).all()
