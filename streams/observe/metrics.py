"""What a worker tells Prometheus. Owns names, units, labels and their bounds; measures nothing itself.

Counters count work of this process, replayed work included; gauges of a partition go when it is revoked. Every label
has a closed set of values, whatever is pushed in: what is not in it is ``other``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sie_online.announcements import MODELS
from sie_online.contracts import CODE_VERSION, ERASE, EVENT_TYPES, HEARTBEAT
from sie_online.importance.guard import SIDES
from sie_online.ingest.events import Reason
from sie_online.settings import Settings
from sie_online.shard.state import WEIGHT_EDGES
from streams.observe.histograms import BulkHistogram
from streams.observe.thread_times import ThreadTimes

if TYPE_CHECKING:
    from sie_online.shard import RecordCounts, ShardStats

OTHER = "other"
UNKNOWN = "unknown"
"""Type of an event that could not be read."""

PARTITIONS = frozenset(map(str, range(4096)))
"""As many as ``topics.partitions`` admits; a worker has series of those it was assigned."""
STAGES = frozenset(
    {"fetch", "queue", "process", "publish", "deliver", "stall", "snapshot", "confirm", "restore", "adopt"}
)
"""Of a batch: lying in the log until fetched, waiting for its shard, being processed, being handed to the producer,
until confirmed. Of a checkpoint: the shard standing still for it, the snapshot within that, waiting for confirmations.
Then restores and adoptions."""
KINDS = frozenset({"user", "item", "category", "pair", "interest"})
REASONS = frozenset(Reason)

UNREADABLE_MODELS = "Records of the models topic that could not be read and were passed over."

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LONG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600, 86_400)
"""A replay of an old log is late by years; live traffic by less than a second."""
RECORDS = (1, 3, 10, 30, 100, 300, 1_000, 2_000, 4_000, 10_000)


class Metrics:
    """All metrics of one worker, on a registry of their own. Methods may be called from any thread."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._partition_gauges: list[Gauge] = []
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a ``_created`` beside every counter: twice the series
        self._add_events()
        self._add_shards(settings)
        self._add_checkpoints()
        self._add_models()
        self._add_process()

    # -- what was done

    def observe_batch(
        self, partition: int, n_records: int, n_bytes: int, seconds_by_stage: Mapping[str, float]
    ) -> None:
        """A record batch has gone through the line."""
        self._batch_records.observe(n_records)
        self._consumed_bytes.labels(_partition(partition)).inc(max(0, n_bytes))
        for stage, seconds in seconds_by_stage.items():
            self.observe_stage(stage, seconds)

    def observe_stage(self, stage: str, seconds: float) -> None:
        """A stage took so long, for one batch, checkpoint or restore."""
        self._stage_seconds.observe(max(0.0, seconds), labels=(_known(stage, STAGES),))

    def observe_counts(self, partition: int, counts: RecordCounts) -> None:
        """What became of the records behind one output."""
        shard = _partition(partition)
        for outcome, by_type in (("weighted", counts.weighted), ("duplicate", counts.duplicates)):
            for name, n in zip(EVENT_TYPES, by_type, strict=True):
                self._count_events(shard, name, outcome, n)
        self._count_events(shard, HEARTBEAT, "heartbeat", counts.heartbeats)
        self._count_events(shard, ERASE, "erasure", counts.erasures)
        self._count_events(shard, UNKNOWN, "dead_letter", counts.dead_letters)
        for label, n in (("negative", counts.settled_negative), ("positive", counts.settled_positive)):
            self._settled.labels(shard, label).inc(n)
        self._settled_early.labels(shard).inc(counts.settled_early)
        self._attributes_dropped.labels(shard).inc(counts.attributes_dropped)

    def observe_output(
        self, partition: int, n_rows: int, event_to_publish_s: float, arrival_to_publish_s: float
    ) -> None:
        """Rows were confirmed by the broker, so long after they became known (event time) and after their fetch."""
        self._rows.labels(_partition(partition)).inc(max(0, n_rows))
        self._event_latency.observe(max(0.0, event_to_publish_s), n_rows)
        self._arrival_latency.observe(max(0.0, arrival_to_publish_s), n_rows)

    def dead_letter(self, reason: str) -> None:
        """A record could not be read."""
        self._dead_letters.labels(_known(reason, REASONS)).inc()

    def observe_checkpoint(self, partition: int, seconds: float, n_bytes: int) -> None:
        """A checkpoint is durable."""
        shard, at = _partition(partition), self._clock()
        self._checkpoint_seconds.observe(max(0.0, seconds))
        self._checkpoint_bytes.labels(shard).inc(max(0, n_bytes))
        self._checkpoint_age.labels(shard).set_function(lambda: self._clock() - at)

    def adopted_late(self, partition: int, model: str) -> None:
        """A shard put a model in force later than it was announced for."""
        self._adopted_late.labels(_partition(partition), _known(model, MODELS)).inc()

    def model_load_failed(self, model: str) -> None:
        """An announced model could not be loaded; the one in force stays."""
        self._model_load_failures.labels(_known(model, MODELS)).inc()

    def count_unreadable_models(self, read: Callable[[], int]) -> None:
        """Have ``read`` asked how many records of the models topic were passed over."""
        self.registry.register(ReadCounter("sie_model_records_unreadable", UNREADABLE_MODELS, read))

    # -- what is

    def set_announced(self, model: str, n: int, created_at_ms: int) -> None:
        """The newest announcement heard of."""
        self._announced.labels(_known(model, MODELS)).set(n)
        self._announced_at.labels(_known(model, MODELS)).set(created_at_ms / 1000)

    def set_adopted(self, partition: int, model: str, n: int) -> None:
        """The announcement that is in force in a shard."""
        self._adopted.labels(_partition(partition), _known(model, MODELS)).set(n)

    def set_lag(self, partition: int, records: int) -> None:
        """Records in the log that are not processed yet."""
        self._lag.labels(_partition(partition)).set(records)

    def forget_lag(self) -> None:
        """How many records wait is not known any more: no series rather than a number that was true once."""
        self._lag.clear()

    def set_epoch(self, partition: int, epoch: int) -> None:
        """A shard was taken over under ``epoch``; the age of its checkpoint counts from now."""
        shard, at = _partition(partition), self._clock()
        self._epoch.labels(shard).set(epoch)
        self._checkpoint_age.labels(shard).set_function(lambda: self._clock() - at)

    def observe_shard(self, partition: int, stats: ShardStats) -> None:
        """A shard at a glance."""
        shard = _partition(partition)
        self._clock_seconds.labels(shard).set(stats.clock_ms / 1000)
        self._open_views.labels(shard).set(stats.open_views)
        self._effective_share.labels(shard).set(stats.effective_share)
        self._strength.labels(shard).set(stats.strength)
        self._judged_views.labels(shard).set(stats.judged_views)
        for side, evidence in stats.log_evidence.items():
            self._log_evidence.labels(shard, _known(side, SIDES)).set(evidence)
        for kind, slots in stats.entities.items():
            self._slots.labels(shard, _known(kind, KINDS)).set(slots)
        self._weights.replace(stats.weight_counts, _weight_sum(stats.weight_counts), (shard,))

    def watch_unacked_bytes(self, read: Callable[[], float]) -> None:
        """Ask ``read`` at every scrape how many published bytes wait for their confirmation."""
        self._unacked_bytes.set_function(read)

    def watch_trainer(self, restarts: Callable[[], int]) -> None:
        """Ask ``restarts`` at every scrape how often the worker's own trainer was started anew."""
        documentation = "Times that the worker's own trainer was started anew."
        self.registry.register(ReadCounter("sie_trainer_restarts", documentation, restarts))

    def revoke(self, partition: int) -> None:
        """The partition is another worker's: what it was here is no longer true."""
        shard = _partition(partition)
        self._weights.remove((shard,))
        for gauge in self._partition_gauges:
            gauge.remove_by_labels({"partition": shard})

    # -- definitions

    def _add_events(self) -> None:
        self._events = self._counter("events", "Records read, by type and outcome.", "partition", "type", "outcome")
        self._settled = self._counter("settled_samples", "Samples whose label is final.", "partition", "label")
        self._settled_early = self._counter(
            "settled_early_samples", "Samples settled before their window ended, for want of room.", "partition"
        )
        self._attributes_dropped = self._counter(
            "attributes_dropped", "Entries of attributes that could not be read; their events were.", "partition"
        )
        self._dead_letters = self._counter("dead_letters", "Records that could not be read.", "reason")
        self._consumed_bytes = self._counter("consumed_bytes", "Bytes read, with keys and framing.", "partition")
        self._rows = self._counter("published_rows", "Rows of weights confirmed by the broker.", "partition")
        self._batch_records = self._histogram("batch_records", "Records per batch.", RECORDS)
        self._stage_seconds = self._histogram(
            "stage_seconds", "Time per batch, checkpoint, restore or adoption, by stage.", SECONDS, "stage"
        )
        self._event_latency = self._histogram(
            "event_to_publish_seconds",
            "From when a row became known, in event time, to its confirmation.",
            LONG_SECONDS,
        )
        self._arrival_latency = self._histogram(
            "arrival_to_publish_seconds", "From a record's fetch to the confirmation of its rows.", LONG_SECONDS
        )
        for reason in sorted(REASONS):  # at 0 from the start: a rate misses the step with which a series appears
            self._dead_letters.labels(reason)

    def _add_shards(self, settings: Settings) -> None:
        self._lag = self._gauge("lag_records", "Records in the log that are not processed yet.")
        self._epoch = self._gauge("epoch", "Epoch of this ownership: the generation of its rows.")
        self._clock_seconds = self._gauge("event_time_seconds", "Latest event time seen, since 1970.")
        self._open_views = self._gauge("open_views", "Samples that wait for their label.")
        self._slots = self._gauge("entity_slots", "Entities remembered.", "kind")
        self._effective_share = self._gauge(
            "effective_sample_ratio", "Effective sample size of the weights over the number of samples."
        )
        self._strength = self._gauge("guard_strength", "How much of the weighting is published, 0 to 1.")
        self._log_evidence = self._gauge(
            "guard_log_evidence",
            "Natural logarithm of the evidence that weights harm or help; established from log(1 / guard.alpha) on.",
            "side",
        )
        self._judged_views = self._gauge("guard_judged_views", "Settled views by which the guard has judged.")
        limits = Gauge(
            "sie_entity_slots_limit", "Entities that a shard can remember.", ["kind"], registry=self.registry
        )
        entities = settings.entities
        for kind, n in zip(
            ("user", "item", "category", "pair", "interest"),
            (entities.users, entities.items, entities.categories, entities.pairs, entities.interests),
            strict=True,
        ):
            limits.labels(kind).set(n)
        self._weights = self._histogram(
            "weight",
            "Weights at first statement since the shard began (sum from bucket centres).",
            WEIGHT_EDGES,
            "partition",
        )

    def _add_checkpoints(self) -> None:
        self._checkpoint_age = self._gauge(
            "checkpoint_age_seconds", "Since the last checkpoint, or since the takeover; grows while nothing happens."
        )
        self._checkpoint_seconds = self._histogram("checkpoint_seconds", "Time to make one durable.", SECONDS)
        self._checkpoint_bytes = self._counter("checkpoint_bytes", "Bytes written by checkpoints.", "partition")

    def _add_models(self) -> None:
        self._announced = Gauge(
            "sie_model_announced", "Number of the newest announcement heard of.", ["model"], registry=self.registry
        )
        self._announced_at = Gauge(
            "sie_model_announced_timestamp_seconds",
            "When the newest announcement heard of was made, s since 1970; 0 before the first.",
            ["model"],
            registry=self.registry,
        )
        self._adopted = self._gauge("model_adopted", "Number of the model announcement in force.", "model")
        self._adopted_late = self._counter("model_late_adoptions", "Models adopted late.", "partition", "model")
        self._model_load_failures = self._counter("model_load_failures", "Failed attempts to load a model.", "model")

    def _add_process(self) -> None:
        self._unacked_bytes = Gauge(
            "sie_unacked_bytes", "Published bytes that wait for their confirmation.", registry=self.registry
        )
        build = Gauge("sie_build_info", "The code that runs; always 1.", ["version"], registry=self.registry)
        build.labels(CODE_VERSION).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        ThreadTimes(self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"sie_{name}_total", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        gauge = Gauge(f"sie_{name}", documentation, ("partition", *labels), registry=self.registry)
        self._partition_gauges.append(gauge)
        return gauge

    def _histogram(self, name: str, documentation: str, edges: Iterable[float], *labels: str) -> BulkHistogram:
        return BulkHistogram(f"sie_{name}", documentation, tuple(edges), labels, self.registry)

    def _count_events(self, partition: str, name: str, outcome: str, n: int) -> None:
        if n:
            self._events.labels(partition, name, outcome).inc(n)


class ReadCounter(Collector):
    """A counter that somebody else counts, and that is read when it is asked for."""

    def __init__(self, name: str, documentation: str, read: Callable[[], int]) -> None:
        self._name = name
        self._documentation = documentation
        self._read = read

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Its value now."""
        yield CounterMetricFamily(self._name, self._documentation, value=self._read())


def _known(value: object, values: Collection[str]) -> str:
    name = str(value)
    return name if name in values else OTHER


def _partition(number: int) -> str:
    return _known(number, PARTITIONS)


def _weight_sum(counts: Iterable[int]) -> float:
    half: float = 2.0**0.25
    centres = (*(edge / half for edge in WEIGHT_EDGES), WEIGHT_EDGES[-1] * half)
    return math.fsum(n * centre for n, centre in zip(counts, centres, strict=True))
