"""The last hour of a worker, kept in its memory: one sample of the metrics every ten seconds, for the page's curves.

Whoever has Prometheus has more; this is for whoever was woken and has only the worker's own site. Counters are read as
what they moved by over a trailing window; what has not moved is not known, and never nought.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec

from streams.observe.page.state import LAG_APART_S
from streams.observe.samples import Buckets, MetricSamples, quantile, ratio

EVERY_S = 10.0
KEPT = 361
"""An hour, both ends included."""
TRAILING_S = 300.0
"""Quality is told of so long: within ten seconds few samples settle."""
RECENT_S = 60.0
"""Latency is told of so long."""
SERIOUS_DIGITS = 5
TWINS = ("uniform", "weighted")


class Point(msgspec.Struct, frozen=True):
    """One sample. Rates per second; lag in records and seconds; shares and probabilities in [0, 1]; None: not known."""

    at: float
    rate: float | None
    lag: float | None
    lag_s: float | None
    p99_s: float | None
    noise: float | None
    strength: float | None
    log_loss_uniform: float | None
    log_loss_weighted: float | None
    calibration_uniform: float | None
    calibration_weighted: float | None
    auc_uniform: float | None
    auc_weighted: float | None


FIGURES = tuple(name for name in Point.__struct_fields__ if name != "at")


class Curves(msgspec.Struct, frozen=True):
    """The points as columns, oldest first: ``at`` in s since 1970, and every other field of ``Point``."""

    every_s: float
    at: list[float]
    figures: dict[str, list[float | None]]


@dataclass(frozen=True, slots=True)
class Counters:
    """What is counted up, as of one moment."""

    at: float
    events: float
    judged: float
    noisy: float
    samples: float
    positives: float
    log_loss: tuple[float, ...]
    """By ``TWINS``, as the next."""
    predicted: tuple[float, ...]
    latency: Buckets

    @classmethod
    def of(cls, samples: MetricSamples, at: float) -> Counters:
        """Read off the metrics."""
        return cls(
            at=at,
            events=samples.total("sie_events_total"),
            judged=samples.total("sie_noise_judged_events_total"),
            noisy=samples.total("sie_noisy_events_total"),
            samples=samples.total("sie_recommender_samples_total"),
            positives=samples.total("sie_recommender_samples_total", label="positive"),
            log_loss=tuple(samples.total("sie_recommender_log_loss_total", twin=twin) for twin in TWINS),
            predicted=tuple(samples.total("sie_recommender_predicted_total", twin=twin) for twin in TWINS),
            latency=samples.buckets("sie_arrival_to_publish_seconds"),
        )


class History:
    """Takes a sample whenever it is asked to; ``quiet_since``: when the number of events last moved, s since 1970."""

    def __init__(self) -> None:
        self.quiet_since: float | None = None
        self._points: deque[Point] = deque(maxlen=KEPT)
        self._counters: deque[Counters] = deque(maxlen=1 + round(TRAILING_S / EVERY_S))

    def take(self, samples: MetricSamples, at: float) -> None:
        """Note how things stand at ``at``, s since 1970."""
        now = Counters.of(samples, at)
        before = self._counters[-1] if self._counters else now
        if self.quiet_since is None or now.events != before.events:
            self.quiet_since = at
        self._counters.append(now)
        self._points.append(self._point(samples, now, before))

    def curves(self) -> Curves:
        """What was taken."""
        columns = {name: [_rounded(getattr(point, name)) for point in self._points] for name in FIGURES}
        return Curves(EVERY_S, [round(point.at) for point in self._points], columns)

    @property
    def newest(self) -> Point | None:
        """The last that was taken."""
        return self._points[-1] if self._points else None

    @property
    def lag_before(self) -> int | None:
        """Records that waited ``LAG_APART_S`` before the last was taken; None where that is not known."""
        back = round(LAG_APART_S / EVERY_S)
        lag = self._points[-1 - back].lag if len(self._points) > back else None
        return None if lag is None else int(lag)

    def _point(self, samples: MetricSamples, now: Counters, before: Counters) -> Point:
        trailing = self._counters[0]
        recent = self._counters[max(0, len(self._counters) - 1 - round(RECENT_S / EVERY_S))]
        settled, positives = now.samples - trailing.samples, now.positives - trailing.positives
        uniform, weighted = (new - old for new, old in zip(now.log_loss, trailing.log_loss, strict=True))
        p_uniform, p_weighted = (new - old for new, old in zip(now.predicted, trailing.predicted, strict=True))
        return Point(
            at=now.at,
            rate=ratio(max(0.0, now.events - before.events), now.at - before.at),
            lag=samples.total("sie_lag_records") if samples["sie_lag_records"] else None,
            lag_s=samples.largest("sie_lag_seconds"),
            p99_s=quantile(0.99, now.latency.since(recent.latency)),
            noise=ratio(now.noisy - trailing.noisy, now.judged - trailing.judged),
            strength=samples.mean("sie_guard_strength"),
            log_loss_uniform=ratio(uniform, settled),
            log_loss_weighted=ratio(weighted, settled),
            calibration_uniform=ratio(p_uniform, positives),
            calibration_weighted=ratio(p_weighted, positives),
            auc_uniform=samples.mean("sie_recommender_auc", twin="uniform"),
            auc_weighted=samples.mean("sie_recommender_auc", twin="weighted"),
        )


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{SERIOUS_DIGITS}g}")
