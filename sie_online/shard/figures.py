"""A shard in figures: what became of its records, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class RecordCounts:
    """What became of records, by event type in the order of ``EVENT_TYPES``."""

    weighted: tuple[int, ...]
    duplicates: tuple[int, ...]
    heartbeats: int
    dead_letters: int
    settled_negative: int
    settled_positive: int
    settled_early: int
    erasures: int = 0
    attributes_dropped: int = 0

    @property
    def events_in(self) -> int:
        """Records accounted for: weighted + duplicates + heartbeats + erasures + dead letters."""
        return sum(self.weighted) + sum(self.duplicates) + self.heartbeats + self.erasures + self.dead_letters


@dataclass(frozen=True, slots=True)
class ShardStats:
    """A shard at a glance, for metrics; counts are since the shard began."""

    clock_ms: int
    open_views: int
    entities: dict[str, int]
    weight_counts: tuple[int, ...]  # by `WEIGHT_EDGES`
    effective_share: float
    strength: float
    judged_views: int  # by the guard
    log_evidence: dict[str, float]  # by `SIDES`, natural logarithms
    counts: RecordCounts


def counts_between(before: np.void, after: np.void, dead_letters: int, dropped: int) -> RecordCounts:
    """What the counters moved by from ``before`` to ``after``."""

    def moved(name: str) -> Any:
        return after[name] - before[name]

    negative, positive = moved("settled").tolist()
    return RecordCounts(
        weighted=tuple(moved("weighted").tolist()),
        duplicates=tuple(moved("duplicates").tolist()),
        heartbeats=int(moved("heartbeats")),
        dead_letters=dead_letters,
        settled_negative=negative,
        settled_positive=positive,
        settled_early=int(moved("settled_early")),
        erasures=int(moved("erasures")),
        attributes_dropped=dropped,
    )
