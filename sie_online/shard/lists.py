"""Lists of recommendations: made after an event if it has changed its user's, and the records of ``sie.recs.v1`` that
they become.

A list is made where the user's items, or their order, are others than in the last one that was said of the user, of
which the user's record keeps a hash. So that depends on the events before alone. Of lists that wait only each user's
newest is kept.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.hashing import combine
from sie_online.ingest.events import Text
from sie_online.ingest.keyed import copy_bytes
from sie_online.jit import kernel
from sie_online.memory import unclaimed
from sie_online.ranking.lists import item_of, rank_user
from sie_online.shard.stated import NO_STATEMENTS, Statements
from sie_online.slots import likely_slot
from sie_online.statements import Recommendations, encode_recommendations, key

ERASED = -1
NOTHING = np.uint64(0)
"""Hash of a list without items, which is what is said of a user before the first."""
ROOM = 512
"""Lists that are made at once."""
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


class ListBuffers(NamedTuple):
    """Buffers that kernels fill; ``used`` counts the lists and the items in them. ``candidates`` and ``scores`` are
    working memory of one list.
    """

    used: NDArray[np.int64]
    rows: NDArray[np.void]
    at: NDArray[np.int32]
    ids: NDArray[np.uint8]
    candidates: NDArray[np.int64]
    scores: NDArray[np.float64]

    def taken(self) -> MadeLists:
        """A copy of what is in them, which is no longer in them."""
        lists, items = self.used.tolist()
        self.used.fill(0)
        at = self.at[: items + 1].copy()
        return MadeLists(self.rows[:lists].copy(), Text(at, self.ids[: at[-1]].copy()))


def list_buffers(length: int, id_bytes: int) -> ListBuffers:
    """Room for `ROOM` lists of ``length`` items whose ids have at most ``id_bytes`` bytes each."""
    return ListBuffers(
        used=np.zeros(2, np.int64),
        rows=np.zeros(ROOM, MADE),
        at=np.zeros(ROOM * length + 1, np.int32),
        ids=unclaimed(ROOM * length * id_bytes, np.uint8),
        candidates=np.zeros(length, np.int64),
        scores=np.zeros(length, np.float64),
    )


@kernel
def is_full(out: ListBuffers) -> bool:
    """Whether there is no room for another list."""
    return bool(out.used[0] == out.rows.shape[0])


@kernel
def make_list(cfg: Any, known: Any, scratch: Any, event: Any, at: int, out: ListBuffers) -> None:
    """Append the list of the user of ``event``, row ``at`` of its batch, if it is another than was said last.

    Args:
        cfg: a ``RankingConfig``.
        known: a ``ranking.tables.Known``, which has learned the event; ``scratch``: working memory.
        scratch: see ``known``.
        event: a record of dtype ``EVENT``.
        at: its row.
        out: has room.
    """
    n, said = rank_user(cfg, known, scratch, event.user_key, out.candidates, out.scores), NOTHING
    for place in range(n):
        said = combine(said, np.uint64(item_of(known, out.candidates[place]).key))
    user = known.own.users.rows[likely_slot(known.own.users, event.user_key)]
    if said == user.said:
        return
    user.said = said
    _append(out, event, at, n)
    for place in range(n):
        _append_item(out, item_of(known, out.candidates[place]))


@kernel
def _append_item(out: ListBuffers, item: Any) -> None:
    last = out.used[1]
    out.at[last + 1] = copy_bytes(item.id, 0, item.id_bytes, out.ids, out.at[last])
    out.used[1] += 1


@kernel
def take_back_list(event: Any, at: int, out: ListBuffers) -> None:
    """Append that the user of the erase record ``event``, row ``at`` of its batch, has no list any more."""
    _append(out, event, at, ERASED)


@kernel
def _append(out: ListBuffers, event: Any, at: int, n: int) -> None:
    row = out.rows[out.used[0]]
    row.event, row.offset, row.event_time_ms, row.n_items = at, event.offset, event.time_ms, n
    out.used[0] += 1


class MadeList(NamedTuple):
    """A user's list: one id after the other, between the ``edges``, of which the first is where ``ids`` begin. No
    ``edges``: there is no list any more.
    """

    offset: int
    event_time_ms: int
    edges: list[int]
    ids: bytes

    def items(self) -> list[str]:
        """Its items, the best first; as `sie_online.ranking.lists.id_of` has them."""
        begin, pairs = self.edges[0], itertools.pairwise(self.edges)
        if self.ids.isascii():  # a character a byte: to decode all at once takes a third of the time
            text = self.ids.decode()
            return [text[first - begin : last - begin] for first, last in pairs]
        return [self.ids[first - begin : last - begin].decode(errors="replace") for first, last in pairs]


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
        data, at, rows = made.items.data.tobytes(), made.items.offsets.tolist(), made.rows.tolist()
        ends = np.maximum(made.rows["n_items"], 0).cumsum().tolist()
        newest = {user_id: row for row, user_id in enumerate(users.take(made.rows["event"]))}
        for user_id, row in newest.items():
            _, offset, time_ms, n = rows[row]
            edges = [] if n == ERASED else at[ends[row] - n : ends[row] + 1]
            ids = data[edges[0] : edges[-1]] if edges else b""
            self._waiting[user_id] = MadeList(offset, time_ms, edges, ids)

    def pop(self, generation: int) -> Statements:
        """What waits, which waits no longer, as records of ``sie.recs.v1``."""
        if not self._waiting:
            return NO_STATEMENTS
        records = [self._record(user_id, made, generation) for user_id, made in self._waiting.items()]
        self._waiting.clear()
        keys, values = zip(*records, strict=True)
        return Statements(Text.of(keys), Text.of(values))

    def _record(self, user_id: bytes, made: MadeList, generation: int) -> tuple[bytes, bytes]:
        if not made.edges:
            return key("user", user_id, self._partition), b""
        return encode_recommendations(
            Recommendations(
                user_id=user_id.decode(),
                items=made.items(),
                event_time_ms=made.event_time_ms,
                partition=self._partition,
                offset=made.offset,
                generation=generation,
            )
        )
