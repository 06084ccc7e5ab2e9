"""A shard's newest published weights, found by event id: what can be asked for without reading the topic.

Keeps the messages as they were published, the oldest making room within a bound in bytes, and beside them a hash per
row. Taking a message in looks at no single row; only what is found is decoded. What was published before this process
took the shard over lies on the topic alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online.client.rows import WeightRow, weight_rows
from sie_online.hashing import hash_column
from sie_online.ingest.events import Text
from sie_online.unpacking import FramedRows, from_message, picked, weight_ids

SEGMENTS = 8
"""The oldest eighth makes room at once: its index is made once, and dropped with it."""
ROW_BYTES = 16
"""Of the index: a hash, and where in its segment the row is."""
MESSAGE_BYTES = 200
"""What Python adds to a message and its hashes."""
IDS = 3
"""Of a row: event, user, item."""


@dataclass(slots=True)
class _Segment:
    """Messages, the hashes of their rows' event ids, and at which row of the segment each message begins."""

    messages: list[bytes] = field(default_factory=list)
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    begins: list[int] = field(default_factory=lambda: [0])
    n_bytes: int = 0
    index: tuple[NDArray[np.uint64], NDArray[np.int64]] | None = None
    """Hashes in order and the rows they are of; made when it is first asked for and takes no more messages."""
    since: int | None = None
    """When the first of its statements became known (event time, ms); looked up when it is first asked for."""

    def take(self, message: bytes, hashes: NDArray[np.uint64]) -> None:
        self.messages.append(message)
        self.hashes.append(hashes)
        self.begins.append(self.begins[-1] + len(hashes))
        self.n_bytes += len(message) + MESSAGE_BYTES + ROW_BYTES * len(hashes)

    def find(self, wanted: np.uint64, *, is_full: bool) -> Iterator[pa.RecordBatch]:
        """The rows of that hash."""
        rows = np.array(sorted(self._indexed(wanted) if is_full else self._scanned(wanted)), np.int64)
        places = np.searchsorted(self.begins, rows, "right") - 1
        for place in np.unique(places).tolist():
            yield picked(self.messages[place], rows[places == place] - self.begins[place])

    def since_ms(self) -> int:
        """From when on it has statements; it must have some."""
        if self.since is None:
            compute: Any = pc  # the stubs lag behind
            self.since = int(compute.min(from_message(self.messages[0])["published_ms"]).as_py())
        return self.since

    def _indexed(self, wanted: np.uint64) -> list[int]:
        if self.index is None:
            hashes = np.concatenate(self.hashes)
            rows = np.argsort(hashes, kind="stable")
            self.index = hashes[rows], rows
            self.hashes = []
        hashes, rows = self.index
        first, last = np.searchsorted(hashes, wanted, "left"), np.searchsorted(hashes, wanted, "right")
        found: list[int] = rows[first:last].tolist()
        return found

    def _scanned(self, wanted: np.uint64) -> list[int]:
        parts = tuple(self.hashes)
        found: list[int] = np.flatnonzero(np.concatenate(parts) == wanted).tolist() if parts else []
        return found


class RecentWeights:
    """At most ``limit`` bytes of one shard's newest messages. ``take`` and ``forget`` are the line's thread's."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._segments = deque([_Segment()])

    @property
    def n_bytes(self) -> int:
        """What is kept, with its index."""
        return sum(segment.n_bytes for segment in self._segments)

    def take(self, framed: FramedRows) -> None:
        """Weights were published."""
        for message in framed.messages:
            if self._segments[-1].n_bytes > self._limit // SEGMENTS:
                self._segments.append(_Segment())
            self._segments[-1].take(message, _hashes(message))
        while len(self._segments) > 1 and self.n_bytes > self._limit:
            self._segments.popleft()

    def forget(self) -> None:
        """Keep nothing of what was taken in so far: somebody is to be forgotten."""
        self._segments = deque([_Segment()])

    def find(self, event_id: str) -> list[WeightRow]:
        """All revisions kept of the events of that id, by place and revision, of each the highest generation.

        May be called from any thread, one at a time.
        """
        wanted, segments = Text.of([event_id.encode()]).keys()[0], tuple(self._segments)
        found = [
            rows.filter(pc.equal(rows["event_id"], pa.scalar(event_id)))  # another id may have that hash
            for segment in segments
            for rows in segment.find(wanted, is_full=segment is not segments[-1])
        ]
        newest = {}
        for row in sorted((row for rows in found for row in weight_rows(rows)), key=lambda row: row.generation):
            newest[row.partition, row.offset, row.revision] = row
        return [newest[place] for place in sorted(newest)]

    def since_ms(self) -> int | None:
        """From when on statements are kept, by when they became known (event time, ms); None where none are."""
        return next((segment.since_ms() for segment in tuple(self._segments) if segment.messages), None)


def _hashes(message: bytes) -> NDArray[np.uint64]:
    offsets, ids = weight_ids(message)
    hashes = np.empty(len(offsets) - 1, np.uint64)
    hash_column(offsets, ids, hashes)
    return hashes[::IDS].copy()
