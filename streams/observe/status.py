"""The figures of the status page: what the metrics say, summed up for a person. Pure function of a registry."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample


class PartitionStatus(msgspec.Struct, frozen=True):
    """One partition; times in seconds, None where not known yet."""

    partition: int
    epoch: int | None
    lag: int | None
    event_time_ms: float | None
    open_views: int | None
    effective_ratio: float | None
    strength: float | None
    judged_views: int | None
    log_harm: float | None
    log_help: float | None
    checkpoint_age_s: float | None


class Latency(msgspec.Struct, frozen=True):
    """Estimates from a histogram's buckets, in seconds; None before the first observation."""

    p50_s: float | None
    p99_s: float | None


class WeightHistogram(msgspec.Struct, frozen=True):
    """How published weights are distributed: ``counts[i]`` lie below ``edges[i]``, the last are above all."""

    edges: list[float]
    counts: list[float]


class Status(msgspec.Struct, frozen=True):
    """``/status.json``."""

    version: str
    uptime_s: float
    alive: bool
    ready: bool
    checks: Mapping[str, bool]
    reason: str
    events: Mapping[str, float]
    types: Mapping[str, float]
    dead_letters: Mapping[str, float]
    rows: float
    lag: float | None
    unacked_bytes: float
    memory_bytes: float
    strength: float | None
    effective_ratio: float | None
    since_known: Latency
    since_arrival: Latency
    weights: WeightHistogram
    partitions: list[PartitionStatus]


class MetricSamples:
    """All samples of a registry by name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._by_name: defaultdict[str, list[Sample]] = defaultdict(list)
        for family in registry.collect():
            for sample in family.samples:
                self._by_name[sample.name].append(sample)

    def __getitem__(self, name: str) -> list[Sample]:
        return self._by_name.get(name, [])

    def total(self, name: str) -> float:
        """Sum over all series."""
        return math.fsum(sample.value for sample in self[name])

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sums by the values of one label, without those that are nought."""
        sums: defaultdict[str, float] = defaultdict(float)
        for sample in self[name]:
            sums[sample.labels[label]] += sample.value
        return {key: value for key, value in sums.items() if value}

    def mean(self, name: str) -> float | None:
        """Mean over all series, None where there are none."""
        return _finite(self.total(name) / len(self[name])) if self[name] else None

    def buckets(self, name: str) -> WeightHistogram:
        """A histogram's buckets, summed over all series, not cumulated."""
        sums: defaultdict[float, float] = defaultdict(float)
        for sample in self[f"{name}_bucket"]:
            sums[float(sample.labels["le"])] += sample.value
        edges = sorted(sums)
        counts = [sums[edge] - (sums[edges[at - 1]] if at else 0.0) for at, edge in enumerate(edges)]
        return WeightHistogram([edge for edge in edges if math.isfinite(edge)], counts)


def status(registry: CollectorRegistry, *, alive: bool, checks: Mapping[str, bool], reason: str) -> Status:
    """Sum up ``registry``; ``checks`` and ``reason`` are those of readiness."""
    samples = MetricSamples(registry)
    started = samples.total("process_start_time_seconds")
    return Status(
        version=next((sample.labels["version"] for sample in samples["sie_build_info"]), "?"),
        uptime_s=time.time() - started if started else 0.0,
        alive=alive,
        ready=all(checks.values()) and not reason,
        checks=checks,
        reason=reason,
        events=samples.by("sie_events_total", "outcome"),
        types=samples.by("sie_events_total", "type"),
        dead_letters=samples.by("sie_dead_letters_total", "reason"),
        rows=samples.total("sie_published_rows_total"),
        lag=samples.total("sie_lag_records") if samples["sie_lag_records"] else None,
        unacked_bytes=samples.total("sie_unacked_bytes"),
        memory_bytes=samples.total("process_resident_memory_bytes"),
        strength=samples.mean("sie_guard_strength"),
        effective_ratio=samples.mean("sie_effective_sample_ratio"),
        since_known=_latency(samples.buckets("sie_event_to_publish_seconds")),
        since_arrival=_latency(samples.buckets("sie_arrival_to_publish_seconds")),
        weights=samples.buckets("sie_weight"),
        partitions=_shards(samples),
    )


def quantile(share: float, edges: list[float], counts: list[float]) -> float | None:
    """Linear within its bucket, as Prometheus's ``histogram_quantile``; the open bucket's is its lower bound."""
    total = math.fsum(counts)
    if not total:
        return None
    rank, below, lower = share * total, 0.0, 0.0
    for edge, count in zip(edges, counts, strict=False):
        if count and below + count >= rank:
            return lower + (edge - lower) * (rank - below) / count
        below, lower = below + count, edge
    return edges[-1]


def _latency(histogram: WeightHistogram) -> Latency:
    edges, counts = histogram.edges, histogram.counts
    return Latency(quantile(0.5, edges, counts), quantile(0.99, edges, counts))


def _shards(samples: MetricSamples) -> list[PartitionStatus]:
    partitions = {sample.labels["partition"] for name in ("sie_epoch", "sie_lag_records") for sample in samples[name]}
    return [_shard(samples, number) for number in sorted(map(int, partitions - {"other"}))]


def _shard(samples: MetricSamples, number: int) -> PartitionStatus:
    def of(name: str, **labels: str) -> float | None:
        return _value(samples[name], {"partition": str(number), **labels})

    time_s = of("sie_event_time_seconds")
    return PartitionStatus(
        partition=number,
        epoch=_whole(of("sie_epoch")),
        lag=_whole(of("sie_lag_records")),
        event_time_ms=None if time_s is None else time_s * 1000,
        open_views=_whole(of("sie_open_views")),
        effective_ratio=of("sie_effective_sample_ratio"),
        strength=of("sie_guard_strength"),
        judged_views=_whole(of("sie_guard_judged_views")),
        log_harm=of("sie_guard_log_evidence", side="harm"),
        log_help=of("sie_guard_log_evidence", side="help"),
        checkpoint_age_s=of("sie_checkpoint_age_seconds"),
    )


def _value(samples: Iterable[Sample], labels: Mapping[str, str]) -> float | None:
    """Of the first sample that has these ``labels``."""
    return next((_finite(sample.value) for sample in samples if labels.items() <= sample.labels.items()), None)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def as_json(document: Any) -> bytes:
    """``document`` as JSON; msgspec writes what is not finite as null."""
    return msgspec.json.encode(document)
