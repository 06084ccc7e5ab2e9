"""How the shards of a worker stand: their clocks, open views, tables, guard, weights and models, as gauges."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sie_online.announcements import MODELS
from sie_online.contracts import BUILTIN_MODEL
from sie_online.importance.guard import SIDES
from sie_online.settings import Settings
from sie_online.shard.figures import table_limits
from sie_online.shard.state import WEIGHT_EDGES, most_open_views
from streams.observe.families import Families, known

if TYPE_CHECKING:
    from sie_online.shard import ShardStats


class ShardMetrics:
    """The gauges of all shards of one worker, and what bounds them."""

    def __init__(self, families: Families, settings: Settings) -> None:
        self._clock_seconds = families.shard_gauge("event_time_seconds", "Latest event time seen, since 1970.")
        self._effective_share = families.shard_gauge(
            "effective_sample_ratio", "Effective sample size of the weights over the number of samples."
        )
        self._weights = families.histogram(
            "weight",
            "Weights at first statement since the shard began (sum from bucket centres).",
            WEIGHT_EDGES,
            "partition",
        )
        self._versions: dict[tuple[str, str], str] = {}
        self._evicted: dict[tuple[str, str], int] = {}
        self._add_guard(families)
        self._add_memory(families, settings)
        self._add_models(families)

    def begin(self, shard: str) -> None:
        """Have the series of a shard that its figures do not bring, at 0 or as built in, unless they are there."""
        for kind in self._kinds:
            self._evictions.labels(shard, kind)
        for model in MODELS:
            if (shard, model) not in self._versions:
                self.set_in_force(shard, model, 0, BUILTIN_MODEL, 0)

    def end(self, shard: str) -> None:
        """Forget a shard; its gauges go with those of all families."""
        self._weights.remove((shard,))
        self._versions = {key: version for key, version in self._versions.items() if key[0] != shard}
        self._evicted = {key: n for key, n in self._evicted.items() if key[0] != shard}

    def observe(self, shard: str, stats: ShardStats) -> None:
        """A shard at a glance."""
        self._clock_seconds.labels(shard).set(stats.clock_ms / 1000)
        self._open_views.labels(shard).set(stats.open_views)
        self._effective_share.labels(shard).set(stats.effective_share)
        self._strength.labels(shard).set(stats.strength)
        self._judged_views.labels(shard).set(stats.judged_views)
        for side, evidence in stats.log_evidence.items():
            self._log_evidence.labels(shard, known(side, SIDES)).set(evidence)
        for kind, slots in stats.entities.items():
            self._slots.labels(shard, known(kind, self._kinds)).set(slots)
        for kind, n in stats.evictions.items():
            self._count_evictions(shard, known(kind, self._kinds), n)
        self._table_bytes.labels(shard).set(stats.table_bytes)
        self._weights.replace(stats.weight_counts, _weight_sum(stats.weight_counts), (shard,))

    def set_in_force(self, shard: str, model: str, n: int, version: str, announced_at_ms: int) -> None:
        """Announcement ``n`` of ``model``, made at ``announced_at_ms``, is in force, and with it ``version``."""
        before = self._versions.get((shard, model), version)
        if before != version:
            self._in_force.remove(shard, model, before)
        self._versions[shard, model] = version
        self._in_force.labels(shard, model, version).set(1)
        self._in_force_since.labels(shard, model).set(announced_at_ms / 1000)
        self._adopted.labels(shard, model).set(n)

    def _count_evictions(self, shard: str, kind: str, n: int) -> None:
        """``n`` are a shard's since it was put up, which may have been anew since it was looked at."""
        before = self._evicted.get((shard, kind), 0)
        self._evictions.labels(shard, kind).inc(n - before if n >= before else n)
        self._evicted[shard, kind] = n

    # -- definitions

    def _add_guard(self, families: Families) -> None:
        self._strength = families.shard_gauge("guard_strength", "How much of the weighting is published, 0 to 1.")
        self._log_evidence = families.shard_gauge(
            "guard_log_evidence",
            "Natural logarithm of the evidence that weights harm or help; established from log(1 / guard.alpha) on.",
            "side",
        )
        self._judged_views = families.shard_gauge("guard_judged_views", "Settled views by which the guard has judged.")

    def _add_memory(self, families: Families, settings: Settings) -> None:
        limits = table_limits(settings)
        self._kinds = limits.slots.keys()
        self._open_views = families.shard_gauge("open_views", "Samples that wait for their label.")
        self._slots = families.shard_gauge("entity_slots", "Entities remembered.", "kind")
        self._table_bytes = families.shard_gauge("table_bytes", "Memory that the tables of entities take.")
        self._evictions = families.counter(
            "evictions", "Entities forgotten to make room for others.", "partition", "kind"
        )
        views_limit = families.gauge("open_views_limit", "Open views that a shard has room for.")
        views_limit.set(most_open_views(settings))
        slots_limit = families.gauge("entity_slots_limit", "Entities that a shard can remember.", "kind")
        for kind, n in limits.slots.items():
            slots_limit.labels(kind).set(n)
        bytes_limit = families.gauge("table_bytes_limit", "Memory that a shard's tables of entities take when full.")
        bytes_limit.set(limits.bytes)

    def _add_models(self, families: Families) -> None:
        self._adopted = families.shard_gauge("model_adopted", "Number of the model announcement in force.", "model")
        self._in_force = families.shard_gauge(
            "model_in_force_info", "The version of a model in force; always 1.", "model", "version"
        )
        self._in_force_since = families.shard_gauge(
            "model_in_force_timestamp_seconds",
            "When the version in force was announced, s since 1970; 0: none was.",
            "model",
        )


def _weight_sum(counts: Iterable[int]) -> float:
    half: float = 2.0**0.25
    centres = (*(edge / half for edge in WEIGHT_EDGES), WEIGHT_EDGES[-1] * half)
    return math.fsum(n * centre for n, centre in zip(counts, centres, strict=True))
