"""What a registry of metrics says, read by name: for pages, which sum it up for people."""

from __future__ import annotations

import math
from collections import defaultdict

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample


class Buckets(msgspec.Struct, frozen=True):
    """A histogram, not cumulated: ``counts[i]`` lie below ``edges[i]``, the last are above all."""

    edges: list[float]
    counts: list[float]

    def since(self, before: Buckets) -> Buckets:
        """What has come since ``before``, of the same edges; nothing is negative where series went meanwhile."""
        if len(before.counts) != len(self.counts):
            return self
        return Buckets(self.edges, [max(0.0, n - b) for n, b in zip(self.counts, before.counts, strict=True)])


class MetricSamples:
    """All samples of a registry by name, as of now. What has no series is empty: no name is ever missing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._by_name: defaultdict[str, list[Sample]] = defaultdict(list)
        for family in registry.collect():
            for sample in family.samples:
                self._by_name[sample.name].append(sample)

    def __getitem__(self, name: str) -> list[Sample]:
        return self._by_name.get(name, [])

    def values(self, name: str, **labels: str) -> list[float]:
        """Finite values of the series that have these ``labels``."""
        return [
            sample.value
            for sample in self[name]
            if math.isfinite(sample.value) and labels.items() <= sample.labels.items()
        ]

    def value(self, name: str, **labels: str) -> float | None:
        """Of the first series that has these ``labels``."""
        return next(iter(self.values(name, **labels)), None)

    def total(self, name: str, **labels: str) -> float:
        """Sum over the series that have these ``labels``."""
        return math.fsum(self.values(name, **labels))

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by the values of one label, without those that are nought."""
        sums: defaultdict[str, float] = defaultdict(float)
        for sample in self[name]:
            sums[sample.labels[label]] += sample.value
        return {key: value for key, value in sums.items() if value}

    def mean(self, name: str, **labels: str) -> float | None:
        """Mean over the series that have these ``labels``, None where there are none."""
        values = self.values(name, **labels)
        return math.fsum(values) / len(values) if values else None

    def largest(self, name: str) -> float | None:
        """Of all series, None where there are none."""
        return max(self.values(name), default=None)

    def label(self, name: str, wanted: str, **labels: str) -> str:
        """Label ``wanted`` of the first series that has these ``labels``; empty where there is none."""
        found = (sample.labels for sample in self[name] if labels.items() <= sample.labels.items())
        return next((each[wanted] for each in found), "")

    def buckets(self, name: str) -> Buckets:
        """A histogram's buckets, summed over all series."""
        sums: defaultdict[float, float] = defaultdict(float)
        for sample in self[f"{name}_bucket"]:
            sums[float(sample.labels["le"])] += sample.value
        edges = sorted(sums)
        counts = [sums[edge] - (sums[edges[at - 1]] if at else 0.0) for at, edge in enumerate(edges)]
        return Buckets([edge for edge in edges if math.isfinite(edge)], counts)


def quantile(share: float, histogram: Buckets) -> float | None:
    """Linear within its bucket, as Prometheus's ``histogram_quantile``; the open bucket's is its lower bound."""
    total = math.fsum(histogram.counts)
    if not total:
        return None
    rank, below, lower = share * total, 0.0, 0.0
    for edge, count in zip(histogram.edges, histogram.counts, strict=False):
        if count and below + count >= rank:
            return lower + (edge - lower) * (rank - below) / count
        below, lower = below + count, edge
    return histogram.edges[-1]


def ratio(part: float, whole: float) -> float | None:
    """``part`` over ``whole``, None where there is no whole."""
    return part / whole if whole > 0 else None


def whole(value: float | None) -> int | None:
    """A number that counts something."""
    return None if value is None else int(value)
