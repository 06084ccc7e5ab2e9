"""A shard in figures: what became of its records, how well it judged them, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import EVENT_TYPES
from sie_online.importance.factor import POSITIVE
from sie_online.settings import Settings
from sie_online.shard.entities import RECORDS
from sie_online.shard.output import Out
from sie_online.shard.ranking import bytes_at_most
from sie_online.shard.state import State
from sie_online.slots import WAYS, SlotTable, bytes_for, slots_for

LIKELY_NOISE = 0.5
"""An event of a larger P(noise) is more likely noise than not."""


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


class JudgedSamples(NamedTuple):
    """Samples that settled, in this order, and what was predicted of them when they happened."""

    positive: NDArray[np.bool_]
    """(n,)"""
    probability: NDArray[np.float64]
    """(twins, n), in the order of `recommender.kernels.TWIN_NAMES`."""


class NoiseByType(NamedTuple):
    """P(noise) of events as first stated, by event type in the order of ``EVENT_TYPES``."""

    judged: tuple[int, ...]
    probability: tuple[float, ...]
    """Sums."""
    noisy: tuple[int, ...]
    """How many were more likely noise than not."""


@dataclass(frozen=True, slots=True)
class ShardStats:
    """A shard at a glance, for metrics; counts are since the shard began, evictions since it was put up."""

    clock_ms: int
    open_views: int
    entities: dict[str, int]
    evictions: dict[str, int]
    table_bytes: int
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


class TableLimits(NamedTuple):
    """What a shard's tables can hold: slots by kind of entity, and the memory that all of them take when full."""

    slots: dict[str, int]
    bytes: int


def table_limits(settings: Settings) -> TableLimits:
    """The bounds under ``settings``."""
    bounds = settings.entities
    asked = (bounds.users, bounds.items, bounds.categories, bounds.pairs, bounds.interests)
    slots = {kind: slots_for(n) for kind, n in zip(RECORDS, asked, strict=True)}
    lists = bytes_at_most(settings) if settings.recommend.enabled else 0
    return TableLimits(slots, lists + sum(bytes_for(n, n // WAYS, RECORDS[kind]) for kind, n in slots.items()))


def tables_by_kind(state: State) -> dict[str, SlotTable]:
    """The tables of ``state`` by kind of entity."""
    return dict(zip(RECORDS, (state.users, state.items, state.categories, state.pairs, state.interests), strict=True))


def judged_samples(out: Out) -> JudgedSamples:
    """What settled in ``out``."""
    n = int(out.control["settled"][0])
    labels = out.rows["label"][out.settled["row"][:n]]
    return JudgedSamples(labels == POSITIVE, out.predicted[:n].T.copy())


def noise_by_type(out: Out) -> NoiseByType:
    """The P(noise) of the events first stated in ``out``."""
    rows = out.rows[: int(out.control["rows"][0])]
    first = rows["revision"] == 0
    types, probability = rows["etype"][first], rows["noise_probability"][first]
    n = len(EVENT_TYPES)
    return NoiseByType(
        judged=tuple(np.bincount(types, minlength=n).tolist()),
        probability=tuple(np.bincount(types, weights=probability, minlength=n).tolist()),
        noisy=tuple(np.bincount(types[probability > LIKELY_NOISE], minlength=n).tolist()),
    )
