"""A shard is a pure function of its partition's records."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sie_online.contracts import FACTORS
from sie_online.ingest.records import RecordBatch
from sie_online.shard import Shard, gathering
from tests.support.events import (
    HOUR_MS,
    EventRecord,
    batch,
    event,
    heartbeat,
    newest_statements,
    process,
    random_events,
    records,
    run,
    samples,
    small_settings,
    weights,
)

N = 1_500
EVENTS = [*random_events(N, seed=1), heartbeat(10 * N * 20)]


@pytest.fixture(scope="module")
def undisturbed() -> tuple[pa.Table, pa.Table, dict[bytes, bytes]]:
    """What one shard says of ``EVENTS`` in one batch."""
    outputs = process(EVENTS)
    return weights(outputs), samples(outputs), newest_statements(outputs)


cuts = st.lists(st.integers(1, N), max_size=12)


@hypothesis_settings(max_examples=20)
@given(cuts=cuts)
def test_rows_do_not_depend_on_how_records_are_cut_into_batches(undisturbed, cuts: list[int]) -> None:
    outputs = run(Shard(small_settings(), 0), records(EVENTS), cuts)
    assert weights(outputs).equals(undisturbed[0])
    assert samples(outputs).equals(undisturbed[1])
    assert newest_statements(outputs) == undisturbed[2]


@hypothesis_settings(max_examples=15)
@given(cuts=cuts, asked=st.sets(st.integers(0, 12)))
def test_gathering_changes_when_something_is_said_and_nothing_else(
    undisturbed, cuts: list[int], asked: set[int]
) -> None:
    shard, rows, gathered = Shard(small_settings(), 0), [], []
    edges = sorted({0, *cuts, len(EVENTS)})
    for number, (first, last) in enumerate(itertools.pairwise(edges)):
        for output in shard.process(batch(records(EVENTS)[first:last]), gather=True):
            rows.append(output)
            gathered.append(output.gathered)
        if number in asked:
            gathered.append(shard.gathered())
            assert not shard.waiting
    gathered.append(shard.gathered())

    assert weights(rows).equals(undisturbed[0])
    assert pa.Table.from_batches([one.samples for one in gathered]).equals(undisturbed[1])
    assert {key: value for one in gathered for key, value in one.entities} == undisturbed[2]


@pytest.mark.parametrize(("samples", "statements"), [(1, 1_000_000), (1_000_000, 1), (7, 5)])
def test_samples_and_statements_wait_until_each_are_many(
    undisturbed, monkeypatch: pytest.MonkeyPatch, samples: int, statements: int
) -> None:
    monkeypatch.setattr(gathering, "MANY_SAMPLES", samples)
    monkeypatch.setattr(gathering, "MANY_STATEMENTS", statements)
    shard, said = Shard(small_settings(), 0), []
    for first in range(0, len(EVENTS), 50):
        outputs = list(shard.process(batch(records(EVENTS)[first : first + 50]), gather=True))
        said += [output.gathered for output in outputs]
    n_samples, n_statements, _ = (sum(len(one) for one in kind) for kind in zip(*said, strict=True))
    assert n_samples == (undisturbed[1].num_rows if samples < 1_000_000 else 0)  # most settle with the last batch
    assert (n_statements > 0) == (statements < 1_000_000)
    said.append(shard.gathered())
    assert pa.Table.from_batches([one.samples for one in said]).equals(undisturbed[1])
    assert {key: value for one in said for key, value in one.entities} == undisturbed[2]


def test_what_was_gathered_would_be_missing_after_a_snapshot() -> None:
    shard = Shard(small_settings(), 0)
    list(shard.process(batch(records([event(n) for n in range(9)])), gather=True))
    assert shard.waiting
    with pytest.raises(ValueError, match="would be lost"):
        shard.snapshot()
    shard.gathered()
    assert shard.snapshot().next_offset == 9


@hypothesis_settings(max_examples=15)
@given(cuts=cuts, gaps=st.dictionaries(st.integers(0, N), st.integers(1, 5), max_size=12), told=st.booleans())
def test_offsets_without_a_record_change_nothing_however_a_shard_is_told_of_them(
    undisturbed, cuts: list[int], gaps: dict[int, int], told: bool
) -> None:
    """``gaps``: so many offsets pass before the record of an index; in a batch of their own if ``told``."""
    rows, shift = [], 0
    for index, row in enumerate(records(EVENTS)):
        shift += gaps.get(index, 0)
        rows.append(replace(row, offset=row.offset + shift))
    shard, outputs = Shard(small_settings(), 0), []
    for first, last in itertools.pairwise(sorted({0, len(rows), *cuts, *gaps} - {len(rows) + 1})):
        if told and first in gaps:
            outputs += shard.process(_spanning([], shard.next_offset, rows[first].offset))
        outputs += shard.process(_spanning(rows[first:last], shard.next_offset, rows[last - 1].offset + 1))

    assert shard.next_offset == rows[-1].offset + 1
    assert weights(outputs).drop("offset").equals(undisturbed[0].drop("offset"))
    assert weights(outputs)["offset"].to_pylist() == [rows[at].offset for at in undisturbed[0]["offset"].to_pylist()]


def _spanning(rows: list[EventRecord], start: int, end: int) -> RecordBatch:
    return RecordBatch.of(rows, topic="sie.events", partition=0, epoch=1, start=start, end=end)


@hypothesis_settings(max_examples=15)
@given(saves=st.lists(st.integers(1, N), min_size=1, max_size=6, unique=True), keep=st.booleans())
def test_rows_do_not_depend_on_saving_and_restoring_in_between(undisturbed, saves: list[int], keep: bool) -> None:
    """``keep``: the shard goes on after a save and is restored later from pieces of several snapshots."""
    settings, rows = small_settings(), records(EVENTS)
    shard = Shard(settings, 0)
    pieces: dict[str, bytes] = {}
    outputs, at = [], 0
    for number, save in enumerate(sorted(saves)):
        outputs += run(shard, rows[at:save])
        at = save
        snapshot = shard.snapshot()
        pieces |= {name: bytes(data) for name, data in snapshot.changed.items()}
        pieces = {name: data for name, data in pieces.items() if name in snapshot.live}
        assert pieces.keys() == snapshot.live
        if keep and number % 2 == 0:
            continue
        meta = json.loads(json.dumps(snapshot.meta))
        shard = Shard.restore(settings, 0, meta, pieces, generation=0)
        pieces = {}
    outputs += run(shard, rows[at:])
    assert weights(outputs).equals(undisturbed[0])
    assert samples(outputs).equals(undisturbed[1])


@hypothesis_settings(max_examples=8)
@given(order=st.lists(st.booleans(), min_size=20, max_size=20))
def test_rows_do_not_depend_on_other_shards(undisturbed, order: list[bool]) -> None:
    settings, mine, other = small_settings(), records(EVENTS), records(random_events(600, seed=2))
    shards = {True: Shard(settings, 0), False: Shard(settings, 1)}
    left, step = {True: mine, False: other}, {True: -(-len(mine) // 10), False: 60}
    outputs = []
    for turn in [*order, *[True] * 10]:
        part, left[turn] = left[turn][: step[turn]], left[turn][step[turn] :]
        produced = run(shards[turn], part) if part else []
        outputs += produced if turn else []
    assert weights(outputs).equals(undisturbed[0])


def test_rows_do_not_depend_on_the_processor_s_features() -> None:
    script = "from tests.unit.sie_online.shard.test_shard import digest_of_a_run; print(digest_of_a_run())"
    plain = {name: value for name, value in os.environ.items() if not name.startswith("NPY_")}
    every = " ".join(name for name, found in _cpu_features().items() if found)
    outputs = [
        subprocess.run([sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True).stdout
        for env in (plain, plain | {"NPY_DISABLE_CPU_FEATURES": every})
    ]
    assert outputs[0] == outputs[1] == f"{digest_of_a_run()}\n"


def digest_of_a_run() -> str:
    """SHA-256 over every byte of the rows of a fixed stream."""
    rows = weights(process([*random_events(800, seed=3), heartbeat(1e6)]))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()


def _cpu_features() -> dict[str, bool]:
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    return {name: __cpu_features__[name] for name in __cpu_dispatch__}


def test_log_weight_is_the_sum_of_its_factors() -> None:
    for combine in ("off", "sum", "product"):
        settings = small_settings(
            importance={"combine": combine, "factors": ["noise", "delay", "balance"], "weight_max": 1.5, "k": 2.0},
            guard={"strength": 0.7},
        )
        rows = weights(process(EVENTS, settings))
        total = np.sum([rows[f"f_{name}"].to_numpy() for name in FACTORS], axis=0)
        np.testing.assert_allclose(np.log(rows["weight"].to_numpy()), total, atol=1e-9)
        assert all(np.isfinite(rows[f"f_{name}"].to_numpy()).all() for name in FACTORS)


def test_strength_zero_publishes_uniform_weights_and_the_uniform_twin() -> None:
    off = weights(process(EVENTS, small_settings(guard={"strength": 0.0})))
    full = weights(process(EVENTS, small_settings(guard={"strength": 1.0})))
    half = weights(process(EVENTS, small_settings(guard={"strength": 0.5})))
    first = off["revision"].to_numpy() == 0
    assert np.allclose(off["weight"].to_numpy(), 1.0, atol=1e-9)
    mixed = 0.5 * off["probability"].to_numpy()[first] + 0.5 * full["probability"].to_numpy()[first]
    np.testing.assert_allclose(half["probability"].to_numpy()[first], mixed, atol=1e-12)
    assert np.abs(off["probability"].to_numpy() - full["probability"].to_numpy()).max() > 1e-3


def test_weights_have_running_mean_one() -> None:
    rows = weights(process(EVENTS))
    learned = np.isin(rows["event_type"].to_pylist(), ["view", "purchase"]) & (rows["revision"].to_numpy() == 0)
    assert rows["weight"].to_numpy()[learned].mean() == pytest.approx(1.0, abs=0.1)


def test_every_record_is_accounted_for() -> None:
    rows = [*records(EVENTS[:200]), EventRecord(200, b"{", b"u1"), EventRecord(201, None, b"u1")]
    outputs = run(Shard(small_settings(), 0), rows)
    counts = [one.counts for one in outputs]
    assert sum(one.events_in for one in counts) == len(rows)
    assert sum(one.dead_letters for one in counts) == 2
    weighted = sum(sum(one.weighted) for one in counts)
    assert weighted == (weights(outputs)["revision"].to_numpy() == 0).sum()
    assert sum(sum(one.duplicates) for one in counts) == 200 - weighted > 0


def test_a_duplicate_leaves_no_trace() -> None:
    plain = [event(n, at_s=n, item=f"i{n % 7}") for n in range(60)]
    repeated = [*plain[:30], *plain[10:25], *plain[30:]]
    once, twice = process(plain), process(repeated)
    dropped = [name for name in weights(once).column_names if name != "offset"]
    assert weights(once).select(dropped).equals(weights(twice).select(dropped))


def test_a_batch_that_does_not_continue_the_shard_is_refused() -> None:
    shard = Shard(small_settings(), 0)
    with pytest.raises(ValueError, match="begins at 5, expected 0"):
        list(shard.process(batch(records([event(n) for n in range(9)])[5:])))


def test_memory_of_open_views_is_bounded_and_the_oldest_settles_early() -> None:
    events = [event(n, at_s=0.001 * n, user=f"u{n % 50}", item=f"i{n}") for n in range(3_000)]
    outputs = process(events)
    assert sum(one.counts.settled_early for one in outputs) == 3_000 - 1_024
    assert samples(outputs).num_rows == 3_000 - 1_024


def test_one_event_may_need_a_larger_output_than_usual() -> None:
    views = [event(n, at_s=0.001 * n) for n in range(6_000)]
    settings = small_settings(labels={"window_s": 3600, "max_open_views": 1 << 14}, dedupe={"events": 0})
    rows = weights(process([*views, event(6_000, "purchase", at_s=10)], settings))
    assert (rows["revision"].to_numpy() == 1).sum() == 6_000


def test_views_stay_open_whatever_disk_is_claimed_meanwhile() -> None:
    settings = small_settings(labels={"window_s": 3600, "max_open_views": 1 << 14})
    views = [event(n, at_s=0.01 * n, user=f"user-{n % 97}", item=f"item-{n}") for n in range(9_000)]
    rows = samples(process([*views, heartbeat(3 * HOUR_MS)], settings))
    assert rows["event_id"].to_pylist() == [f"e{n}" for n in range(9_000)]


@pytest.mark.parametrize("path", ["river.linear_model.LogisticRegression", "river.tree.HoeffdingTreeClassifier"])
def test_a_river_classifier_can_take_the_recommender_s_place_and_survives_a_restore(path: str) -> None:
    settings = small_settings(recommender={"classifier": path})
    rows = records([*random_events(300, seed=9), heartbeat(1e6)])
    whole = weights(run(Shard(settings, 0), rows, cuts=[17, 120]))
    first = Shard(settings, 0)
    outputs = run(first, rows[:150])
    snapshot = first.snapshot()
    second = Shard.restore(settings, 0, snapshot.meta, snapshot.changed, generation=0)
    outputs += run(second, rows[150:])
    assert weights(outputs).equals(whole)
    assert not np.allclose(whole["probability"].to_numpy(), weights(process(_values(rows)))["probability"].to_numpy())


def _values(rows: list[EventRecord]) -> list[dict[str, object]]:
    return [json.loads(row.value or b"null") for row in rows]
