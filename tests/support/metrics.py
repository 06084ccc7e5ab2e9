"""Everything that a worker tells its metrics, once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sie_online.contracts import EVENT_TYPES
from sie_online.ingest.events import Reason
from sie_online.shard import RecordCounts, ShardStats
from sie_online.shard.figures import JudgedSamples, NoiseByType
from sie_online.shard.state import WEIGHT_EDGES
from streams.observe.metrics import Metrics

VERSION = "01HZX0000000000000000000AA"
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


def stats(entities: dict[str, int] | None = None, weight: int = 0, evictions: int = 2) -> ShardStats:
    """Figures of a shard with ``entities``, so many weights of 1 and so many ``evictions`` of users."""
    bins = [0] * (len(WEIGHT_EDGES) + 1)
    bins[WEIGHT_EDGES.index(1.0)] = weight
    return ShardStats(
        clock_ms=5_000,
        open_views=7,
        entities=entities or {"user": 3},
        evictions={"user": evictions},
        table_bytes=1_024,
        weight_counts=tuple(bins),
        effective_share=0.5,
        strength=0.25,
        judged_views=11,
        log_evidence={"harm": 1.5, "help": 0.0},
        counts=counts(),
    )


def judged(labels: Sequence[int], uniform: Sequence[float], weighted: Sequence[float]) -> JudgedSamples:
    """Settled samples with these ``labels`` (0 or 1), and what either twin predicted of each."""
    return JudgedSamples(np.array(labels) == 1, np.array([uniform, weighted], np.float64))


def noise(judged: int, probability: float, noisy: int) -> NoiseByType:
    """So many views were judged, with this sum of P(noise), and so many of them likelier noise than not."""
    is_view = [name == "view" for name in EVENT_TYPES]
    return NoiseByType(
        *(tuple(value if view else 0 for view in is_view) for value in (judged, probability, noisy))  # type: ignore[arg-type]
    )


def busy(metrics: Metrics, partition: int = 0) -> None:
    """Everything a worker tells, once."""
    metrics.set_epoch(partition, 3)
    metrics.watch_unsaved(partition, lambda: 1.5)
    metrics.watch_assigned(lambda: 1)
    metrics.observe_batch(partition, 100, 12_345, {"process": 0.01, "publish": 0.02})
    metrics.observe_counts(
        partition,
        counts(weighted=(0, 90, 0, 4, 0, 2, 0, 0), duplicates=(0, 1, 0, 0, 0, 0, 0, 0), heartbeats=2, dead_letters=1),
    )
    metrics.observe_quality(
        partition,
        judged([0, 0, 1, 0], [0.1, 0.2, 0.4, 0.3], [0.1, 0.1, 0.6, 0.2]),
        noise(judged=90, probability=4.5, noisy=3),
    )
    metrics.observe_output(partition, 96, 0.3, 0.02)
    metrics.final_rows_confirmed(partition, 1_700_000_000.0)
    metrics.observe_checkpoint(partition, 0.05, 4_096)
    metrics.set_lag(partition, 17, 2.5)
    metrics.set_announced("net", 4, 1_600_000_000_000)
    metrics.set_in_force(partition, "net", 3, VERSION, 1_500_000_000_000)
    metrics.observe_shard(partition, stats(weight=96))
    metrics.dead_letter(Reason.BAD_JSON)
    metrics.watch_unacked_bytes(lambda: 99)
