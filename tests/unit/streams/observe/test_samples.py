"""What a registry says, read by name."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Gauge, Histogram

from streams.observe.samples import Buckets, MetricSamples, quantile, ratio


@pytest.mark.parametrize(
    ("share", "counts", "expected"),
    [
        (0.5, [0, 0, 0], None),
        (0.5, [4, 0, 0], 0.5),
        (0.5, [0, 10, 0], 1.5),
        (0.99, [50, 50, 0], 1.98),
        (0.99, [0, 0, 9], 2.0),
        (0.75, [50, 0, 50], 2.0),
    ],
)
def test_quantiles_are_those_of_prometheus(share: float, counts: list[float], expected: float | None) -> None:
    assert quantile(share, Buckets([1.0, 2.0], counts)) == (None if expected is None else pytest.approx(expected))


def test_what_has_no_series_is_empty_and_what_is_not_finite_is_left_out() -> None:
    registry = CollectorRegistry()
    gauge = Gauge("sie_recommender_auc", "", ["partition", "twin"], registry=registry)
    gauge.labels("0", "uniform").set(0.7)
    gauge.labels("1", "uniform").set(float("nan"))
    gauge.labels("1", "weighted").set(0.9)
    samples = MetricSamples(registry)
    assert samples.mean("sie_recommender_auc", twin="uniform") == 0.7
    assert samples.value("sie_recommender_auc", partition="1", twin="uniform") is None
    assert samples.largest("sie_recommender_auc") == 0.9
    assert samples.label("sie_recommender_auc", "partition", twin="weighted") == "1"
    assert (samples.total("nothing"), samples.mean("nothing"), samples.largest("nothing")) == (0.0, None, None)
    assert (samples.by("nothing", "label"), samples.label("nothing", "label")) == ({}, "")
    assert samples.buckets("nothing") == Buckets([], [])


def test_buckets_are_summed_over_series_and_what_came_since_is_never_negative() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("seconds", "", ["partition"], buckets=(1.0, 2.0), registry=registry)
    histogram.labels("0").observe(0.5)
    histogram.labels("1").observe(1.5)
    before = MetricSamples(registry).buckets("seconds")
    assert before == Buckets([1.0, 2.0], [1.0, 1.0, 0.0])
    histogram.labels("0").observe(9.0)
    histogram.remove("1")
    assert MetricSamples(registry).buckets("seconds").since(before) == Buckets([1.0, 2.0], [0.0, 0.0, 1.0])
    assert before.since(Buckets([], [])) == before


def test_nothing_over_nothing_is_not_known() -> None:
    assert ratio(0.0, 0.0) is None
    assert ratio(1.0, 4.0) == 0.25
