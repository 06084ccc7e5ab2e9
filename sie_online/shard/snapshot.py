"""Saving a shard: the state as named, immutable pieces, of which only those that changed are handed out again.

Two kinds of memory are saved in two ways:

- *Tables* (users, model, counters, …) change in place. A snapshot copies them, which is all the line waits for; later,
  in the writer's thread, the copy is compared block by block with what was last handed out, and a block that differs
  is a new piece. Comparing cannot forget a change, as marks set by the kernels could. All-zero blocks are no pieces.
- *Open views* are appended and never change, so a piece is a range of views. Neighbouring ranges are merged as they
  pile up (sizes at least halve from one range to the next), so that there are few, and each view is rewritten a
  logarithmic number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import CheckpointError
from sie_online.jit import kernel
from sie_online.shard.dedupe import rebuild
from sie_online.shard.slots import SlotTable, reindex
from sie_online.shard.state import State
from sie_online.shard.views import COLD, FIRST_CAPACITY, HOT, Views, new_views, relink

BLOCK_BYTES = 1 << 16
"""Small enough that scattered updates stay cheap, large enough that a manifest stays small."""
LARGEST_RANGE = 1 << 14
"""Views per piece beyond which ranges are no longer merged: merging 8 MB is a matter of milliseconds."""

EXTRA = "extra"
"""Folder of the pieces that are none of ours to read."""

Bytes = NDArray[np.uint8]
Piece = bytes | memoryview


@dataclass(frozen=True)
class Snapshot:
    """A shard's state as of ``next_offset``; to be written before the shard's next snapshot is taken.

    ``changed`` holds the pieces that differ from the previous snapshot of the same shard object (all of them in the
    first); ``live`` names every piece the state consists of. A name may return with other content. Both are found on
    first use, in the caller's thread; the shard may go on meanwhile.
    """

    next_offset: int
    meta: dict[str, Any]
    find: Callable[[], tuple[dict[str, Piece], frozenset[str]]]

    @cached_property
    def _pieces(self) -> tuple[dict[str, Piece], frozenset[str]]:
        return self.find()

    @property
    def changed(self) -> dict[str, Piece]:
        """Pieces with their data."""
        return self._pieces[0]

    @property
    def live(self) -> frozenset[str]:
        """Names of all pieces."""
        return self._pieces[1]


class Table(NamedTuple):
    """An array that changes in place: its name, its bytes, and how many of them, from the start, were ever used."""

    name: str
    data: Bytes
    used: int


def tables_of(state: State) -> Iterator[Table]:
    """Every array that changes in place; derived ones are left out."""
    overlay = (f"overlay.{len(state.views.overlay)}", state.views.overlay)
    for name, array in (*plain_arrays(state), overlay):
        yield Table(name, array.reshape(-1).view(np.uint8), array.nbytes)
    for name, slots in slot_tables(state):
        yield Table(name, slots.rows.view(np.uint8), int(slots.used[0]) * slots.rows.itemsize)


def plain_arrays(state: State) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of a fixed size, by name."""
    # checkpoints have always called the population so: another name would make them unreadable
    yield from (("counters", state.counters), ("clock", state.clock), ("world", state.population))
    yield "dedupe", state.dedupe.ring
    for name in ("linear", "factors", "usage", "n_scored"):
        yield f"model.{name}", getattr(state.model, name)


def slot_tables(state: State) -> Iterator[tuple[str, SlotTable]]:
    """The tables of entities, by name."""
    return ((name, getattr(state, name)) for name in ("users", "items", "categories", "pairs", "interests"))


class SnapshotDiff:
    """What differs from the previous snapshot: copies of the state as it was then, and as last captured."""

    def __init__(self) -> None:
        self._current: dict[str, Bytes] = {}
        self._used: dict[str, int] = {}
        self._previous: dict[str, Bytes] = {}
        self._live: dict[str, set[int]] = {}
        self._ranges: list[tuple[int, int]] = []
        self._extra: dict[str, bytes] = {}

    def capture(self, state: State, meta: Mapping[str, Any], extra: Mapping[str, bytes]) -> Snapshot:
        """The state now, with whole ``extra`` pieces beside its own."""
        tables = list(tables_of(state))
        self._current = {
            name: self._current[name] if name in self._current else np.empty_like(data) for name, data, _ in tables
        }
        self._used = {name: used for name, _, used in tables}
        for name, data, used in tables:
            np.copyto(self._current[name][:used], data[:used])
        others: dict[str, Piece] = self._new_ranges(state)
        others |= {name: data for name, data in extra.items() if self._extra.get(name) != data}
        self._extra = dict(extra)
        head, tail = _bounds(state)
        full = {**meta, "head": head, "tail": tail, "capacity": len(state.views.hot)}
        return Snapshot(int(meta["next_offset"]), full, partial(self._find, others))

    def _find(self, others: dict[str, Piece]) -> tuple[dict[str, Piece], frozenset[str]]:
        """All that changed since it was last handed out, ``others`` included, and the names of all there is."""
        for name, now in self._current.items():
            if name not in self._previous:
                self._previous[name] = np.zeros(
                    now.shape, np.uint8
                )  # unlike zeros_like, claims no memory before it is used
        self._live = {name: self._live.get(name, set()) for name in self._current}
        changed = dict(others)
        for name in self._current:
            changed |= self._changed_blocks(name)
        live = {f"{name}/{block}" for name, blocks in self._live.items() for block in blocks}
        live |= {_range_name(*bounds) for bounds in self._ranges} | self._extra.keys()
        return changed, frozenset(live)

    def _changed_blocks(self, name: str) -> dict[str, Piece]:
        previous, used = self._previous[name], self._used[name]
        flags = np.zeros(-(-used // BLOCK_BYTES), np.bool_)
        compare_and_copy(
            self._current[name][:used].view(np.uint64), previous[:used].view(np.uint64), BLOCK_BYTES // 8, flags
        )
        blocks = np.flatnonzero(flags).tolist()
        self._live[name].update(blocks)
        spans = {block: slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES) for block in blocks}
        return {f"{name}/{block}": previous[span].data for block, span in spans.items()}

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


@kernel
def compare_and_copy(now: Any, before: Any, block: int, changed: Any) -> None:
    """Mark the blocks of ``now`` that differ from ``before`` and copy them there (uint64 arrays of equal length)."""
    for which in range(changed.shape[0]):
        first, last = which * block, min((which + 1) * block, now.shape[0])
        difference = np.uint64(0)
        for at in range(first, last):
            difference |= now[at] ^ before[at]
        changed[which] = difference != 0
        if changed[which]:
            for at in range(first, last):
                before[at] = now[at]


def _pack_views(views: Views, first: int, last: int) -> bytes:
    """Hot and cold parts and ids of views ``first`` to ``last``, end to end."""
    at = np.arange(first, last) & (len(views.hot) - 1)
    hot, cold = views.hot[at], views.cold[at]
    end = int(cold[-1]["ids_at"]) + sum(int(cold[-1][part]) for part in ("event_bytes", "user_bytes", "item_bytes"))
    ids = views.ids[np.arange(int(cold[0]["ids_at"]), end) & (len(views.ids) - 1)]
    return b"".join(part.tobytes() for part in (hot, cold, ids))


def restored(empty: State, meta: Mapping[str, Any], pieces: Mapping[str, Piece], scratch: Path | None) -> State:
    """``empty`` filled from the pieces of a snapshot.

    Raises:
        CheckpointError: a piece does not fit, or open views are missing.
    """
    capacity = int(meta["capacity"])
    if capacity != FIRST_CAPACITY:
        empty = empty._replace(views=new_views(capacity, scratch))
    tables = {table.name: table.data for table in tables_of(empty)}
    covered = head = int(meta["head"])
    ranges: list[tuple[int, int, Piece]] = []
    for name, data in pieces.items():
        table, _, part = name.rpartition("/")
        if table == "views":
            begin, end = part.split("-")
            ranges.append((int(begin), int(end), data))
            continue
        if table == EXTRA:
            continue
        target = tables.get(table)
        at = int(part) * BLOCK_BYTES
        if target is None or at + len(data) > len(target):
            raise CheckpointError(f"piece {name} does not fit this state: the tables' sizes differ")
        target[at : at + len(data)] = np.frombuffer(data, np.uint8)
    for first, last, data in sorted(ranges, key=lambda item: item[0]):
        if first > covered:
            raise CheckpointError(f"open views {covered} to {first} are missing")
        _unpack_views(empty.views, head, first, last, data)
        covered = max(covered, last)
    if covered != int(meta["tail"]):
        raise CheckpointError(f"open views {covered} to {meta['tail']} are missing")
    relink(empty.views, head, covered)
    rebuild(empty.dedupe)
    for _, slots in slot_tables(empty):
        reindex(slots)
    return empty


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
