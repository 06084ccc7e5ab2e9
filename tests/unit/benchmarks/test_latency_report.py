"""Latency against load: a late generator is told apart, stages are read from histograms."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.settings import Settings
from streams.observe.metrics import Metrics
from tests.benchmarks.latency_report import LATE_MS, Latencies, LatencyReading
from tests.benchmarks.pictures import draw
from tests.benchmarks.scraped import bucket_quantile, stage_quantiles, thread_us

STAGES = {"process": {"p50": 1.0, "p99": 3.0, "max": 5.0}, "stall": {"p50": 10.0, "p99": 40.0, "max": 50.0}}


def reading(rate: int, late_ms: float = 1.0, stages: dict[str, dict[str, float]] = STAGES) -> LatencyReading:
    return LatencyReading(
        rate=rate,
        sent=rate,
        read=rate,
        latency_ms={"p50": 20.0, "p90": 30.0, "p99": 50.0, "p100": 60.0},
        cores={"worker": 0.5, "generator": 0.25},
        batches_per_s=100.0,
        generator_late_ms={"p99": late_ms, "max": 2 * late_ms},
        longest_gap_ms=45.0,
        stages=stages,
    )


def test_a_row_whose_generator_was_late_says_so() -> None:
    told = str(Latencies({}, {}, [reading(100), reading(20_000, late_ms=LATE_MS + 5)]))
    assert told.count("generator late: p99 25 ms, latest 50 ms") == 1


def test_stages_are_shown_by_rate() -> None:
    told = str(Latencies({}, {}, [reading(100, stages={}), reading(1_000)]))
    assert "10.0 / 40.0" in told
    assert told.splitlines()[-2].split() == ["100", "-", "-"]


def test_a_picture_takes_rates_that_lack_a_stage(tmp_path: Path) -> None:
    drawn = draw(Latencies({}, {}, [reading(100, stages={}), reading(1_000)]).as_dict(), tmp_path / "latency.svg")
    assert ">stall<" in drawn.read_text()


def test_quantiles_are_linear_within_a_bucket() -> None:
    counts = {1.0: 10.0, 2.0: 30.0, float("inf"): 40.0}
    assert bucket_quantile(counts, 0.25) == 1.0
    assert bucket_quantile(counts, 0.5) == 1.5
    assert bucket_quantile(counts, 1.0) == 2.0  # the open bucket has no bound


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8).filter(any), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_rise_and_stay_within_the_bounds(new: list[int], one: float, other: float) -> None:
    counts = {float(edge + 1): float(sum(new[: edge + 1])) for edge in range(len(new))}
    low, high = (bucket_quantile(counts, q) for q in sorted((one, other)))
    assert 0 <= low <= high <= len(new)


def test_stages_and_threads_are_read_between_two_scrapes() -> None:
    metrics = Metrics(Settings())

    def scrape() -> list[object]:
        return [sample for family in metrics.registry.collect() for sample in family.samples]

    metrics.observe_stage("stall", 5.0)
    before = scrape()
    metrics.observe_stage("stall", 0.04)
    metrics.observe_checkpoint(0, 0.2, 100)
    found = stage_quantiles(scrape(), before)  # type: ignore[arg-type]
    assert set(found) == {"stall", "durable"}
    assert found["stall"]["max"] == pytest.approx(50)  # the bound of its bucket
    assert thread_us(before, scrape()) == {}  # type: ignore[arg-type]  # no event was done meanwhile
