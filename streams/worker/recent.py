"""A shard's newest published weights, found by event id: what can be asked for without reading the topic.

Keeps the messages as they were published, the oldest making room within a bound in bytes, and beside them a hash table
of their rows' event ids. Taking a message in costs the same few array operations at any time, a search looks at the few
messages in its bucket, and only what is found is decoded. What was published before this process took the shard over
lies on the topic alone.
"""

from __future__ import annotations

import secrets
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sie_online.client.rows import WeightRow, weight_rows
from sie_online.ingest.events import Text
from sie_online.unpacking import FramedRows, count_rows, picked

ROW_BYTES = 96
"""There is room for as many rows as have so many bytes each: about what one has with short ids. Of more, fewer are kept
than the bound in bytes allows."""
MESSAGE_BYTES = 200
"""What Python adds to a message."""
MOST_FOUND = 256
"""Rows of an id in one shard; there are more only where events share their ids by the hundred."""


class RecentWeights:
    """At most ``limit`` bytes of one shard's newest messages. Not to be used by several threads.

    The rows are numbered from 1 on as they come, and what is known of row n stands at n modulo the number there is room
    for. ``_heads`` has the newest row of each bucket, ``_before`` how far before a row the next older one of its bucket
    is. Of the rows that one message has in a bucket all have the same next older one, and only the last is reached: so
    a search goes from message to message, and looks at all rows of each.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = max(1, limit // ROW_BYTES)
        bits = max(1, self._room.bit_length() - 1)
        self._shift = np.uint64(64 - bits)
        self._salt = np.uint64(secrets.randbits(64) | 1)  # nobody can choose ids that share a bucket
        self._heads = np.zeros(1 << bits, np.int64)
        self._before = np.zeros(self._room, np.uint32)
        self._tags = np.zeros(self._room, np.uint32)
        self._messages: deque[bytes] = deque()
        self._begins: deque[int] = deque()
        self._known_ms: deque[int] = deque()
        self._end = 1
        self._table_bytes = self._heads.nbytes + self._before.nbytes + self._tags.nbytes
        self._message_bytes = 0

    @property
    def n_bytes(self) -> int:
        """What is kept, with its table."""
        return self._table_bytes + self._message_bytes

    def take(self, framed: FramedRows, event_ids: Text, known_ms: int) -> None:
        """Weights of these events were published; ``known_ms`` is when the last of them became known (event time)."""
        keys, first = event_ids.keys(), 0
        for message in framed.messages:
            n = len(keys) if len(framed.messages) == 1 else count_rows(message)
            self._take(message, keys[first : first + n], known_ms)
            first += n

    def forget(self) -> None:
        """Keep nothing of what was taken in so far: somebody is to be forgotten."""
        while self._messages:
            self._drop_oldest()
        self._tags.fill(0)

    def find(self, event_id: str) -> Iterator[list[WeightRow]]:
        """The rows kept of the events of that id, newest message first, at most `MOST_FOUND`.

        What there is to be found is settled by the call; each step decodes what one message has of it.
        """
        places = list(self._places(Text.of([event_id.encode()]).keys()))
        return (
            [row for row in weight_rows(picked(message, rows)) if row.event_id == event_id]  # others may have that hash
            for message, rows in places
        )

    def since_ms(self) -> int | None:
        """What became known later (event time, ms) is kept; None where nothing is."""
        return self._known_ms[0] if self._known_ms else None

    def _take(self, message: bytes, keys: NDArray[np.uint64], known_ms: int) -> None:
        n, size = len(keys), len(message) + MESSAGE_BYTES
        while self._messages and (self._end + n - self._begins[0] > self._room or self.n_bytes + size > self._limit):
            self._drop_oldest()
        if n > self._room or self.n_bytes + size > self._limit:
            return
        rows = np.arange(self._end, self._end + n)
        at, (tags, buckets) = rows % self._room, self._hashed(keys)
        distance = rows - self._heads[buckets]
        self._tags[at] = tags
        self._before[at] = np.where(distance < self._room, distance, 0)
        self._heads[buckets] = rows
        self._messages.append(message)
        self._begins.append(self._end)
        self._known_ms.append(known_ms)
        self._end += n
        self._message_bytes += size

    def _drop_oldest(self) -> None:
        self._message_bytes -= len(self._messages.popleft()) + MESSAGE_BYTES
        self._begins.popleft()
        self._known_ms.popleft()

    def _places(self, key: NDArray[np.uint64]) -> Iterator[tuple[bytes, NDArray[np.int64]]]:
        """Messages with rows of this ``key`` (1,), newest first, and which of their rows these are."""
        (tag,), (bucket,) = self._hashed(key)
        row, left = int(self._heads[bucket]), MOST_FOUND
        while self._begins and row >= self._begins[0] and left:
            place = bisect_right(self._begins, row) - 1
            first = self._begins[place]
            end = self._begins[place + 1] if place + 1 < len(self._begins) else self._end
            found = np.flatnonzero(self._tags[np.arange(first, end) % self._room] == tag)[-left:]
            if len(found):
                yield self._messages[place], found
            left -= len(found)
            distance = int(self._before[row % self._room])
            row = row - distance if distance else 0

    def _hashed(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """What tells the rows of a bucket apart, and their buckets."""
        mixed = keys * self._salt
        return mixed.astype(np.uint32), (mixed >> self._shift).astype(np.int64)


def newest(rows: Iterable[WeightRow]) -> list[WeightRow]:
    """``rows`` by place and revision, of each the highest generation."""
    found = {(row.partition, row.offset, row.revision): row for row in sorted(rows, key=lambda row: row.generation)}
    return [found[place] for place in sorted(found)]
