"""What a shard takes of memory and disk at most under given settings, part by part, as it allocates it.

Tables claim memory page by page as they fill (`sie_online.memory`): a new shard has a few MB, one that remembers
as many as it may has all of it. Nothing is computed from formulas: the arrays are made, untouched, and measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sie_online.ranking.tables import Known, new_scratch, new_tables, no_tables
from sie_online.settings import Settings
from sie_online.shard.ranking import sizes_of
from sie_online.shard.state import most_open_views, new_state, new_views
from sie_online.shard.views import COLD, HOT, ID_BYTES_PER_VIEW, LOAD, OVERLAY

VIEW_BYTES = HOT.itemsize + COLD.itemsize + OVERLAY.itemsize
"""Scratch disk of an open view, without its ids."""
LEAST_VIEWS = 64


class PartSize(NamedTuple):
    """A part of a shard. ``setting`` bounds the number of its ``places``; None: its size is fixed."""

    name: str
    setting: str | None
    places: int
    memory: int
    """Bytes, with all places taken."""
    disk: int = 0
    """Bytes of scratch file, likewise."""


def part_sizes(settings: Settings) -> list[PartSize]:
    """Of one shard, the largest first."""
    return sorted(_parts(settings), key=lambda part: -part.memory)


def _parts(settings: Settings) -> Iterator[PartSize]:
    few = settings.model_copy(update={"labels": settings.labels.model_copy(update={"max_open_views": LEAST_VIEWS})})
    state = new_state(few, new_views(few).views)
    for name in ("users", "items", "categories", "pairs", "interests"):
        table = getattr(state, name)
        yield PartSize(name, f"entities.{name}", len(table.rows) - 1, _bytes(table))
    yield PartSize("event ids", "dedupe.events", len(state.dedupe.ring), _bytes(state.dedupe))
    yield from ranking_parts(settings) if settings.recommend.enabled else ()
    views = most_open_views(settings)
    yield PartSize(
        "open views",
        "labels.max_open_views",
        views,
        memory=views // LOAD * np.dtype(np.uint32).itemsize + views // 8,
        disk=views * (VIEW_BYTES + ID_BYTES_PER_VIEW),
    )
    rest = (state.model, state.noise, state.net, state.population, state.counters, state.clock, state.scratch)
    yield PartSize("models, counts", None, 0, sum(map(_bytes, rest)))


def ranking_parts(settings: Settings) -> Iterator[PartSize]:
    """Of the lists: those of the shard's own counts. What is known of other partitions takes no more than its items."""
    tables = new_tables(sizes_of(settings))
    for name, setting in (("users", "users"), ("items", "items"), ("categories", "categories"), ("seen", "pairs")):
        table = getattr(tables, name)
        yield PartSize(f"lists: {setting}", f"recommend.{setting}", len(table.rows) - 1, _bytes(table))
    scratch = new_scratch(Known(tables, no_tables(sizes_of(settings))))
    yield PartSize("lists: working memory", "recommend.items", len(tables.items.rows) - 1, _bytes(scratch))


def _bytes(arrays: Any) -> int:
    """Of all arrays in a tuple of arrays and such tuples."""
    if isinstance(arrays, np.ndarray):
        return arrays.nbytes
    return sum(map(_bytes, arrays)) if isinstance(arrays, tuple) else 0
