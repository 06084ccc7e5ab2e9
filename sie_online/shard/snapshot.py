"""Saving a shard: the state as named, immutable pieces, of which only those that changed are handed out again.

Three kinds of memory are saved in three ways:

- *Tables* (users, coefficients, …) change in place, a row here and a row there. The kernels mark the rows they write to
  and a snapshot copies those: a patch (`sie_online.shard.patches`). That no mark is forgotten is tested against the
  state itself.
- *Small arrays* (counters, the population, …) change with every event, and are copied whole.
- *Open views* are appended and hardly ever change, so a piece is a range of views (`sie_online.shard.ranges`).

All of it is copied while the line stands still. A shard's first snapshot holds its whole state: most of that can be
copied before, part by part, with the line going on in between; what changes meanwhile is marked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import CheckpointError
from sie_online.shard.dedupe import rebuild
from sie_online.shard.patches import PatchChain, Piece, Table, apply, raw
from sie_online.shard.ranges import PATCHES, RANGES, Bounds, ViewPieces, restore_views
from sie_online.shard.state import State
from sie_online.shard.views import ViewsFile
from sie_online.slots import SlotTable, reindex

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
    model, ring = state.model, state.dedupe.ring
    events = int(state.counters["events"][0]) if len(ring) else 0
    yield Table("dedupe", raw(ring), max(0, events - len(ring)), events)
    yield Table("model.linear", raw(model.linear), 0, len(model.linear), model.moved_linear, sparse=True)
    yield Table("model.factors", raw(model.factors), 0, len(model.factors), model.moved_factors, sparse=True)
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
    """What the snapshots of one shard have held so far, and so what the next must hold.

    ``scratch`` is the folder in which open views wait that are too many.
    """

    def __init__(self, scratch: Path | None) -> None:
        self._patches = 0
        self._chains = defaultdict[str, PatchChain](PatchChain)
        self._whole: dict[str, bytes] = {}
        self._views = ViewPieces(scratch)
        self._ahead: dict[str, Piece] = {}
        self._is_first = True

    def copy_ahead(self, state: State, more: Iterable[Table] = ()) -> bool:
        """Copy a part of what the first snapshot must hold, about `PART_BYTES`; False if nothing is left to copy.

        ``more`` are tables beside the state's own.
        """
        if not self._is_first:
            return False
        left = PART_BYTES
        for name, piece in self._parts(state, more):
            self._ahead[name] = piece
            left -= len(piece)
            if left <= 0:
                return True
        return False

    def _parts(self, state: State, more: Iterable[Table]) -> Iterator[tuple[str, Piece]]:
        """What is in no piece yet, bit by bit."""
        for table in (*tables_of(state), *more):
            while piece := self._chains[table.name].part(self._patches + 1, table, PART_BYTES):
                self._patches += 1
                yield f"{table.name}/{self._patches}", piece
        while named := self._views.part(self._patches + 1, state.views, bounds_of(state)):
            self._patches += 1
            yield named

    def capture(
        self, state: State, meta: Mapping[str, Any], extra: Mapping[str, bytes], more: Iterable[Table] = ()
    ) -> Snapshot:
        """The state now, with whole ``extra`` pieces and ``more`` tables beside its own."""
        bounds, tables = bounds_of(state), [*tables_of(state), *more]
        changed = self._ahead | self._new_patches(tables) | self._views.pieces(self._patches, state.views, bounds)
        whole = {f"{name}/0": array.tobytes() for name, array in small_arrays(state)} | dict(extra)
        changed |= {name: data for name, data in whole.items() if self._whole.get(name) != data}
        self._whole, self._ahead, self._is_first = whole, {}, False
        live = {f"{name}/{patch}" for name, chain in self._chains.items() for patch in chain.live}
        live |= {*self._views.live} | whole.keys()
        rows = {table.name: (table.first, table.last) for table in tables}
        full = {**meta, "views": list(bounds), "rows": rows}
        return Snapshot(
            int(meta["next_offset"]), full, {name: changed[name] for name in changed.keys() & live}, frozenset(live)
        )

    def _new_patches(self, tables: Iterable[Table]) -> dict[str, Piece]:
        self._patches += 1
        pieces = {
            f"{table.name}/{self._patches}": self._chains[table.name].patch(self._patches, table) for table in tables
        }
        return {name: piece for name, piece in pieces.items() if piece is not None}


def restored(empty: State, file: ViewsFile, meta: Mapping[str, Any], pieces: Mapping[str, Piece]) -> State:
    """``empty``, whose open views lie in ``file``, filled from the pieces of a snapshot.

    Raises:
        CheckpointError: a piece does not fit, or something is missing.
        UnreachableError: the disk has no room for the open views.
    """
    found = _by_table(pieces)
    for name, array in small_arrays(empty):
        data = found[name].get("0", b"")
        if len(data) != array.nbytes:
            raise CheckpointError(f"{name} is missing or does not fit this state")
        array.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
    for table in tables_of(empty):
        first, last = meta["rows"][table.name]
        apply(table._replace(first=first, last=last), {int(part): data for part, data in found[table.name].items()})
    bounds = Bounds(*meta["views"])
    if bounds.tail - bounds.head > len(empty.views.hot):
        raise CheckpointError(f"{bounds.tail - bounds.head} open views do not fit this state")
    file.claim(*bounds)
    restore_views(empty.views, bounds, found[RANGES], found[PATCHES])
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


def bounds_of(state: State) -> Bounds:
    """Where the open views, and their ids, begin and end."""
    counters, cold = state.counters[0], state.views.cold
    head, tail, ids_tail = int(counters["head"]), int(counters["tail"]), int(counters["ids_tail"])
    return Bounds(head, tail, int(cold["ids_at"][head % len(cold)]) if head < tail else ids_tail, ids_tail)
