"""Which statements are news: the latest-revision memory of a subscriber, bounded, in columns.

An event is identified by (partition, offset) of the input topic. A statement about it is news if its (revision,
generation) is higher than any seen before; one that only repeats the values of the same revision under a newer
generation (a replay after a crash) is a duplicate. Knows nothing of Kafka or Arrow messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

OPEN_EVENTS = 1 << 20
"""Default bound on remembered events that await their final row; 40 bytes each."""

SETTLED_EVENTS = 1 << 18
"""Default bound on remembered final rows: a killed worker repeats at most the rows since its last checkpoint."""

STATEMENT = np.dtype(
    [("key", "i8"), ("generation", "i8"), ("digest", "u8"), ("arrival", "i8"), ("revision", "i4"), ("final", "?")],
    align=True,
)
"""One statement. ``key`` packs (partition, offset), ``digest`` stands for every column that a replay must repeat,
``arrival`` counts statements in order of arrival and is filled in by the memory."""

OFFSET_BITS = 44  # 17 million million records per partition, half a million partitions

_WORDS = STATEMENT.itemsize // 8  # moving rows as int64 words is several times faster than as structures

_RECENT_ROWS = 1 << 15  # newcomers are merged into the large sorted level in lots of this size

Statements = NDArray[np.void]
Mask = NDArray[np.bool_]


def pack_key(partition: NDArray[np.integer], offset: NDArray[np.integer]) -> NDArray[np.int64]:
    """One int64 per (partition, offset), in their order."""
    return (partition.astype(np.int64) << OFFSET_BITS) | offset.astype(np.int64)


@dataclass(slots=True)
class Dropped:
    """What the memory has held back, in rows."""

    duplicates: int = 0
    """Repeated a statement already seen, value for value."""
    stale: int = 0
    """A higher (revision, generation) had been seen before."""


class LatestRevisions:
    """Tells news from repetitions, for any interleaving of the producers.

    Open events are forgotten at their final row, and the one heard of longest ago first beyond ``open_events``. Of
    the final rows the last ``settled_events`` stay known, so that a replay does not bring them back. After forgetting,
    a repetition counts as news again.

    >>> memory = LatestRevisions()
    >>> rows = np.zeros(3, STATEMENT)
    >>> rows["revision"] = 0, 1, 0
    >>> memory.admit(rows)
    array([ True,  True, False])
    >>> memory.dropped.stale
    1
    """

    def __init__(self, open_events: int = OPEN_EVENTS, settled_events: int = SETTLED_EVENTS) -> None:
        self.open_events = open_events
        self.settled_events = settled_events
        self.dropped = Dropped()
        self.forgotten = 0
        """Open events forgotten because of the bound; if this grows, ``open_events`` is too small for the window."""
        self._base = _Level.empty()
        self._recent = _Level.empty()
        self._arrivals = 0
        self._open = 0
        self._settled = 0

    @property
    def open(self) -> int:
        """Remembered events that await their final row; never more than ``open_events``."""
        return self._open

    @property
    def settled(self) -> int:
        """Remembered final rows; never more than ``settled_events``."""
        return self._settled

    def admit(self, statements: Statements) -> Mask:
        """Which of ``statements`` (shape (n,), dtype ``STATEMENT``, in order of arrival) are news; remembers them."""
        rows = statements.copy()
        rows["arrival"] = self._arrivals + np.arange(len(rows))
        self._arrivals += len(rows)
        news = np.zeros(len(rows), dtype=np.bool_)
        for lot in _lots_of_distinct(rows["key"]):
            news[lot] = self._admit_distinct(rows[lot])
        self._keep_bounds()
        return news

    def _admit_distinct(self, rows: Statements) -> Mask:
        news = np.ones(len(rows), dtype=np.bool_)
        unseen = np.ones(len(rows), dtype=np.bool_)
        for level in (self._base, self._recent):
            at, found = level.find(rows["key"])
            news[found] = self._raise(level, at[found], rows[found])
            unseen &= ~found
        self._remember(rows[unseen])
        return news

    def _raise(self, level: _Level, at: NDArray[np.intp], rows: Statements) -> Mask:
        """Compare ``rows`` with what ``level`` knows at ``at``; write what is higher; return what is news."""
        known = level.rows[at]
        same_revision = rows["revision"] == known["revision"]
        higher = (rows["revision"] > known["revision"]) | (same_revision & (rows["generation"] > known["generation"]))
        repeated = same_revision & (rows["digest"] == known["digest"])
        level.rows[at[higher]] = rows[higher]
        self._count(rows[higher], +1)
        self._count(known[higher], -1)
        self.dropped.duplicates += int(repeated.sum())
        self.dropped.stale += int((~higher & ~repeated).sum())
        news: Mask = higher & ~repeated
        return news

    def _remember(self, rows: Statements) -> None:
        self._count(rows, +1)
        self._recent = self._recent.with_rows(rows)
        if len(self._recent.keys) > _RECENT_ROWS:
            self._merge()

    def _count(self, rows: Statements, sign: int) -> None:
        settled = int(rows["final"].sum())
        self._settled += sign * settled
        self._open += sign * (len(rows) - settled)

    def _merge(self) -> None:
        self._base = self._base.with_rows(self._recent.rows)
        self._recent = _Level.empty()

    def _keep_bounds(self) -> None:
        if self._open > self.open_events:
            self.forgotten += self._forget_oldest(self.open_events, final=False)
        if self._settled > self.settled_events:
            self._forget_oldest(self.settled_events, final=True)

    def _forget_oldest(self, bound: int, *, final: bool) -> int:
        """Forget rows with that ``final``, first arrived first, until an eighth of ``bound`` is free; how many."""
        self._merge()
        candidates = np.flatnonzero(self._base.rows["final"] == final)
        surplus = len(candidates) - bound * 7 // 8
        oldest = np.argpartition(self._base.rows["arrival"][candidates], surplus - 1)[:surplus]
        gone = candidates[oldest]
        self._count(self._base.rows[gone], -1)
        self._base = self._base.without(gone)
        return surplus


@dataclass(frozen=True, slots=True)
class _Level:
    """Statements sorted by key; ``keys`` repeats their keys contiguously for the binary search."""

    keys: NDArray[np.int64]
    rows: Statements

    @classmethod
    def empty(cls) -> _Level:
        return cls(np.empty(0, np.int64), np.empty(0, STATEMENT))

    def find(self, keys: NDArray[np.int64]) -> tuple[NDArray[np.intp], Mask]:
        """Index of each key (meaningful where found), and whether it is here."""
        if not len(self.keys):
            return np.zeros(len(keys), np.intp), np.zeros(len(keys), np.bool_)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return at, self.keys[at] == keys

    def with_rows(self, rows: Statements) -> _Level:
        """Both, sorted; the keys are known to differ."""
        if not len(rows):
            return self
        keys = np.concatenate([self.keys, rows["key"]])
        order = np.argsort(keys, kind="stable")
        words = np.concatenate([_words(self.rows), _words(rows)])
        return _Level(keys[order], words.take(order, axis=0).view(STATEMENT).reshape(-1))

    def without(self, gone: NDArray[np.intp]) -> _Level:
        """All but the rows numbered ``gone``."""
        kept = np.ones(len(self.keys), np.bool_)
        kept[gone] = False
        return _Level(self.keys[kept], _words(self.rows)[kept].view(STATEMENT).reshape(-1))


def _words(rows: Statements) -> NDArray[np.int64]:
    return rows.view(np.int64).reshape(-1, _WORDS)


def _lots_of_distinct(keys: NDArray[np.int64]) -> Iterator[NDArray[np.intp]]:
    """Row numbers in lots: the first occurrence of every key, then every second one, and so on."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(keys) else np.empty(0, np.intp)
    lengths = np.diff(np.r_[starts, len(keys)])
    for occurrence in range(int(lengths.max(initial=0))):
        yield order[starts[lengths > occurrence] + occurrence]
