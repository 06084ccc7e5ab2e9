"""A fleet's size follows from what was measured, by formulas that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.capacity import Assumed, Measured, plan, table

ONE = Measured(
    worker_us=10,
    shard_us=6,
    loop_us=2,
    broker_us=4,
    bytes_in=200,
    bytes_out=300,
    checkpoint_bytes=1_000,
    samples=0.5,
    shard_mb=100,
)
HAVE = Assumed(
    busy=0.5, worker_cores=2, worker_gb=1, replicas=3, subscribers=2, hours_in=10, hours_out=20, trainer_samples=100_000
)


def result() -> dict[str, Any]:
    """A result of one round over 1,000 weighted events."""
    details = {
        "weighted": 1_000,
        "settled": 700,
        "events_mb": 0.2,
        "weights_mb": 0.25,
        "samples_mb": 0.04,
        "entities_mb": 0.01,
        "checkpoint_mb": 1.0,
        "resident_mb": 400.0,
    }
    run = {
        "details": details,
        "threads": {"shards": 6.0, "main": 2.0},
        "cpu_us_per_event": {"contestant": 10.0, "broker": 4.0},
    }
    return {"setting": {"partitions": 4}, "rounds": [{"worker": run}]}


def test_measured_is_read_per_event_and_per_shard() -> None:
    one = Measured.of(result())
    assert one == replace(ONE, samples=0.7, **{k: pytest.approx(getattr(ONE, k)) for k in ("bytes_in", "bytes_out")})


def test_a_million_a_second_by_hand() -> None:
    needs = plan(1e6, ONE, HAVE)
    assert needs.partitions == 12  # 6 cores of kernels, half used
    assert needs.workers_by == {"cores": 10, "event loop": 4, "memory": 2}
    assert needs.workers == 10
    assert (needs.in_mb_s, needs.out_mb_s, needs.checkpoint_mb_s) == (200, 300, 1_000)
    assert needs.log_tb == pytest.approx(3 * 3_600 * (200 * 10 + 300 * 20) / 1e6)
    assert needs.brokers_by["network"] == 2  # 1,000 MB/s to replicas, 200 to workers, 600 to subscribers
    assert needs.brokers_by["disk writes"] == 4
    assert needs.trainers == 5
    assert needs.breaks_first[0] == "cores"


def test_trainers_are_not_guessed() -> None:
    needs = plan(1e6, ONE, replace(HAVE, trainer_samples=0))
    assert needs.trainers is None
    assert "| trainers | not measured |" in list(table(ONE, replace(HAVE, trainer_samples=0), [1e6]))


@given(st.floats(1, 1e8), st.floats(1, 100))
def test_more_events_never_take_less(rate: float, times: float) -> None:
    few, many = plan(rate, ONE, HAVE), plan(rate * times, ONE, HAVE)
    assert few.partitions <= many.partitions
    assert few.workers <= many.workers
    assert few.brokers <= many.brokers
