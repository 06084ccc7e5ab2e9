"""What a shard says in figures of its outputs is what their rows and samples say."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pytest

from sie_online.contracts import EVENT_TYPES
from sie_online.ingest.records import LogRecord, RecordBatch
from sie_online.ingest.wire import final_heartbeats
from sie_online.recommender.kernels import TWIN_NAMES, UNIFORM, WEIGHTED
from sie_online.settings import Settings, load
from sie_online.shard import Shard, ShardOutput
from sie_online.shard.figures import table_limits
from sie_online.simulator import Scenario, simulate

KAFKA_MS = 1_900_000_000_000
BATCH = 1_000


def with_strength(strength: float) -> Settings:
    return load({"labels": {"window_s": 6 * 3_600.0}, "guard": {"strength": strength}})


@cache
def records() -> list[LogRecord]:
    """Two days of a generated shop, with noise in it, and what settles all of it."""
    stream = simulate(Scenario(events=4_000, seed=5))
    wire = [*stream.records(), *final_heartbeats(with_strength(1.0), stream.last_event_ms, 1)]
    return [LogRecord(offset, KAFKA_MS, record.key, record.value) for offset, record in enumerate(wire)]


def outputs(settings: Settings) -> tuple[list[ShardOutput], Shard]:
    """What the log gives rise to, and the shard after it."""
    shard, found = Shard(settings, 0), []
    for start in range(0, len(records()), BATCH):
        part = records()[start : start + BATCH]
        batch = RecordBatch.of(part, topic="", partition=0, epoch=0, start=start, end=start + len(part))
        found += shard.process(batch)
    return found, shard


@pytest.mark.parametrize(("strength", "twin"), [(0.0, UNIFORM), (1.0, WEIGHTED)], ids=TWIN_NAMES)
def test_samples_are_judged_by_what_was_said_of_them_beforehand(strength: float, twin: int) -> None:
    """At strength 0 what is published is what the uniform twin predicts, at strength 1 what the weighted one does."""
    found, _ = outputs(with_strength(strength))
    samples = pa.Table.from_batches([output.gathered.samples for output in found if len(output.gathered.samples)])
    assert len(samples) > 1_000
    positive = np.concatenate([output.judged.positive for output in found])
    probability = np.concatenate([output.judged.probability for output in found], axis=1)
    assert np.array_equal(positive, samples["label"].to_numpy() == 1)
    assert np.array_equal(probability[twin].astype(np.float32), samples["probability"].to_numpy().astype(np.float32))
    assert not np.array_equal(probability[UNIFORM], probability[WEIGHTED])


def test_noise_is_that_of_first_statements() -> None:
    found, _ = outputs(with_strength(1.0))
    rows = pa.Table.from_batches([output.weights for output in found])
    first = rows["revision"].to_numpy() == 0
    types = rows["event_type"].cast(pa.string()).to_numpy()[first]
    noise = rows["noise_probability"].to_numpy().astype(np.float64)[first]
    assert (noise > 0.5).sum() > 10
    for which, name in enumerate(EVENT_TYPES):
        of_type = noise[types == name]
        assert sum(output.noise.judged[which] for output in found) == len(of_type)
        assert sum(output.noise.noisy[which] for output in found) == (of_type > 0.5).sum()
        assert sum(output.noise.probability[which] for output in found) == pytest.approx(of_type.sum(), rel=1e-6)


def test_evictions_are_the_entities_that_are_not_remembered_any_more() -> None:
    small = load({"entities": {"users": 64, "pairs": 64}})
    _, shard = outputs(small)
    stats, weighted = shard.stats(), {r.key for r in records() if r.key}
    assert stats.entities["user"] == 64
    assert stats.evictions["user"] >= len(weighted) - 64 > 0, "who comes back may be evicted again"
    assert stats.evictions["pair"] > stats.evictions["user"]
    assert stats.evictions["item"] == 0
    shard.close()


def test_tables_grow_towards_their_limit() -> None:
    limits = table_limits(load({"entities": {"users": 100}}))
    assert limits.slots["user"] == 128
    small = load({"entities": dict.fromkeys(("users", "items", "categories", "pairs", "interests"), 64)})
    _, shard = outputs(small)
    stats, limits = shard.stats(), table_limits(small)
    assert stats.entities.keys() == limits.slots.keys() == stats.evictions.keys()
    filled = sum(stats.entities.values()) / sum(limits.slots.values())
    assert 0.8 * filled < stats.table_bytes / limits.bytes <= 1.0
    shard.close()
