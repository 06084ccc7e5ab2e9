"""Patches: the rows of a table that changed, as one piece. A chain of patches, later over earlier ones, is the table.

Rows that change lie scattered: those of 2,000 events are 0.7 MB, the blocks of 64 kB that they lie in 10 MB. So a patch
has single rows, each with its number. Beside those that changed it holds some that did not, a window that moves on with
every patch: once it has been all over the table, all that was said before is said again, and older patches are dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import CheckpointError

Piece = bytes | memoryview
Raw = NDArray[np.void]

LAP = 20
"""Patches in which the window moves over the whole table, at most."""

NUMBER_BYTES = 8

EVER = 2
"""Bit of a mark that is never taken off."""


class Table(NamedTuple):
    """Rows ``first`` to ``last`` of a table of which row n lies at n modulo the number of ``records``.

    ``changed``, one mark per record, says which were written to since they were last copied; None: none are, but for
    those that are added at the end. In a ``sparse`` table a row that was never written to is as in a new state, and in
    no patch; marks of those that were keep the bit `EVER`.
    """

    name: str
    records: Raw
    first: int
    last: int
    changed: NDArray[np.uint8] | None = None
    sparse: bool = False


def raw(array: NDArray[np.generic]) -> Raw:
    """``array`` as bytes, one element per row."""
    row_bytes = array.dtype.itemsize * math.prod(array.shape[1:])
    return np.ndarray(len(array), np.dtype((np.void, row_bytes)), array.view(np.uint8).data)


class PatchChain:
    """The patches that one table consists of, by number."""

    def __init__(self) -> None:
        self._patches: list[tuple[int, int, int]] = []  # number, and where the window stood behind it: lap, row
        self._copied = 0  # rows from here on are in no patch yet
        self._lap = self._cursor = 0
        self._in_lap = 0  # patches since it began

    @property
    def live(self) -> list[int]:
        """Numbers of the patches that are needed."""
        return [number for number, _, _ in self._patches]

    def part(self, number: int, table: Table, most_bytes: int) -> Piece | None:
        """Patch ``number``: rows that are in none yet, at most ``most_bytes`` of them; None if there are none.

        Sparse tables are not worth it.
        """
        first = max(self._copied, table.first)
        last = min(table.last, first + max(1, most_bytes // table.records.itemsize))
        if last <= first or table.sparse:
            return None
        rows = np.arange(first, last)
        if table.changed is not None:
            table.changed[rows % len(table.records)] &= EVER
        self._patches.append((number, self._lap, self._cursor))
        self._copied = last
        return pack_rows(table.records, rows)

    def patch(self, number: int, table: Table) -> Piece | None:
        """Patch ``number``: what changed since the last one; None if nothing did."""
        marks = _take_marks(table)
        worth = marks != 0 if table.sparse else np.ones(len(marks), np.bool_)
        takes = marks % EVER != 0
        new = max(self._copied - table.first, 0)
        takes[new:] |= worth[new:]
        self._copied = table.last
        n, changed = int(np.count_nonzero(worth)), int(np.count_nonzero(takes))
        if n == 0:
            self._patches = []
        if changed == 0:
            return None
        if 3 * changed >= n:
            takes |= worth
            self._patches, self._cursor, self._in_lap = [], table.first, 0
        else:
            window = self._move_window(table, changed / n)
            takes[window] |= worth[window]
        self._patches = [*filter(self._is_needed, self._patches), (number, self._lap, self._cursor)]
        return pack_rows(table.records, np.flatnonzero(takes) + table.first)

    def _move_window(self, table: Table, share: float) -> slice:
        """The next rows in the window's way; the more change, the further it moves, or patches would pile up."""
        begin = max(self._cursor, table.first)
        in_time = (table.last - begin) / (LAP - self._in_lap)
        self._cursor = begin + math.ceil(max(in_time, share * (table.last - table.first)))
        self._in_lap += 1
        window = slice(begin - table.first, self._cursor - table.first)
        if self._cursor >= table.last:
            self._lap, self._cursor, self._in_lap = self._lap + 1, table.first, 0
        return window

    def _is_needed(self, patch: tuple[int, int, int]) -> bool:
        """Whether the window has not yet been everywhere since."""
        _, lap, cursor = patch
        return (self._lap, self._cursor) < (lap + 1, cursor)


def _take_marks(table: Table) -> NDArray[np.uint8]:
    """The marks by row; but for `EVER` they are taken off."""
    n = table.last - table.first
    if table.changed is None:
        return np.zeros(n, np.uint8)
    place = table.first % len(table.records)
    until_end, again = table.changed[place : place + n], table.changed[: max(place + n - len(table.records), 0)]
    marks = np.concatenate([until_end, again])
    until_end &= EVER
    again &= EVER
    return marks


def pack_rows(records: Raw, rows: NDArray[np.int64]) -> Piece:
    """A patch: the numbers of ``rows``, then the rows."""
    n = len(rows)
    data = np.empty(n * (NUMBER_BYTES + records.itemsize), np.uint8)
    data[: n * NUMBER_BYTES].view(np.int64)[:] = rows
    values = data[n * NUMBER_BYTES :].view(records.dtype)
    np.take(records, rows % len(records), out=values, mode="clip")  # other modes copy twice
    return data.data


def apply(table: Table, patches: Mapping[int, Piece]) -> None:
    """Fill ``table`` from ``patches``, by number; a sparse one must be as in a new state.

    Raises:
        CheckpointError: one of them does not fit, or rows are missing.
    """
    n, size = table.last - table.first, NUMBER_BYTES + table.records.itemsize
    if not 0 <= n <= len(table.records):
        raise CheckpointError(f"{table.name} does not fit this state: the tables' sizes differ")
    missing = np.ones(n, np.bool_)
    for _, data in sorted(patches.items()):
        rows = np.frombuffer(data, np.int64, len(data) // size)
        values = np.frombuffer(data, table.records.dtype, len(rows), offset=rows.nbytes)
        is_open = rows >= table.first
        if len(data) % size or (rows[is_open] >= table.last).any():
            raise CheckpointError(f"a patch of {table.name} does not fit this state: the tables' sizes differ")
        table.records[rows[is_open] % len(table.records)] = values[is_open]
        if table.changed is not None:
            table.changed[rows[is_open] % len(table.records)] |= EVER
        missing[rows[is_open] - table.first] = False
    if missing.any() and not table.sparse:
        raise CheckpointError(f"{np.count_nonzero(missing)} rows of {table.name} are missing")
