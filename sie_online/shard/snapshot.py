"""Saving a shard: the state as named, immutable pieces, of which only those that changed are handed out again.

Three kinds of memory are saved in three ways:

- *Tables* (users, coefficients, …) change in place, a row here and a row there. The kernels mark the rows they write to
  and a snapshot copies those: a patch (`sie_online.shard.patches`). That no mark is forgotten is tested against the
  state itself.
- *Small arrays* (counters, the population, …) change with every event, and are copied whole.
- *Open views* are appended and never change, so a piece is a range of views. Neighbouring ranges are merged as they
  pile up (sizes at least halve from one range to the next), so that there are few, and each view is rewritten a
  logarithmic number of times.

All of it is copied while the line stands still. A shard's first snapshot holds its whole state: most of that can be
copied before, part by part, with the line going on in between; what changes meanwhile is marked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import CheckpointError
from sie_online.shard.dedupe import rebuild
from sie_online.shard.patches import PatchChain, Piece, Table, apply, raw
from sie_online.shard.slots import SlotTable, reindex
from sie_online.shard.state import State
from sie_online.shard.views import COLD, FIRST_CAPACITY, HOT, Views, new_views, relink

LARGEST_RANGE = 1 << 12
"""Views per piece beyond which ranges are no longer merged: a manifest of 250 pieces names a million of them."""
PART_BYTES = 8 << 20
"""What is copied at once ahead of a first snapshot: some 5 ms."""

EXTRA = "extra"
"""Folder of the pieces that are none of ours to read."""


@dataclass(frozen=True)
class Snapshot:
    """A shard's state as of ``next_offset``.

    ``changed`` holds the pieces that differ from the previous snapshot of the same shard object (all of them in the
    first); ``live`` names every piece the state consists of. A name may return with other content.
    """

    next_offset: int
    meta: dict[str, Any]
    changed: dict[str, Piece]
    live: frozenset[str]


def tables_of(state: State) -> Iterator[Table]:
    """The tables that change row by row."""
    counters, model, views, ring = state.counters[0], state.model, state.views, state.dedupe.ring
    events, head, tail = int(counters["events"]) if len(ring) else 0, int(counters["head"]), int(counters["tail"])
    yield Table("dedupe", raw(ring), max(0, events - len(ring)), events)
    yield Table("model.linear", raw(model.linear), 0, len(model.linear), model.moved_linear, sparse=True)
    yield Table("model.factors", raw(model.factors), 0, len(model.factors), model.moved_factors, sparse=True)
    yield Table("views.overlay", raw(views.overlay), head, tail, views.changed)
    for name, table in slot_tables(state):
        yield Table(name, raw(table.rows), 0, int(table.used[0]), table.changed)


def small_arrays(state: State) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays that are saved whole, by name."""
    # checkpoints have always called the population so: another name would make them unreadable
    yield from (("counters", state.counters), ("clock", state.clock), ("world", state.population))
    yield from (("model.usage", state.model.usage), ("model.n_scored", state.model.n_scored))


def slot_tables(state: State) -> Iterator[tuple[str, SlotTable]]:
    """The tables of entities, by name."""
    return ((name, getattr(state, name)) for name in ("users", "items", "categories", "pairs", "interests"))


class SnapshotDiff:
    """What the snapshots of one shard have held so far, and so what the next must hold."""

    def __init__(self) -> None:
        self._patches = 0
        self._chains = defaultdict[str, PatchChain](PatchChain)
        self._whole: dict[str, bytes] = {}
        self._ranges: list[tuple[int, int]] = []
        self._ahead: dict[str, Piece] = {}
        self._is_first = True

    def copy_ahead(self, state: State) -> bool:
        """Copy a part of what the first snapshot must hold, about `PART_BYTES`; False if nothing is left to copy."""
        if not self._is_first:
            return False
        left = PART_BYTES
        for name, piece in self._parts(state):
            self._ahead[name] = piece
            left -= len(piece)
            if left <= 0:
                return True
        return False

    def _parts(self, state: State) -> Iterator[tuple[str, Piece]]:
        """What is in no piece yet, bit by bit."""
        for table in tables_of(state):
            while piece := self._chains[table.name].part(self._patches + 1, table, PART_BYTES):
                self._patches += 1
                yield f"{table.name}/{self._patches}", piece
        head, tail = _bounds(state)
        first = max(head, self._ranges[-1][1] if self._ranges else head)
        for begin in range(first, tail, LARGEST_RANGE):
            bounds = begin, min(tail, begin + LARGEST_RANGE)
            self._ranges.append(bounds)
            yield _range_name(*bounds), _pack_views(state.views, *bounds)

    def capture(self, state: State, meta: Mapping[str, Any], extra: Mapping[str, bytes]) -> Snapshot:
        """The state now, with whole ``extra`` pieces beside its own."""
        changed = self._ahead | self._new_patches(state) | self._new_ranges(state)
        whole = {f"{name}/0": array.tobytes() for name, array in small_arrays(state)} | dict(extra)
        changed |= {name: data for name, data in whole.items() if self._whole.get(name) != data}
        self._whole, self._ahead, self._is_first = whole, {}, False
        live = {f"{name}/{patch}" for name, chain in self._chains.items() for patch in chain.live}
        live |= {_range_name(*bounds) for bounds in self._ranges} | whole.keys()
        head, tail = _bounds(state)
        rows = {table.name: (table.first, table.last) for table in tables_of(state)}
        full = {**meta, "head": head, "tail": tail, "capacity": len(state.views.hot), "rows": rows}
        return Snapshot(
            int(meta["next_offset"]), full, {name: changed[name] for name in changed.keys() & live}, frozenset(live)
        )

    def _new_patches(self, state: State) -> dict[str, Piece]:
        self._patches += 1
        pieces = {
            f"{table.name}/{self._patches}": self._chains[table.name].patch(self._patches, table)
            for table in tables_of(state)
        }
        return {name: piece for name, piece in pieces.items() if piece is not None}

    def _new_ranges(self, state: State) -> dict[str, Piece]:
        """Drop settled ranges, add one for the views since the last snapshot, merge what has piled up."""
        head, tail = _bounds(state)
        kept = [bounds for bounds in self._ranges if bounds[1] > head]
        covered = kept[-1][1] if kept else head
        ranges = [*kept, (covered, tail)] if tail > covered else list(kept)
        while len(ranges) > 1 and _should_merge(ranges[-2], ranges[-1], head):
            last = ranges.pop()
            ranges[-1] = (ranges[-1][0], last[1])
        ranges = [(max(first, head), last) if (first, last) not in kept else (first, last) for first, last in ranges]
        fresh = [bounds for bounds in ranges if bounds not in kept]
        self._ranges = ranges
        return {_range_name(*bounds): _pack_views(state.views, *bounds) for bounds in fresh}


def _bounds(state: State) -> tuple[int, int]:
    return int(state.counters["head"][0]), int(state.counters["tail"][0])


def _should_merge(older: tuple[int, int], newer: tuple[int, int], head: int) -> bool:
    size = older[1] - max(older[0], head)
    return size < 2 * (newer[1] - newer[0]) and size < LARGEST_RANGE


def _range_name(first: int, last: int) -> str:
    return f"views/{first}-{last}"


def _pack_views(views: Views, first: int, last: int) -> Piece:
    """Hot and cold parts and ids of views ``first`` to ``last``, end to end."""
    newest, oldest = views.cold[(last - 1) % len(views.cold)], views.cold[first % len(views.cold)]
    end = int(newest["ids_at"]) + sum(int(newest[part]) for part in ("event_bytes", "user_bytes", "item_bytes"))
    parts = [
        *_of_ring(views.hot, first, last),
        *_of_ring(views.cold, first, last),
        *_of_ring(views.ids, int(oldest["ids_at"]), end),
    ]
    return b"".join(part.view(np.uint8).data for part in parts)


def _of_ring(ring: NDArray[Any], first: int, last: int) -> Iterator[NDArray[Any]]:
    """Elements ``first`` to ``last`` of those that were ever in ``ring``."""
    place = first % len(ring)
    yield ring[place : place + last - first]
    yield ring[: max(place + last - first - len(ring), 0)]


def restored(empty: State, meta: Mapping[str, Any], pieces: Mapping[str, Piece], scratch: Path | None) -> State:
    """``empty`` filled from the pieces of a snapshot.

    Raises:
        CheckpointError: a piece does not fit, or something is missing.
    """
    capacity = int(meta["capacity"])
    if capacity != FIRST_CAPACITY:
        empty = empty._replace(views=new_views(capacity, scratch))
    found = _by_table(pieces)
    for name, array in small_arrays(empty):
        data = found[name].get("0", b"")
        if len(data) != array.nbytes:
            raise CheckpointError(f"{name} is missing or does not fit this state")
        array.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
    for table in tables_of(empty):
        first, last = meta["rows"][table.name]
        apply(table._replace(first=first, last=last), {int(part): data for part, data in found[table.name].items()})
    head, tail = int(meta["head"]), int(meta["tail"])
    _restore_views(empty.views, head, tail, found["views"])
    relink(empty.views, head, tail)
    rebuild(empty.dedupe)
    for _, slots in slot_tables(empty):
        reindex(slots)
    return empty


def _by_table(pieces: Mapping[str, Piece]) -> Mapping[str, dict[str, Piece]]:
    found = defaultdict[str, dict[str, Piece]](dict)
    for name, data in pieces.items():
        table, _, part = name.rpartition("/")
        found[table][part] = data
    return found


def _restore_views(views: Views, head: int, tail: int, pieces: Mapping[str, Piece]) -> None:
    covered = head
    ranges = sorted((int(begin), int(end), name) for name in pieces for begin, _, end in [name.partition("-")])
    for first, last, name in ranges:
        if first > covered:
            raise CheckpointError(f"open views {covered} to {first} are missing")
        _unpack_views(views, head, first, last, pieces[name])
        covered = max(covered, last)
    if covered != tail:
        raise CheckpointError(f"open views {covered} to {tail} are missing")


def _unpack_views(views: Views, head: int, first: int, last: int, data: Piece) -> None:
    """Put the still open views of a range back into the ring; settled ones would overwrite younger views."""
    n = last - first
    hot = np.frombuffer(data, HOT, n)
    cold = np.frombuffer(data, COLD, n, offset=n * HOT.itemsize)
    ids = np.frombuffer(data, np.uint8, offset=n * (HOT.itemsize + COLD.itemsize))
    skip = max(head - first, 0)
    at = np.arange(first + skip, last) & (len(views.hot) - 1)
    views.hot[at], views.cold[at] = hot[skip:], cold[skip:]
    start, origin = int(cold["ids_at"][skip]), int(cold["ids_at"][0])
    where = (start + np.arange(len(ids) - (start - origin))) & (len(views.ids) - 1)
    views.ids[where] = ids[start - origin :]
