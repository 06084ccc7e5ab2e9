"""An announced net is put in force at exactly its offset, however records are cut, saved and restored."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from models import forward, inputs
from models.samples import from_table
from sie_online.announcements import (
    NET,
    Adopted,
    Adoption,
    Announcement,
    RegisteredModel,
    adopted_key,
    announcement_key,
    current_key,
    encode,
    manifest_key,
)
from sie_online.importance.factor import Learned
from sie_online.importance.influence import InfluenceConfig, NetArrays, importance, log_weight, new_net, no_net
from sie_online.shard import Shard
from sie_online.shard.entities import POPULATION
from tests.support.events import heartbeat, random_events, records, run, samples, small_settings, weights
from tests.support.moments import a_moment
from tests.support.nets import random_weights

N = 600
EVENTS = [*random_events(N, seed=4), heartbeat(10 * N * 20)]
SETTINGS = small_settings()
AT, BACK_AT = 200, 450
"""Where the net is put in force, and where the built-in model is again."""


@pytest.fixture(scope="module")
def net() -> NetArrays:
    return new_net(random_weights(), mean_f=0.5)


def adopting(net: NetArrays, offset: int = 0) -> Shard:
    """A shard that was told of both announcements at its start."""
    shard = Shard(SETTINGS, 0, offset=offset)
    assert shard.schedule(Adoption(1, "A", AT), net)
    assert shard.schedule(Adoption(2, "builtin", BACK_AT), None)
    return shard


@pytest.fixture(scope="module")
def undisturbed(net: NetArrays) -> pa.Table:
    return weights(run(adopting(net), records(EVENTS)))


def test_the_kernel_says_what_the_reference_says_bit_for_bit(net: NetArrays) -> None:
    told = from_table(
        pa.Table.from_batches([samples(run(Shard(SETTINGS, 0), records(EVENTS))).combine_chunks().to_batches()[0]])
    )
    for view, is_known in ((inputs.label_unknown, False), (inputs.label_known, True)):
        expected = forward.scores(random_weights(), view(told, random_weights().buckets))[:, forward.IMPORTANCE]
        found = [
            importance(
                net,
                a_moment(
                    user_key=told.user_hash[row], item_key=told.item_hash[row], category_key=told.category_hash[row],
                    etype=int(told.event_type[row]), probability=float(told.probability[row]),
                    feature_score=float(told.feature_score[row]),
                    error=float(told.error[row]) if is_known else np.nan, dense=told.dense[row],
                ),
            )
            for row in range(len(told.dense))
        ]  # fmt: skip
        assert found == expected.tolist()
        assert len(set(found)) > 100


def test_without_a_net_the_factor_is_nothing() -> None:
    learned = Learned(np.zeros(1, POPULATION)[0], no_net())
    assert log_weight(InfluenceConfig(True, 1.0), learned, a_moment()) == 0.0


def test_shards_that_run_beside_each_other_share_a_net_and_no_working_memory(net: NetArrays) -> None:
    shards = [Shard(SETTINGS, partition) for partition in range(2)]
    for shard in shards:
        shard.adopt(Adoption(1, "A", 0), net)
    mine, other = (shard._learned.state.net for shard in shards)
    assert mine.flat is other.flat
    assert not np.shares_memory(mine.work, other.work)


def test_versions_change_at_the_named_offsets_only(undisturbed: pa.Table) -> None:
    first = undisturbed.filter(pa.compute.equal(undisturbed["revision"], 0)).to_pandas()
    within = first["offset"].between(AT, BACK_AT - 1)
    assert (first["model_version"] == np.where(within, "A", "builtin")).all()
    is_sample = first["event_type"].isin(["impression", "view", "click", "purchase"])
    assert (first.loc[within & is_sample, "f_influence"] != 0).all()
    assert (first.loc[~within, "f_influence"] == 0).all()


def test_a_net_changes_weights_from_its_offset_on_and_nothing_before(undisturbed: pa.Table) -> None:
    without = weights(run(Shard(SETTINGS, 0), records(EVENTS))).to_pandas()
    found = undisturbed.to_pandas()
    earlier = found["published_ms"] < found.loc[found["offset"] == AT, "event_time_ms"].min()
    n = int(earlier.to_numpy().argmin())
    assert n > 50
    assert found["weight"][:n].equals(without["weight"][:n])
    assert not found["weight"].equals(without["weight"])


cuts = st.lists(st.integers(1, N) | st.sampled_from([AT, AT + 1, BACK_AT - 1, BACK_AT]), max_size=8, unique=True)


@hypothesis_settings(max_examples=25)
@given(cuts=cuts, saved=st.data())
def test_cuts_and_restores_change_no_row(
    net: NetArrays, undisturbed: pa.Table, cuts: list[int], saved: st.DataObject
) -> None:
    rows, shard, at, outputs = records(EVENTS), adopting(net), 0, []
    for cut in sorted(cuts):
        outputs += run(shard, rows[at:cut])
        at = cut
        if saved.draw(st.booleans()):
            snapshot = shard.snapshot()
            meta = json.loads(json.dumps(snapshot.meta))
            in_force = {NET: net} if meta["model_version"] == "A" else {}
            shard = Shard.restore(SETTINGS, 0, meta, snapshot.changed, generation=0, artifacts=in_force)
            for adoption, its_net in ((Adoption(1, "A", AT), net), (Adoption(2, "builtin", BACK_AT), None)):
                assert adoption.n <= shard.announced(NET) or shard.schedule(adoption, its_net)
    outputs += run(shard, rows[at:])
    assert weights(outputs).equals(undisturbed)


def test_what_is_heard_of_too_late_is_not_scheduled_but_adopted_on_request(net: NetArrays) -> None:
    shard = Shard(SETTINGS, 0)
    outputs = run(shard, records(EVENTS)[:300])
    assert not shard.schedule(Adoption(1, "A", 200), net)
    shard.adopt(Adoption(1, "A", 200), net)
    outputs += run(shard, records(EVENTS)[300:])
    first = weights(outputs).to_pandas().query("revision == 0")
    assert (first["model_version"] == np.where(first["offset"] >= 300, "A", "builtin")).all()
    assert (shard.announced(NET), shard.latest_known(NET)) == (1, 1)


def test_a_line_says_what_a_partition_is_to_adopt_and_where() -> None:
    registered = RegisteredModel()
    registered.apply(manifest_key("net", "A"), b"{}")
    for n, offsets in ((1, {0: 100, 1: 70}), (2, {0: 200})):
        announcement = Announcement(n=n, version="A", offsets=offsets, reason="publish", created_at_ms=0)
        registered.apply(announcement_key("net", n), encode(announcement))
    registered.apply(current_key("net"), b"2")
    registered.apply(adopted_key("net", 0, 1), encode(Adopted(n=1, version="A", partition=0, offset=150)))
    registered.apply(b"priors/announcement/1", b"not ours")
    assert list(registered.adoptions(0)) == [Adoption(1, "A", 150), Adoption(2, "A", 200)]
    assert list(registered.adoptions(1, after=1)) == [Adoption(2, "A", 0)]
    assert (registered.newest, registered.in_force(0), registered.in_force(1)) == (2, "builtin", "A")
