"""Everything that a worker tells its metrics, once."""

from __future__ import annotations

from sie_online.contracts import EVENT_TYPES
from sie_online.ingest.events import Reason
from sie_online.shard import RecordCounts, ShardStats
from sie_online.shard.state import WEIGHT_EDGES
from streams.observe.metrics import Metrics

NOTHING = (0,) * len(EVENT_TYPES)


def counts(**overrides: object) -> RecordCounts:
    """Counts of nothing, but for ``overrides``."""
    fields = {
        "weighted": NOTHING,
        "duplicates": NOTHING,
        "heartbeats": 0,
        "dead_letters": 0,
        "settled_negative": 0,
        "settled_positive": 0,
        "settled_early": 0,
    }
    return RecordCounts(**(fields | overrides))  # type: ignore[arg-type]


def stats(entities: dict[str, int] | None = None, weight: int = 0) -> ShardStats:
    """Figures of a shard with ``entities`` and so many weights of 1."""
    bins = [0] * (len(WEIGHT_EDGES) + 1)
    bins[WEIGHT_EDGES.index(1.0)] = weight
    return ShardStats(
        5_000, 7, entities or {"user": 3}, tuple(bins), 0.5, 0.25, 11, {"harm": 1.5, "help": 0.0}, counts()
    )


def busy(metrics: Metrics, partition: int = 0) -> None:
    """Everything a worker tells, once."""
    metrics.set_epoch(partition, 3)
    metrics.observe_batch(partition, 100, 12_345, {"process": 0.01, "publish": 0.02})
    metrics.observe_counts(
        partition,
        counts(weighted=(0, 90, 0, 4, 0, 2, 0, 0), duplicates=(0, 1, 0, 0, 0, 0, 0, 0), heartbeats=2, dead_letters=1),
    )
    metrics.observe_output(partition, 96, 0.3, 0.02)
    metrics.observe_checkpoint(partition, 0.05, 4_096)
    metrics.set_lag(partition, 17)
    metrics.observe_shard(partition, stats(weight=96))
    metrics.dead_letter(Reason.BAD_JSON)
    metrics.watch_unacked_bytes(lambda: 99)
