"""Open views as pieces: ranges of them, each as it was when it was written, and patches of what changed since.

A view is appended and never changes, but for its overlay. Neighbouring ranges are merged as they pile up (sizes at
least halve from one range to the next), so that there are few, and each view is rewritten a logarithmic number of
times. Overlays that changed since their range was written lie in patches, which are merged the same way. Both disappear
when the last of their views is settled. A higher number means written later, and what was written later holds.

Ranges that are too many to wait in memory until they are stored, as a first snapshot's may be, wait in scratch files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import CheckpointError
from sie_online.shard.patches import NUMBER_BYTES, Piece, pack_rows, raw
from sie_online.shard.scratch import Spool
from sie_online.shard.views import COLD, HOT, OVERLAY, Views, relink

LARGEST_RANGE = 1 << 14
"""Views per piece beyond which ranges are no longer merged: some 6 MB; a manifest of 1,300 pieces names 21 million."""
LARGEST_PATCH = 1 << 13
"""Overlays per patch beyond which patches are no longer merged: rows that lie anywhere on disk, some 5 ms."""

MOST_WAITING = 1 << 16
"""Views to be written at once, beyond which they wait on disk: some 25 MB."""

RANGES, PATCHES = "views", "views.overlay"
"""Folders of the pieces."""


class Bounds(NamedTuple):
    """Views ``head`` to ``tail`` are open; their id bytes begin at ``ids_head`` and end at ``ids_tail``."""

    head: int
    tail: int
    ids_head: int
    ids_tail: int


class Range(NamedTuple):
    """Views ``first`` to ``last``, written as piece ``number``."""

    first: int
    last: int
    number: int

    @property
    def name(self) -> str:
        return f"{RANGES}/{self.first}-{self.last}-{self.number}"

    @classmethod
    def named(cls, part: str) -> Range:
        return cls(*map(int, part.split("-")))


class Patch(NamedTuple):
    """Overlays of the views ``rows``, ascending, written as piece ``number``."""

    rows: NDArray[np.int64]
    number: int

    @property
    def name(self) -> str:
        return f"{PATCHES}/{self.number}"


class ViewPieces:
    """The pieces that the open views of one shard consist of; ``folder`` is for those that wait on disk."""

    def __init__(self, folder: Path | None) -> None:
        self._ranges: list[Range] = []
        self._patches: list[Patch] = []
        self._folder = folder
        self._spool: Spool | None = None

    @property
    def live(self) -> Iterator[str]:
        """Names of the pieces that are needed."""
        yield from (each.name for each in self._ranges)
        yield from (each.name for each in self._patches)

    def part(self, number: int, views: Views, bounds: Bounds) -> tuple[str, Piece] | None:
        """Piece ``number``: the next views that are in none yet; None if all are."""
        first = max(bounds.head, self._ranges[-1].last if self._ranges else 0)
        if first >= bounds.tail:
            return None
        made = Range(first, min(bounds.tail, first + LARGEST_RANGE), number)
        self._ranges.append(made)
        return made.name, self._packed(views, made, bounds.tail - first)

    def pieces(self, number: int, views: Views, bounds: Bounds) -> dict[str, Piece]:
        """What is new since the last time: views, and what changed of older ones."""
        fresh = self._new_ranges(number, bounds)
        written = fresh[0].first if fresh else bounds.tail
        patch = self._new_patch(number, take_changed(views, bounds.head, written), bounds.head, written)
        pieces = {made.name: self._packed(views, made, bounds.tail - written) for made in fresh}
        self._spool = None
        return pieces if patch is None else pieces | {patch.name: pack_rows(raw(views.overlay), patch.rows)}

    def _packed(self, views: Views, made: Range, n: int) -> Piece:
        """``made``, one of several with ``n`` views together."""
        parts = [part.view(np.uint8) for part in _parts_of(views, made)]
        if n <= MOST_WAITING:
            return b"".join(part.data for part in parts)
        self._spool = self._spool or Spool(self._folder)
        return np.concatenate(parts, out=self._spool.take(sum(part.nbytes for part in parts))).data

    def _new_ranges(self, number: int, bounds: Bounds) -> list[Range]:
        """Drop settled ranges, add the views since the last snapshot, merge what has piled up; those to be written."""
        head, tail = bounds.head, bounds.tail
        kept = [each for each in self._ranges if each.last > head]
        begins = range(kept[-1].last if kept else head, tail, LARGEST_RANGE)
        ranges = [*kept, *(Range(begin, min(begin + LARGEST_RANGE, tail), number) for begin in begins)]
        while len(ranges) > 1 and _should_merge(
            ranges[-2].last - max(ranges[-2].first, head), _size(ranges[-1]), LARGEST_RANGE
        ):
            last = ranges.pop()
            ranges[-1] = Range(max(ranges[-1].first, head), last.last, number)
        self._ranges = ranges
        return [each for each in ranges if each.number == number]

    def _new_patch(self, number: int, changed: NDArray[np.int64], head: int, written: int) -> Patch | None:
        """Drop settled patches, merge what has piled up with ``changed``, as far as no range from ``written`` on has
        it.
        """
        patches = [each for each in self._patches if each.rows[-1] >= head]
        rows = changed
        while len(rows) and patches and _should_merge(len(patches[-1].rows), len(rows), LARGEST_PATCH):
            rows = np.union1d(patches.pop().rows, rows)
        rows = rows[(rows >= head) & (rows < written)]
        new = Patch(rows, number) if len(rows) else None
        self._patches = patches if new is None else [*patches, new]
        return new


def _size(each: Range) -> int:
    return each.last - each.first


def _should_merge(older: int, newer: int, largest: int) -> bool:
    return older < 2 * newer and older < largest


def take_changed(views: Views, head: int, last: int) -> NDArray[np.int64]:
    """The views from ``head`` to ``last`` whose overlays were written to, ascending; all marks are taken off."""
    words = np.flatnonzero(views.changed)
    bits = views.changed[words, np.newaxis] >> np.arange(64, dtype=np.uint64) & np.uint64(1)
    views.changed[words] = 0
    places = (words[:, np.newaxis] * 64 + np.arange(64))[bits != 0]
    rows = head + (places - head) % len(views.hot)
    return np.sort(rows[rows < last])


def _parts_of(views: Views, bounds: Range) -> list[NDArray[Any]]:
    """Hot and cold parts, overlays and ids of a range of views."""
    first, last, _ = bounds
    newest, oldest = views.cold[(last - 1) % len(views.cold)], views.cold[first % len(views.cold)]
    end = int(newest["ids_at"]) + sum(int(newest[part]) for part in ("event_bytes", "user_bytes", "item_bytes"))
    return [
        *_of_ring(views.hot, first, last),
        *_of_ring(views.cold, first, last),
        *_of_ring(views.overlay, first, last),
        *_of_ring(views.ids, int(oldest["ids_at"]), end),
    ]


def _of_ring(ring: NDArray[Any], first: int, last: int) -> Iterator[NDArray[Any]]:
    """Elements ``first`` to ``last`` of those that were ever in ``ring``."""
    place = first % len(ring)
    yield ring[place : place + last - first]
    yield ring[: max(place + last - first - len(ring), 0)]


def restore_views(views: Views, bounds: Bounds, ranges: Mapping[str, Piece], patches: Mapping[str, Piece]) -> None:
    """Fill ``views``, of which ``bounds`` are claimed, from pieces by the last part of their names.

    Raises:
        CheckpointError: views are missing, or a piece does not fit.
    """
    covered, found = bounds.head, sorted((Range.named(part), data) for part, data in ranges.items())
    for each, data in found:
        if each.first > covered:
            raise CheckpointError(f"open views {covered} to {each.first} are missing")
        _unpack(views, max(bounds.head, each.first), each, data)
        relink(views, bounds.head, covered, each.last)
        covered = each.last
    if covered != bounds.tail:
        raise CheckpointError(f"open views {covered} to {bounds.tail} are missing")
    for number, data in sorted((int(part), data) for part, data in patches.items()):
        _apply(views, bounds.head, [each for each, _ in found], number, data)


def _unpack(views: Views, begin: int, bounds: Range, data: Piece) -> None:
    """Put views from ``begin`` on back into their rings; settled ones would overwrite younger views."""
    n, skip = _size(bounds), begin - bounds.first
    hot = np.frombuffer(data, HOT, n)
    cold = np.frombuffer(data, COLD, n, offset=hot.nbytes)
    overlay = np.frombuffer(data, OVERLAY, n, offset=hot.nbytes + cold.nbytes)
    ids = np.frombuffer(data, np.uint8, offset=hot.nbytes + cold.nbytes + overlay.nbytes)
    for ring, part in ((views.hot, hot), (views.cold, cold), (views.overlay, overlay)):
        _put(ring, begin, part[skip:])
    start = int(cold["ids_at"][skip])
    _put(views.ids, start, ids[start - int(cold["ids_at"][0]) :])


def _put(ring: NDArray[Any], first: int, values: NDArray[Any]) -> None:
    at = first % len(ring)
    n = min(len(values), len(ring) - at)
    ring[at : at + n], ring[: len(values) - n] = values[:n], values[n:]


def _apply(views: Views, head: int, ranges: list[Range], number: int, data: Piece) -> None:
    """Write the overlays of patch ``number``, but for those of settled views and of ranges written after it."""
    size = NUMBER_BYTES + OVERLAY.itemsize
    rows = np.frombuffer(data, np.int64, len(data) // size)
    values = np.frombuffer(data, OVERLAY, len(rows), offset=rows.nbytes)
    if len(data) % size or (len(rows) and rows.max() >= ranges[-1].last):
        raise CheckpointError("a patch of the open views does not fit this state")
    within = np.searchsorted([each.first for each in ranges], rows, side="right") - 1
    holds = (rows >= head) & (np.array([each.number for each in ranges])[within] < number)
    views.overlay[rows[holds] % len(views.overlay)] = values[holds]
