"""Lists of recommendations that wait: the newest of each user, and the records of ``sie.recs.v1`` that they become.

Owns how they wait. When a list is made is the event loop's to say; what the records mean is `sie_online.statements`'.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.events import Text
from sie_online.shard.stated import NO_STATEMENTS, Statements
from sie_online.statements import Recommendations, encode_recommendations, key

ERASED = -1
MADE = np.dtype(
    [
        ("event", "i8"),  # row of the batch that carries the user's id
        ("offset", "i8"),
        ("event_time_ms", "i8"),
        ("n_items", "i8"),  # `ERASED`: there is no list any more
    ]
)
"""One list as the kernels write it; its items' ids lie beside it."""


class MadeLists(NamedTuple):
    """Lists as they were made, one for each of ``rows`` (dtype `MADE`); ``items`` are the ids of all, in order."""

    rows: NDArray[np.void]
    items: Text


class MadeList(NamedTuple):
    """A user's list; ``items`` None: there is none any more."""

    offset: int
    event_time_ms: int
    items: list[bytes] | None


class WaitingLists:
    """Takes lists of shard ``partition`` and keeps the newest of each user until it is asked for them."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._waiting: dict[bytes, MadeList] = {}

    def __len__(self) -> int:
        """Lists that wait."""
        return len(self._waiting)

    def take(self, made: MadeLists, users: Text) -> None:
        """Keep ``made``; ``users`` are the ids of the batch's rows."""
        data, at = made.items.data.tobytes(), made.items.offsets.tolist()
        named, first = users.take(made.rows["event"]), 0
        for user_id, (_, offset, time_ms, n) in zip(named, made.rows.tolist(), strict=True):
            last = first + max(n, 0)
            ids = None if n == ERASED else [data[at[row] : at[row + 1]] for row in range(first, last)]
            self._waiting[user_id] = MadeList(offset, time_ms, ids)
            first = last

    def pop(self, generation: int) -> Statements:
        """What waits, which waits no longer, as records of ``sie.recs.v1``."""
        if not self._waiting:
            return NO_STATEMENTS
        records = [self._record(user_id, made, generation) for user_id, made in self._waiting.items()]
        self._waiting.clear()
        keys, values = zip(*records, strict=True)
        return Statements(Text.of(keys), Text.of(values))

    def _record(self, user_id: bytes, made: MadeList, generation: int) -> tuple[bytes, bytes]:
        if made.items is None:
            return key("user", user_id, self._partition), b""
        return encode_recommendations(
            Recommendations(
                user_id=user_id.decode(),
                items=[item.decode() for item in made.items],
                event_time_ms=made.event_time_ms,
                partition=self._partition,
                offset=made.offset,
                generation=generation,
            )
        )
