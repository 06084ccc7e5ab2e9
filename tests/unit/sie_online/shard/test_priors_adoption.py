"""What other shards have learned is taken in at exactly its offset, however records are cut, saved and restored."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online.announcements import NET, PRIORS, Adoption
from sie_online.importance.influence import NetArrays, new_net
from sie_online.recommender.pooling import TABLES, Gains
from sie_online.shard import Shard
from sie_online.shard.pooled import initial_recommender, is_learned, own_gains
from tests.support.events import heartbeat, random_events, records, run, small_settings, weights
from tests.support.nets import random_weights

N = 600
EVENTS = [*random_events(N, seed=4), heartbeat(10 * N * 20)]
SETTINGS = small_settings()
AT, NEWER_AT, OUT_AT = 150, 300, 450
"""Where priors are taken in, where newer ones take their place, where they are taken out; the net comes between."""
NET_AT = 300


def learned(seed: int, n: int) -> Gains:
    """What another shard has learned of ``n`` records."""
    shard = Shard(SETTINGS, 1)
    run(shard, records(random_events(N, seed=seed))[:n])
    return shard.own_gains()


@pytest.fixture(scope="module")
def plan() -> list[tuple[Adoption, Gains | NetArrays | None]]:
    return [
        (Adoption(1, "A", AT, PRIORS), learned(5, 300)),
        (Adoption(2, "B", NEWER_AT, PRIORS), learned(5, 500)),
        (Adoption(3, "builtin", OUT_AT, PRIORS), None),
        (Adoption(1, "N", NET_AT, NET), new_net(random_weights(), mean_f=0.5)),
    ]


def adopting(plan: list[tuple[Adoption, Gains | NetArrays | None]]) -> Shard:
    shard = Shard(SETTINGS, 0)
    assert all(shard.schedule(adoption, artifact) for adoption, artifact in plan)
    return shard


@pytest.fixture(scope="module")
def undisturbed(plan: list[tuple[Adoption, Gains | NetArrays | None]]) -> pa.Table:
    return weights(run(adopting(plan), records(EVENTS)))


def test_priors_change_predictions_from_their_offset_on_and_nothing_before(
    plan: list[tuple[Adoption, Gains | NetArrays | None]],
) -> None:
    alone = weights(run(Shard(SETTINGS, 0), records(EVENTS))).to_pandas().query("revision == 0")
    found = weights(run(adopting(plan[:1]), records(EVENTS))).to_pandas().query("revision == 0")
    before = (found["offset"] < AT).to_numpy()
    assert (found["probability"].to_numpy() == alone["probability"].to_numpy())[before].all()
    assert (found["probability"].to_numpy() != alone["probability"].to_numpy())[~before].all()
    assert set(found["model_version"]) == {"builtin"}  # that column is the net's


def test_own_gains_do_not_contain_what_was_taken_in(plan: list[tuple[Adoption, Gains | NetArrays | None]]) -> None:
    shard, alone = adopting(plan[:1]), Shard(SETTINGS, 0)
    for one in (shard, alone):
        run(one, records(EVENTS)[:AT])
    assert shard.announced(PRIORS) == 1
    mine, without = shard.own_gains(), alone.own_gains()
    assert set(without.linear.rows) <= set(mine.linear.rows)
    at = np.searchsorted(mine.linear.rows, without.linear.rows)
    assert np.allclose(mine.linear.values[at], without.linear.values, atol=1e-4)


cuts = st.lists(st.integers(1, N) | st.sampled_from([AT, AT + 1, NEWER_AT, OUT_AT - 1]), max_size=8, unique=True)


@hypothesis_settings(max_examples=25)
@given(cuts=cuts, saved=st.data())
def test_cuts_and_restores_change_no_row(
    plan: list[tuple[Adoption, Gains | NetArrays | None]], undisturbed: pa.Table, cuts: list[int], saved: st.DataObject
) -> None:
    rows, shard, at, outputs = records(EVENTS), adopting(plan), 0, []
    for cut in sorted(cuts):
        outputs += run(shard, rows[at:cut])
        at = cut
        if saved.draw(st.booleans()):
            snapshot = shard.snapshot()
            meta = json.loads(json.dumps(snapshot.meta))
            artifacts = {NET: plan[3][1]} if meta["model_version"] == "N" else {}
            shard = Shard.restore(SETTINGS, 0, meta, snapshot.changed, generation=0, artifacts=artifacts)  # type: ignore[arg-type]
            for adoption, artifact in plan:
                assert adoption.n <= shard.announced(adoption.model) or shard.schedule(adoption, artifact)
    outputs += run(shard, rows[at:])
    assert weights(outputs).equals(undisturbed)


def test_a_snapshot_says_what_the_shard_has_learned_itself(
    plan: list[tuple[Adoption, Gains | NetArrays | None]],
) -> None:
    shard = adopting(plan)
    run(shard, records(EVENTS)[: NEWER_AT + 50])
    pieces = {name: data for name, data in shard.snapshot().changed.items() if is_learned(name)}
    found, expected = own_gains(initial_recommender(SETTINGS), pieces), shard.own_gains()
    for table in TABLES:
        for ours, theirs in zip(getattr(found, table), getattr(expected, table), strict=True):
            assert (ours == theirs).all()


def test_a_snapshot_of_before_there_were_priors_is_gone_on_from() -> None:
    shard = Shard(SETTINGS, 0)
    run(shard, records(EVENTS)[:AT])
    snapshot = shard.snapshot()
    meta = {name: value for name, value in snapshot.meta.items() if name != PRIORS}
    again = Shard.restore(SETTINGS, 0, meta, snapshot.changed, generation=0)
    assert (again.announced(PRIORS), again.version(PRIORS)) == (0, "builtin")


def test_priors_heard_of_too_late_are_adopted_on_request(plan: list[tuple[Adoption, Gains | NetArrays | None]]) -> None:
    (adoption, gains), rows = plan[0], records(EVENTS)
    late, exact = Shard(SETTINGS, 0), Shard(SETTINGS, 0)
    outputs = run(late, rows[:200])
    assert not late.schedule(adoption, gains)
    late.adopt(adoption, gains)
    late.adopt(adoption._replace(n=1), None)  # heard of twice
    exact.schedule(adoption._replace(offset=200), gains)
    assert weights(outputs + run(late, rows[200:])).equals(weights(run(exact, rows)))
    assert (late.announced(PRIORS), late.latest_known(PRIORS), late.latest_known(NET)) == (1, 1, 0)
