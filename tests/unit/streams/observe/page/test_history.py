"""The last hour, as the page's curves have it."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from streams.observe.page.history import EVERY_S, FIGURES, KEPT, History
from streams.observe.samples import MetricSamples

BEGIN = 1_000.0


class Worker:
    """Counters and gauges of a worker under their public names, as far as curves are drawn of them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.events = Counter("sie_events_total", "", ["type"], registry=self.registry).labels("view")
        self.lag = Gauge("sie_lag_records", "", ["partition"], registry=self.registry)
        settled = Counter("sie_recommender_samples_total", "", ["label"], registry=self.registry)
        self.negative, self.positive = settled.labels("negative"), settled.labels("positive")
        self.log_loss = Counter("sie_recommender_log_loss_total", "", ["twin"], registry=self.registry)
        self.predicted = Counter("sie_recommender_predicted_total", "", ["twin"], registry=self.registry)
        self.judged = Counter("sie_noise_judged_events_total", "", ["type"], registry=self.registry).labels("view")
        self.noisy = Counter("sie_noisy_events_total", "", ["type"], registry=self.registry).labels("view")

    def settle(self, *, negative: int, positive: int, uniform: float, weighted: float) -> None:
        """So many samples settle, each with this log loss."""
        self.negative.inc(negative)
        self.positive.inc(positive)
        for twin, loss in (("uniform", uniform), ("weighted", weighted)):
            self.log_loss.labels(twin).inc(loss * (negative + positive))
            self.predicted.labels(twin).inc(2.0 * positive)

    def take(self, history: History, step: int) -> None:
        history.take(MetricSamples(self.registry), BEGIN + step * EVERY_S)


def test_rates_are_of_ten_seconds_and_quality_of_what_settled_within_five_minutes() -> None:
    worker, history = Worker(), History()
    worker.take(history, 0)
    worker.events.inc(500)
    worker.judged.inc(200)
    worker.noisy.inc(50)
    worker.settle(negative=8, positive=2, uniform=0.5, weighted=0.25)
    worker.take(history, 1)
    point = history.newest
    assert point is not None
    assert (point.rate, point.noise) == (50.0, 0.25)
    assert (point.log_loss_uniform, point.log_loss_weighted) == pytest.approx((0.5, 0.25))
    assert point.calibration_uniform == pytest.approx(2.0)
    for step in range(2, 40):
        worker.take(history, step)
    assert history.newest is not None
    assert (history.newest.rate, history.newest.log_loss_uniform, history.newest.noise) == (0.0, None, None)


def test_what_is_not_known_is_neither_nought_nor_missing() -> None:
    history = History()
    history.take(MetricSamples(CollectorRegistry()), BEGIN)
    curves = history.curves()
    assert curves.at == [BEGIN]
    assert curves.figures == {name: [None] for name in FIGURES}


def test_an_hour_is_kept_and_no_more() -> None:
    worker, history = Worker(), History()
    for step in range(3 * KEPT):
        worker.take(history, step)
    curves = history.curves()
    assert curves.at[-1] - curves.at[0] == 3_600
    assert {len(column) for column in curves.figures.values()} == {KEPT} == {len(curves.at)}


def test_quiet_begins_when_the_last_event_was_counted() -> None:
    worker, history = Worker(), History()
    assert history.quiet_since is None
    worker.take(history, 0)
    assert history.quiet_since == BEGIN
    worker.events.inc()
    worker.take(history, 1)
    worker.take(history, 2)
    assert history.quiet_since == BEGIN + EVERY_S


def test_the_lag_of_a_minute_ago_is_remembered_where_it_was_known() -> None:
    worker, history = Worker(), History()
    for step in range(7):
        if step:
            worker.lag.labels("0").set(100 * step)
        worker.take(history, step)
    assert history.lag_before is None
    worker.take(history, 7)
    assert history.lag_before == 100


def test_series_that_go_make_nothing_negative() -> None:
    worker, history = Worker(), History()
    worker.events.inc(10)
    worker.take(history, 0)
    other = Worker()
    other.take(history, 1)
    assert history.newest is not None
    assert history.newest.rate == 0.0
