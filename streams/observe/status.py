"""The worker's ``/status.json``: what the metrics say, summed up for a person. Pure function of a registry."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from prometheus_client import CollectorRegistry

from streams.observe.page.history import Curves, History
from streams.observe.page.models import ModelStory
from streams.observe.page.showcase import Shown
from streams.observe.page.state import State, WorkerFacts, worker_state
from streams.observe.page.trainer import TrainerBeside
from streams.observe.samples import Buckets, MetricSamples, quantile, ratio, whole


class PartitionStatus(msgspec.Struct, frozen=True):
    """One partition; times in seconds, None where not known yet."""

    partition: int
    epoch: int | None
    lag: int | None
    lag_s: float | None
    event_time_ms: float | None
    final_row_ms: float | None
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


class NoiseOfType(msgspec.Struct, frozen=True):
    """Of the events of one type that were judged: the share taken for noise (P above .5), and the mean P(noise)."""

    type: str
    judged: float
    share: float
    probability: float


class Bounded(msgspec.Struct, frozen=True):
    """How much there is of something, and the most there can be; None where that is not told."""

    used: float
    limit: float | None


class Status(msgspec.Struct, frozen=True):
    """``/status.json``."""

    now: float
    state: State
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
    tables: Bounded
    open_views: Bounded
    evictions: Mapping[str, float]
    strength: float | None
    effective_ratio: float | None
    since_known: Latency
    since_arrival: Latency
    weights: Buckets
    noise: list[NoiseOfType]
    partitions: list[PartitionStatus]
    curves: Curves
    models: list[ModelStory]
    published: Shown
    trainer: TrainerBeside | None


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a status has that is not in the metrics; ``settled``: what the first sentence follows from beside them."""

    history: History
    published: Shown
    broker: str = ""
    of_topic: int = 0
    stalled_s: float = 0.0
    models: list[ModelStory] = field(default_factory=list)
    trainer: TrainerBeside | None = None


NOTHING_BESIDE = Beside(history=History(), published=Shown(ids=False))


def status(
    registry: CollectorRegistry | MetricSamples,
    *,
    alive: bool,
    checks: Mapping[str, bool],
    reason: str,
    beside: Beside = NOTHING_BESIDE,
) -> Status:
    """Sum up ``registry``; ``checks`` and ``reason`` are those of readiness."""
    samples = registry if isinstance(registry, MetricSamples) else MetricSamples(registry)
    started, now = samples.total("process_start_time_seconds"), time.time()
    partitions = _shards(samples)
    facts = _facts(samples, beside, now, alive=alive, checks=checks, reason=reason, partitions=len(partitions))
    return Status(
        now=now,
        state=worker_state(facts),
        version=samples.label("sie_build_info", "version") or "?",
        uptime_s=now - started if started else 0.0,
        alive=alive,
        ready=all(checks.values()) and not reason,
        checks=checks,
        reason=reason,
        events=samples.by("sie_events_total", "outcome"),
        types=samples.by("sie_events_total", "type"),
        dead_letters=samples.by("sie_dead_letters_total", "reason"),
        rows=samples.total("sie_published_rows_total"),
        lag=_lag(samples),
        unacked_bytes=samples.total("sie_unacked_bytes"),
        memory_bytes=samples.total("process_resident_memory_bytes"),
        tables=Bounded(samples.total("sie_table_bytes"), samples.value("sie_table_bytes_limit")),
        open_views=Bounded(samples.total("sie_open_views"), samples.value("sie_open_views_limit")),
        evictions=samples.by("sie_evictions_total", "kind"),
        strength=samples.mean("sie_guard_strength"),
        effective_ratio=samples.mean("sie_effective_sample_ratio"),
        since_known=_latency(samples.buckets("sie_event_to_publish_seconds")),
        since_arrival=_latency(samples.buckets("sie_arrival_to_publish_seconds")),
        weights=samples.buckets("sie_weight"),
        noise=_noise(samples),
        partitions=partitions,
        curves=beside.history.curves(),
        models=beside.models,
        published=beside.published,
        trainer=beside.trainer,
    )


def adopted(samples: MetricSamples) -> dict[str, dict[int, int]]:
    """Number of the announcement in force in each partition of this worker, by model."""
    found: defaultdict[str, dict[int, int]] = defaultdict(dict)
    for sample in samples["sie_model_adopted"]:
        if (partition := sample.labels["partition"]).isdecimal():
            found[sample.labels["model"]][int(partition)] = int(sample.value)
    return found


def _facts(
    samples: MetricSamples,
    beside: Beside,
    now: float,
    *,
    alive: bool,
    checks: Mapping[str, bool],
    reason: str,
    partitions: int,
) -> WorkerFacts:
    broker_up = samples.value("sie_broker_up") != 0
    newest = beside.history.newest
    lag = _lag(samples)
    return WorkerFacts(
        now=now,
        broker=beside.broker,
        broker_up=broker_up,
        last_answer=samples.value("sie_broker_last_answer_timestamp_seconds") or now,
        starting=reason if broker_up else "",
        alive=alive,
        stalled_s=beside.stalled_s,
        checks=checks,
        partitions=partitions,
        assigned=whole(samples.value("sie_assigned_partitions")),
        of_topic=beside.of_topic,
        lag=whole(lag),
        lag_s=samples.largest("sie_lag_seconds"),
        lag_before=beside.history.lag_before,
        rate=newest.rate if newest else None,
        quiet_since=beside.history.quiet_since,
    )


def _lag(samples: MetricSamples) -> float | None:
    return samples.total("sie_lag_records") if samples["sie_lag_records"] else None


def _latency(histogram: Buckets) -> Latency:
    return Latency(quantile(0.5, histogram), quantile(0.99, histogram))


def _noise(samples: MetricSamples) -> list[NoiseOfType]:
    """By type of event, since this process began; the commonest first."""
    judged = samples.by("sie_noise_judged_events_total", "type")
    noisy, sums = (samples.by(f"sie_{name}_total", "type") for name in ("noisy_events", "noise_probability"))
    found = [
        NoiseOfType(name, n, ratio(noisy.get(name, 0.0), n) or 0.0, ratio(sums.get(name, 0.0), n) or 0.0)
        for name, n in judged.items()
    ]
    return sorted(found, key=lambda each: -each.judged)


def _shards(samples: MetricSamples) -> list[PartitionStatus]:
    partitions = {sample.labels["partition"] for name in ("sie_epoch", "sie_lag_records") for sample in samples[name]}
    return [_shard(samples, number) for number in sorted(map(int, partitions - {"other"}))]


def _shard(samples: MetricSamples, number: int) -> PartitionStatus:
    def of(name: str, **labels: str) -> float | None:
        return samples.value(name, partition=str(number), **labels)

    return PartitionStatus(
        partition=number,
        epoch=whole(of("sie_epoch")),
        lag=whole(of("sie_lag_records")),
        lag_s=of("sie_lag_seconds"),
        event_time_ms=_ms(of("sie_event_time_seconds")),
        final_row_ms=_ms(of("sie_final_row_timestamp_seconds")),
        open_views=whole(of("sie_open_views")),
        effective_ratio=of("sie_effective_sample_ratio"),
        strength=of("sie_guard_strength"),
        judged_views=whole(of("sie_guard_judged_views")),
        log_harm=of("sie_guard_log_evidence", side="harm"),
        log_help=of("sie_guard_log_evidence", side="help"),
        checkpoint_age_s=of("sie_checkpoint_age_seconds"),
    )


def _ms(seconds: float | None) -> float | None:
    """None also for 0: before the first."""
    return seconds * 1000 if seconds else None
