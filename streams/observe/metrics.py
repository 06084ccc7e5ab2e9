"""What a worker tells Prometheus. Owns names, units, labels and their bounds; measures nothing itself.

Counters count work of this process, replayed work included. The series of a partition are there from its assignment
on; its gauges go when it is revoked. Every label has a closed set of values, whatever is pushed in: what is not in it
is ``other``; but for a model's ``version``, which has one series at a time. ``docs/metrics.md`` lists them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import disable_created_metrics
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from sie_online.announcements import MODELS
from sie_online.contracts import CODE_VERSION, ERASE, EVENT_TYPES, HEARTBEAT
from sie_online.ingest.events import Reason
from sie_online.settings import Settings
from streams.observe.families import Families, known, partition_label
from streams.observe.quality_metrics import LABELS, QualityMetrics
from streams.observe.query_metrics import QueryMetrics
from streams.observe.shard_metrics import ShardMetrics
from streams.observe.thread_times import ThreadTimes

if TYPE_CHECKING:
    from sie_online.shard import RecordCounts, ShardStats
    from sie_online.shard.figures import JudgedSamples, NoiseByType

UNKNOWN = "unknown"
"""Type of an event that could not be read."""
STAGES = frozenset(
    {"fetch", "queue", "process", "publish", "deliver", "stall", "snapshot", "confirm", "restore", "adopt"}
)
"""Of a batch: lying in the log until fetched, waiting for its shard, being processed, being handed to the producer,
until confirmed. Of a checkpoint: the shard standing still for it, the snapshot within that, waiting for confirmations.
Then restores and adoptions."""
REASONS = frozenset(Reason)
OUTCOMES = (
    *((name, "weighted") for name in EVENT_TYPES),
    *((name, "duplicate") for name in EVENT_TYPES),
    (HEARTBEAT, "heartbeat"),
    (ERASE, "erasure"),
    (UNKNOWN, "dead_letter"),
)
"""Type and outcome of every record."""

UNREADABLE_MODELS = "Records of the models topic that could not be read and were passed over."

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LONG_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600, 86_400)
"""A replay of an old log is late by years; live traffic by less than a second."""
RECORDS = (1, 3, 10, 30, 100, 300, 1_000, 2_000, 4_000, 10_000)


class Metrics:
    """All metrics of one worker, on a registry of their own. Methods may be called from any thread."""

    def __init__(self, settings: Settings) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a ``_created`` beside every counter: twice the series
        self._families = Families()
        self.registry = self._families.registry
        self._quality = QualityMetrics(self._families)
        self._shards = ShardMetrics(self._families, settings)
        self._add_events()
        self._add_output()
        self._add_ownership()
        self._add_checkpoints()
        self._add_models()
        self._add_process()

    # -- what was done

    def observe_batch(
        self, partition: int, n_records: int, n_bytes: int, seconds_by_stage: Mapping[str, float]
    ) -> None:
        """A record batch has gone through the line."""
        self._batch_records.observe(n_records)
        self._consumed_bytes.labels(partition_label(partition)).inc(max(0, n_bytes))
        for stage, seconds in seconds_by_stage.items():
            self.observe_stage(stage, seconds)

    def observe_stage(self, stage: str, seconds: float) -> None:
        """A stage took so long, for one batch, checkpoint or restore."""
        self._stage_seconds.observe(max(0.0, seconds), labels=(known(stage, STAGES),))

    def observe_counts(self, partition: int, counts: RecordCounts) -> None:
        """What became of the records behind one output."""
        shard = partition_label(partition)
        others = (counts.heartbeats, counts.erasures, counts.dead_letters)
        for (name, outcome), n in zip(OUTCOMES, (*counts.weighted, *counts.duplicates, *others), strict=True):
            if n:
                self._events.labels(shard, name, outcome).inc(n)
        for label, n in zip(LABELS, (counts.settled_negative, counts.settled_positive), strict=True):
            self._settled.labels(shard, label).inc(n)
        self._settled_early.labels(shard).inc(counts.settled_early)
        self._attributes_dropped.labels(shard).inc(counts.attributes_dropped)

    def observe_lists(self, partition: int, made: int) -> None:
        """So many lists of recommendations were made."""
        self._lists.labels(partition_label(partition)).inc(made)

    def observe_quality(self, partition: int, judged: JudgedSamples, noise: NoiseByType) -> None:
        """What was predicted of the samples behind one output, and how noisy its events are."""
        self._quality.judge(partition_label(partition), judged)
        self._quality.observe_noise(partition_label(partition), noise)

    def final_rows_confirmed(self, partition: int, at_s: float) -> None:
        """Rows in which samples got their final label were confirmed at ``at_s`` (s since 1970)."""
        self._final_row.labels(partition_label(partition)).set(at_s)

    def observe_output(
        self, partition: int, n_rows: int, event_to_publish_s: float, arrival_to_publish_s: float
    ) -> None:
        """Rows were confirmed by the broker, so long after they became known (event time) and after their fetch."""
        self._rows.labels(partition_label(partition)).inc(max(0, n_rows))
        self._event_latency.observe(max(0.0, event_to_publish_s), n_rows)
        self._arrival_latency.observe(max(0.0, arrival_to_publish_s), n_rows)

    def dead_letter(self, reason: str) -> None:
        """A record could not be read."""
        self._dead_letters.labels(known(reason, REASONS)).inc()

    def observe_checkpoint(self, partition: int, seconds: float, n_bytes: int) -> None:
        """A checkpoint is durable."""
        self._checkpoint_seconds.observe(max(0.0, seconds))
        self._checkpoint_bytes.labels(partition_label(partition)).inc(max(0, n_bytes))

    def adopted_late(self, partition: int, model: str) -> None:
        """A shard put a model in force later than it was announced for."""
        self._adopted_late.labels(partition_label(partition), known(model, MODELS)).inc()

    def model_load_failed(self, model: str) -> None:
        """An announced model could not be loaded; the one in force stays."""
        self._model_load_failures.labels(known(model, MODELS)).inc()

    def count_unreadable_models(self, read: Callable[[], int]) -> None:
        """Have ``read`` asked how many records of the models topic were passed over."""
        self.registry.register(ReadCounter("sie_model_records_unreadable", UNREADABLE_MODELS, read))

    # -- what is

    def set_announced(self, model: str, n: int, created_at_ms: int) -> None:
        """The newest announcement heard of."""
        self._announced.labels(known(model, MODELS)).set(n)
        self._announced_at.labels(known(model, MODELS)).set(created_at_ms / 1000)

    def set_in_force(self, partition: int, model: str, n: int, version: str, announced_at_ms: int) -> None:
        """What is in force in a shard by announcement ``n``, which was made at ``announced_at_ms``; 0 if built in."""
        self._shards.set_in_force(partition_label(partition), known(model, MODELS), n, version, announced_at_ms)

    def set_lag(self, partition: int, records: int, seconds: float = 0.0) -> None:
        """Records in the log that are not processed yet, and for how long the first of them has been there."""
        self._lag.labels(partition_label(partition)).set(records)
        self._lag_seconds.labels(partition_label(partition)).set(seconds)

    def forget_lag(self) -> None:
        """How many records wait is not known any more: no series rather than a number that was true once."""
        self._lag.clear()
        self._lag_seconds.clear()

    def set_epoch(self, partition: int, epoch: int) -> None:
        """A shard was taken over under ``epoch``: from now on all its series are there, at 0 until told."""
        shard = partition_label(partition)
        self._epoch.labels(shard).set(epoch)
        self._begin(shard)
        self._quality.begin(shard)
        self._shards.begin(shard)

    def watch_unsaved(self, partition: int, seconds: Callable[[], float]) -> None:
        """Ask ``seconds`` at every scrape how long ago the oldest work was done that no checkpoint covers."""
        self._checkpoint_age.labels(partition_label(partition)).set_function(seconds)

    def watch_assigned(self, read: Callable[[], int]) -> None:
        """Ask ``read`` at every scrape how many partitions this worker owns."""
        self._assigned.set_function(read)

    def observe_shard(self, partition: int, stats: ShardStats) -> None:
        """A shard at a glance."""
        self._shards.observe(partition_label(partition), stats)

    def watch_unacked_bytes(self, read: Callable[[], float]) -> None:
        """Ask ``read`` at every scrape how many published bytes wait for their confirmation."""
        self._unacked_bytes.set_function(read)

    def watch_trainer(self, restarts: Callable[[], int]) -> None:
        """Ask ``restarts`` at every scrape how often the worker's own trainer was started anew."""
        documentation = "Times that the worker's own trainer was started anew."
        self.registry.register(ReadCounter("sie_trainer_restarts", documentation, restarts))

    def queries(self, routes: Collection[str]) -> QueryMetrics:
        """Metrics of a Query API with these ``routes``; where there is none, there are no such metrics."""
        return QueryMetrics(self._families, routes)

    def revoke(self, partition: int) -> None:
        """The partition is another worker's: what it was here is no longer true."""
        shard = partition_label(partition)
        self._families.revoke(shard)
        self._quality.end(shard)
        self._shards.end(shard)

    # -- definitions

    def _begin(self, shard: str) -> None:
        """At 0 from the start: a rate misses the step with which a series appears."""
        for name, outcome in OUTCOMES:
            self._events.labels(shard, name, outcome)
        for label in LABELS:
            self._settled.labels(shard, label)
        for model in MODELS:
            self._adopted_late.labels(shard, model)
        for each in (*self._plain, self._final_row, self._checkpoint_age):
            each.labels(shard)

    def _add_events(self) -> None:
        families = self._families
        self._events = families.counter("events", "Records read, by type and outcome.", "partition", "type", "outcome")
        self._settled = families.counter("settled_samples", "Samples whose label is final.", "partition", "label")
        self._settled_early = families.counter(
            "settled_early_samples", "Samples settled before their window ended, for want of room.", "partition"
        )
        self._attributes_dropped = families.counter(
            "attributes_dropped", "Entries of attributes that could not be read; their events were.", "partition"
        )
        self._dead_letters = families.counter("dead_letters", "Records that could not be read.", "reason")
        for reason in sorted(REASONS):
            self._dead_letters.labels(reason)

    def _add_output(self) -> None:
        families = self._families
        self._consumed_bytes = families.counter("consumed_bytes", "Bytes read, with keys and framing.", "partition")
        self._rows = families.counter("published_rows", "Rows of weights confirmed by the broker.", "partition")
        self._lists = families.counter(
            "recommendation_lists",
            "Lists of recommendations that an event has changed; only a user's newest is sent.",
            "partition",
        )
        self._final_row = families.shard_gauge(
            "final_row_timestamp_seconds",
            "When the newest rows with a sample's final label were confirmed, s since 1970; 0 before the first.",
        )
        self._batch_records = families.histogram("batch_records", "Records per batch.", RECORDS)
        self._stage_seconds = families.histogram(
            "stage_seconds", "Time per batch, checkpoint, restore or adoption, by stage.", SECONDS, "stage"
        )
        self._event_latency = families.histogram(
            "event_to_publish_seconds",
            "From when a row became known, in event time, to its confirmation.",
            LONG_SECONDS,
        )
        self._arrival_latency = families.histogram(
            "arrival_to_publish_seconds", "From a record's fetch to the confirmation of its rows.", LONG_SECONDS
        )

    def _add_ownership(self) -> None:
        families = self._families
        self._assigned = families.gauge("assigned_partitions", "Partitions that this worker owns.")
        self._epoch = families.shard_gauge("epoch", "Epoch of this ownership: the generation of its rows.")
        self._lag = families.shard_gauge("lag_records", "Records in the log that are not processed yet.")
        self._lag_seconds = families.shard_gauge(
            "lag_seconds", "For how long the first record that is not processed yet has been in the log; 0 for none."
        )

    def _add_checkpoints(self) -> None:
        families = self._families
        self._checkpoint_age = families.shard_gauge(
            "checkpoint_age_seconds",
            "Since the oldest work that no checkpoint covers was done; 0 where all is covered.",
        )
        self._checkpoint_seconds = families.histogram("checkpoint_seconds", "Time to make one durable.", SECONDS)
        self._checkpoint_bytes = families.counter("checkpoint_bytes", "Bytes written by checkpoints.", "partition")
        self._plain = (  # counters by partition alone
            *(self._settled_early, self._attributes_dropped, self._consumed_bytes, self._rows, self._lists),
            self._checkpoint_bytes,
        )

    def _add_models(self) -> None:
        families = self._families
        self._announced = families.gauge("model_announced", "Number of the newest announcement heard of.", "model")
        self._announced_at = families.gauge(
            "model_announced_timestamp_seconds",
            "When the newest announcement heard of was made, s since 1970; 0 before the first.",
            "model",
        )
        self._adopted_late = families.counter("model_late_adoptions", "Models adopted late.", "partition", "model")
        self._model_load_failures = families.counter("model_load_failures", "Failed attempts to load a model.", "model")
        for model in MODELS:
            self._model_load_failures.labels(model)

    def _add_process(self) -> None:
        self._unacked_bytes = self._families.gauge("unacked_bytes", "Published bytes that wait for their confirmation.")
        build = self._families.gauge("build_info", "The code that runs; always 1.", "version")
        build.labels(CODE_VERSION).set(1)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        ThreadTimes(self.registry)


class ReadCounter(Collector):
    """A counter that somebody else counts, and that is read when it is asked for."""

    def __init__(self, name: str, documentation: str, read: Callable[[], int]) -> None:
        self._name = name
        self._documentation = documentation
        self._read = read

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Its value now."""
        yield CounterMetricFamily(self._name, self._documentation, value=self._read())
