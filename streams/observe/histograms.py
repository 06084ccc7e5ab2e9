"""Histograms that are fed many observations at once; prometheus_client's takes one call per observation."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

Series = tuple[list[int], float]
"""Counts per bucket (not cumulated, the last one open) and the sum of observations."""


class BulkHistogram(Collector):
    """One histogram family; ``edges`` are the upper bounds of its buckets, without the open last one."""

    def __init__(
        self, name: str, documentation: str, edges: Sequence[float], labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self.name = name
        self._documentation = documentation
        self._edges = tuple(float(edge) for edge in edges)
        self._labels = tuple(labels)
        self._series: dict[tuple[str, ...], Series] = {}
        self._lock = threading.Lock()
        registry.register(self)

    def observe(self, value: float, times: int = 1, labels: tuple[str, ...] = ()) -> None:
        """Count ``value`` so many ``times``; what is not finite is not counted."""
        if not math.isfinite(value) or times < 1:
            return
        with self._lock:
            counts, total = self._series.get(labels) or ([0] * (len(self._edges) + 1), 0.0)
            counts[bisect_left(self._edges, value)] += times
            self._series[labels] = (counts, total + value * times)

    def replace(self, counts: Sequence[int], total: float, labels: tuple[str, ...] = ()) -> None:
        """Put in place of a series what was counted elsewhere, in these same buckets."""
        if len(counts) != len(self._edges) + 1:
            raise ValueError(f"{self.name} has {len(self._edges) + 1} buckets, not {len(counts)}")
        with self._lock:
            self._series[labels] = (list(counts), total)

    def remove(self, labels: tuple[str, ...]) -> None:
        """Drop a series; none there is fine."""
        with self._lock:
            self._series.pop(labels, None)

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """The family without series, so that a registry knows its names before the first observation."""
        yield self._family()

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family with all its series."""
        family = self._family()
        with self._lock:
            series = {labels: (list(counts), total) for labels, (counts, total) in self._series.items()}
        for labels, (counts, total) in series.items():
            bounds = [*map(str, self._edges), "+Inf"]
            family.add_metric(labels, list(zip(bounds, map(float, accumulate(counts)), strict=True)), total)
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self.name, self._documentation, labels=self._labels)
