"""What ``sie evaluate`` writes is, bit for bit, what workers publish for the same records."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.contracts import WEIGHT_KEY
from sie_online.evaluation.run import WEIGHTS_FILE, evaluate
from sie_online.evaluation.samples import SAMPLES_FILE, SampleTable
from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.workers import SIE_WORKER, wait_until_read, worker_pool

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
PARTITIONS = 2


def _comparable(rows: pa.Table) -> pa.Table:
    """Sorted by identity, without what tells owners apart, text in one encoding."""
    plain = {name: rows[name].cast(pa.string()) if pa.types.is_dictionary(rows[name].type) else rows[name]
             for name in rows.column_names if name != "generation"}  # fmt: skip
    return pa.table(plain).sort_by([(name, "ascending") for name in WEIGHT_KEY]).combine_chunks()


def test_a_streamed_run_and_an_evaluation_say_the_same(
    settings: Callable[..., Settings], broker: Broker, tmp_path: Path
) -> None:
    simulation = simulate(Scenario(events=4_000, seed=2))
    made = settings(broker=broker.address, checkpoint={"interval_s": 0.5}, topics={"partitions": PARTITIONS})
    topic_io.make_topics(made)
    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(600)  # its kernels may have to be compiled
        asyncio.run(replay(made, simulation.chunks(), ReplayRate(events_per_s=1_500)))  # paced: many small batches
        wait_until_read(made, worker, 300)
        assert worker.stop() == 0
    with SampleTable(tmp_path / SAMPLES_FILE, made) as table:
        started_ms = int(time.time() * 1_000)
        evaluate(simulation.chunks(), made, tmp_path, partitions=PARTITIONS, started_ms=started_ms, listeners=[table])

    weights = topic_io.read_rows(made, made.topics.weights)
    assert len(weights) > simulation.events
    _require_same(weights, tmp_path / WEIGHTS_FILE)
    samples = topic_io.read_rows(made, made.topics.samples)
    assert len(samples) > 3_000
    _require_same(samples, tmp_path / SAMPLES_FILE)


def _require_same(published: pa.Table, file: Path) -> None:
    streamed, evaluated = _comparable(published), _comparable(pq.read_table(file))
    assert len(streamed) == len(evaluated)
    for name in streamed.column_names:
        ours, theirs = evaluated[name], streamed[name]
        if ours.type == pa.float64():  # the very bits
            assert ours.is_null().equals(theirs.is_null()), name
            assert np.array_equal(ours.to_numpy().view(np.uint64), theirs.to_numpy().view(np.uint64)), name
        else:
            assert ours.equals(theirs), name
