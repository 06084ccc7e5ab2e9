"""A shard's lists: learned beside the event loop from what it weighed, saved with the shard, never in a row's way.

What is taken in are the events that got their first statement, in order, so that duplicates, dead letters and
heartbeats teach nothing; and what is erased.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from sie_online.contracts import ERASE_CODE, HEARTBEAT_CODE
from sie_online.ingest.events import EventBatch, Text
from sie_online.jit import kernel
from sie_online.masks import has, mask_of
from sie_online.ranking.learning import forget_user, learn_event
from sie_online.ranking.lists import id_of, is_known, rank_user
from sie_online.ranking.pooling import Neighbourhoods, counted, pack, tables_from, unpack
from sie_online.ranking.tables import (
    SEEN,
    Known,
    RankingConfig,
    RankingSizes,
    new_scratch,
    new_tables,
    no_tables,
)
from sie_online.settings import Settings
from sie_online.shard.output import Out
from sie_online.shard.patches import Piece, Table, apply, raw
from sie_online.slots import WAYS, SlotTable, bytes_for, bytes_in_use, reindex

TABLES = ("users", "items", "categories", "seen")
POPULAR_PER_LIST = 4
"""Popular items known per item of a list: some of them the user has had."""
PREFIX = "ranking"
"""Of the names of the tables in a snapshot."""
TOTALS, OTHERS = f"{PREFIX}.totals/0", f"{PREFIX}.others/0"
"""The pieces that are saved whole."""


class LearnConfig(NamedTuple):
    """What an event counts."""

    types: int
    liked_rating: float
    disliked_weight: float
    weighted: bool
    ranking: RankingConfig


class UserList(NamedTuple):
    """A user's list after an event of theirs; ``user_id`` is as published."""

    user_id: str
    items: list[str]
    event_time_ms: int
    offset: int


class ListBefore(NamedTuple):
    """A user's list as it stood before an event of theirs; ``cold``: nothing was known of the user."""

    event_id: str
    items: list[str]
    cold: bool


def sizes_of(settings: Settings) -> RankingSizes:
    """The bounds under ``settings``."""
    recommend = settings.recommend
    return RankingSizes(
        users=recommend.users,
        items=recommend.items,
        categories=recommend.categories,
        seen=recommend.pairs,
        history=recommend.history,
        neighbours=recommend.neighbours,
        popular=POPULAR_PER_LIST * recommend.list_length,
        id_bytes=settings.limits.id_bytes,
    )


def bytes_at_most(settings: Settings) -> int:
    """Memory that a shard's own tables take when they are full."""
    tables = new_tables(sizes_of(settings))
    full = ((getattr(tables, name), len(getattr(tables, name).rows) - 1) for name in TABLES)
    return sum(bytes_for(n, n // WAYS, table.rows.dtype) for table, n in full)


def config_of(settings: Settings) -> LearnConfig:
    """The kernels' scalars for ``settings``."""
    recommend = settings.recommend
    half_life_ms = recommend.half_life_s * 1_000
    return LearnConfig(
        types=mask_of(recommend.learn_from),
        liked_rating=recommend.liked_rating,
        disliked_weight=recommend.disliked_weight,
        weighted=recommend.weighted,
        ranking=RankingConfig(
            decay_per_ms=math.log(2.0) / half_life_ms if half_life_ms else 0.0,
            window=recommend.together,
            seen=SEEN[recommend.seen],
        ),
    )


class Ranking:
    """What one shard knows for its lists: its own counts, and perhaps those of others."""

    def __init__(self, settings: Settings) -> None:
        self._config = config_of(settings)
        self._sizes = sizes_of(settings)
        self._length = settings.recommend.list_length
        self._known = Known(new_tables(self._sizes), no_tables(self._sizes))
        self._scratch = new_scratch(self._known)
        self._others = b""

    def learn(self, events: EventBatch, first: int, last: int, out: Out) -> None:
        """Take in rows ``first`` to ``last`` of a batch, all of whose statements are in ``out``."""
        ids = events.item_id
        rows, n = out.rows, int(out.control["rows"][0])
        _learn_rows(self._config, self._known.own, events.columns, ids.offsets, ids.data, first, last, rows, n)

    def learn_after_listing(self, events: EventBatch, first: int, last: int, out: Out) -> list[ListBefore]:
        """As ``learn``; returns of every event that is taken in the list as it stood before it."""
        own, ids, found = self._known.own, events.item_id, []
        statements = np.flatnonzero(out.rows["revision"][: int(out.control["rows"][0])] == 0)
        by_offset = dict(zip(out.rows["offset"][statements].tolist(), statements.tolist(), strict=True))
        event_ids = events.event_id.take(np.arange(first, last))
        for row in range(first, last):
            statement = by_offset.get(int(events.columns["offset"][row]))
            if statement is not None:
                user_key = events.columns["user_key"][row]
                listed = self.recommend(user_key, self._length)
                found.append(ListBefore(event_ids[row - first].decode(), listed, cold=not is_known(own, user_key)))
            stated = out.rows[statement or 0 : 0 if statement is None else statement + 1]
            columns, at = events.columns, ids.offsets
            _learn_rows(self._config, own, columns, at, ids.data, row, row + 1, stated, len(stated))
        return found

    def recommend(self, user_key: np.uint64, n: int) -> list[str]:
        """The best ``n`` items for a user, best first."""
        if n < 1:
            return []
        candidates, scores = np.empty(n, np.int64), np.empty(n, np.float64)
        filled = rank_user(self._config.ranking, self._known, self._scratch, user_key, candidates, scores)
        return [id_of(self._known, candidate) for candidate in candidates[:filled].tolist()]

    def lists(self, events: EventBatch, first: int, last: int) -> list[UserList]:
        """The lists of all users with an event in rows ``first`` to ``last``, as of their end, by their last events."""
        columns = events.columns[first:last]
        users = np.flatnonzero(columns["etype"] < HEARTBEAT_CODE)
        _, newest = np.unique(columns["user_key"][users[::-1]], return_index=True)
        rows = np.sort(users[::-1][newest]) + first
        ids = events.user_id.take(rows)
        return [
            UserList(
                user_id.decode(),
                self.recommend(events.columns["user_key"][row], self._length),
                int(events.columns["time_ms"][row]),
                int(events.columns["offset"][row]),
            )
            for user_id, row in zip(ids, rows.tolist(), strict=True)
        ]

    def counted(self) -> Neighbourhoods:
        """What the shard has counted itself."""
        return counted(self._known.own, self._config.ranking.decay_per_ms)

    def put_others(self, others: Neighbourhoods | None) -> None:
        """Rank by ``others``, too, in the place of any before; None: by the shard's own counts alone."""
        self._put(b"" if others is None else pack(others))

    def tables(self) -> Iterator[Table]:
        """What is to be saved row by row."""
        for name, table in self._named():
            yield Table(f"{PREFIX}.{name}", raw(table.rows), 0, int(table.used[0]), table.changed)

    def pieces(self) -> dict[str, bytes]:
        """What is to be saved whole."""
        return {TOTALS: self._known.own.totals.tobytes()} | ({OTHERS: self._others} if self._others else {})

    def layout(self) -> dict[str, Any]:
        """What the saved bytes mean."""
        return {name: [str(table.rows.dtype.descr), len(table.rows) - 1] for name, table in self._named()}

    def restore(self, meta: Mapping[str, Any], pieces: Mapping[str, Piece]) -> bool:
        """Go on with what a snapshot holds; False, and nothing is known, if it holds nothing of this layout.

        Raises:
            CheckpointError: a piece does not fit.
        """
        if meta.get(PREFIX) != self.layout():
            return False
        self._known.own.totals.view(np.uint8)[:] = np.frombuffer(pieces[TOTALS], np.uint8)
        for table in self.tables():
            first, last = meta["rows"][table.name]
            apply(table._replace(first=first, last=last), _patches(table.name, pieces))
        for _, slots in self._named():
            reindex(slots)
        self._put(bytes(pieces.get(OTHERS, b"")))
        return True

    @property
    def used(self) -> dict[str, int]:
        """Records in use by table."""
        return {name: int(table.used[0]) for name, table in self._named()}

    @property
    def bytes_in_use(self) -> int:
        """Memory that the shard's own tables take by now."""
        return sum(bytes_in_use(table) for _, table in self._named())

    def _put(self, others: bytes) -> None:
        self._others = others
        tables = tables_from(unpack(others), self._sizes) if others else no_tables(self._sizes)
        self._known = self._known._replace(others=tables)
        self._scratch = new_scratch(self._known)

    def _named(self) -> Iterator[tuple[str, SlotTable]]:
        return ((name, getattr(self._known.own, name)) for name in TABLES)


def own_neighbourhoods(
    settings: Settings, meta: Mapping[str, Any], pieces: Mapping[str, Piece]
) -> Neighbourhoods | None:
    """What the shard had counted itself whose snapshot has this ``meta`` and ``pieces``; None where it did not.

    Of the pieces those suffice that ``is_ranking`` names. None, too, where it did under settings of another layout.

    Raises:
        CheckpointError: a piece is missing or does not fit.
    """
    ranking = Ranking(settings)
    return ranking.counted() if ranking.restore(meta, pieces) else None


def is_ranking(piece: str) -> bool:
    """Whether ``own_neighbourhoods`` needs the piece of this name."""
    return piece.startswith(f"{PREFIX}.") and piece != OTHERS


def _patches(table: str, pieces: Mapping[str, Piece]) -> dict[int, Piece]:
    return {int(name.rpartition("/")[2]): data for name, data in pieces.items() if name.startswith(f"{table}/")}


def key_of(published_id: bytes) -> np.uint64:
    """The key of an id as published."""
    key: np.uint64 = Text.of([published_id]).keys()[0]
    return key


@kernel
def _learn_rows(
    cfg: Any, tables: Any, events: Any, ids_at: Any, ids: Any, first: int, last: int, rows: Any, n_rows: int
) -> None:
    """The statements come in the events' order, those about earlier events in between; a duplicate has none."""
    row = 0
    for at in range(first, last):
        event = events[at]
        if event.etype == ERASE_CODE:
            forget_user(tables, event.user_key)
        if event.etype >= HEARTBEAT_CODE:
            continue
        while row < n_rows and (rows[row].revision != 0 or rows[row].offset < event.offset):
            row += 1
        if row < n_rows and rows[row].offset == event.offset and has(cfg.types, event.etype):
            _learn(cfg, tables, event, rows[row].weight, ids, ids_at[at], ids_at[at + 1])


@kernel
def _learn(cfg: Any, tables: Any, event: Any, event_weight: float, ids: Any, first: int, last: int) -> None:
    weight = cfg.disliked_weight if event.rating < cfg.liked_rating else 1.0  # not where there is no rating: NaN
    if cfg.weighted:
        weight *= event_weight
    if weight > 0.0:
        learn_event(
            cfg.ranking,
            tables,
            event.user_key,
            event.item_key,
            event.category_key,
            event.now_ms,
            weight,
            ids,
            first,
            last,
        )
