"""A noise model is put in force at exactly its offset, however records are cut, saved and restored."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online.announcements import NOISE, Adoption
from sie_online.importance.noise.model import NoiseArrays, default_noise
from sie_online.shard import Shard
from sie_online.shard.schedule import versions_named
from tests.support.events import heartbeat, random_events, records, run, small_settings, weights
from tests.support.noise_models import random_noise_model

N = 600
EVENTS = [*random_events(N, seed=4), heartbeat(10 * N * 20)]
SETTINGS = small_settings()
AT, NEWER_AT, BACK_AT = 150, 300, 450
"""Where the first is put in force, the second, and the default again."""

Plan = list[tuple[Adoption, NoiseArrays | None]]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return [
        (Adoption(1, "A", AT, NOISE), random_noise_model(1)),
        (Adoption(2, "B", NEWER_AT, NOISE), random_noise_model(2)),
        (Adoption(3, "builtin", BACK_AT, NOISE), None),
    ]


def adopting(plan: Plan) -> Shard:
    """A shard that was told of all of ``plan`` at its start."""
    shard = Shard(SETTINGS, 0)
    assert all(shard.schedule(adoption, artifact) for adoption, artifact in plan)
    return shard


@pytest.fixture(scope="module")
def undisturbed(plan: Plan) -> pa.Table:
    return weights(run(adopting(plan), records(EVENTS)))


def test_a_noise_model_changes_p_from_its_offset_on_and_nothing_before(undisturbed: pa.Table) -> None:
    found, without = (
        table.filter(pa.compute.equal(table["revision"], 0)).to_pandas()
        for table in (undisturbed, weights(run(Shard(SETTINGS, 0), records(EVENTS))))
    )
    unlike = found["noise_probability"] != without["noise_probability"]
    assert not unlike[found["offset"] < AT].any()
    assert unlike[found["offset"].between(AT, BACK_AT - 1)].mean() > 0.9
    assert (found["model_version"] == "builtin").all()


def test_what_is_ordinary_begins_anew_with_the_version(plan: Plan) -> None:
    shard = adopting(plan)
    run(shard, records(EVENTS)[:AT])  # adopted as the batch ends
    expected = plan[0][1]
    assert expected is not None
    assert np.array_equal(shard._learned.state.population[0]["z_location"], expected.location)
    assert shard.version(NOISE) == "A"


def test_a_rollback_leaves_nothing_of_the_version_but_what_it_said(plan: Plan) -> None:
    shard = adopting(plan)
    run(shard, records(EVENTS)[:BACK_AT])
    assert shard._learned.state.noise is default_noise()
    assert np.array_equal(shard._learned.state.population[0]["z_location"], default_noise().location)
    assert (shard.version(NOISE), shard.announced(NOISE)) == ("builtin", 3)


cuts = st.lists(st.integers(1, N) | st.sampled_from([AT, NEWER_AT - 1, NEWER_AT, BACK_AT]), max_size=6, unique=True)


@hypothesis_settings(max_examples=15)
@given(cuts=cuts, saved=st.data())
def test_cuts_and_restores_change_no_row(
    plan: Plan, undisturbed: pa.Table, cuts: list[int], saved: st.DataObject
) -> None:
    by_version = {adoption.version: artifact for adoption, artifact in plan}
    rows, shard, at, outputs = records(EVENTS), adopting(plan), 0, []
    for cut in sorted(cuts):
        outputs += run(shard, rows[at:cut])
        at = cut
        if saved.draw(st.booleans()):
            snapshot = shard.snapshot()
            meta = json.loads(json.dumps(snapshot.meta))
            artifacts = {model: by_version[version] for model, version in versions_named(meta).items()}
            shard = Shard.restore(SETTINGS, 0, meta, snapshot.changed, generation=0, artifacts=artifacts)  # type: ignore[arg-type]
            for adoption, artifact in plan:
                assert adoption.n <= shard.announced(NOISE) or shard.schedule(adoption, artifact)
    outputs += run(shard, rows[at:])
    assert weights(outputs).equals(undisturbed)


def test_a_restored_shard_without_its_version_has_not_heard_of_it(plan: Plan) -> None:
    shard = adopting(plan)
    run(shard, records(EVENTS)[:200])
    saved = shard.snapshot()
    assert versions_named(saved.meta) == {NOISE: "A"}
    restored = Shard.restore(SETTINGS, 0, saved.meta, saved.changed, generation=0)
    assert (restored.announced(NOISE), restored.version(NOISE)) == (0, "builtin")
    assert restored._learned.state.noise is default_noise()


def test_a_snapshot_of_before_there_were_noise_models_is_restored() -> None:
    shard = Shard(SETTINGS, 0)
    run(shard, records(EVENTS)[:50])
    saved = shard.snapshot()
    meta = {name: value for name, value in saved.meta.items() if name != NOISE}
    restored = Shard.restore(SETTINGS, 0, meta, saved.changed, generation=0)
    assert (restored.announced(NOISE), restored.version(NOISE)) == (0, "builtin")
