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
from sie_online.ranking.learning import change_decay, forget_user, learn_event
from sie_online.ranking.lists import id_of, is_known, rank_user
from sie_online.ranking.pooling import Neighbourhoods, bounded, counted, pack, tables_from, unpack
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
from sie_online.shard.lists import NOTHING, ListBuffers, MadeLists, is_full, list_buffers, make_list, take_back_list
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
    """What an event counts, and whether it may make a list."""

    types: int
    liked_rating: float
    disliked_weight: float
    weighted: bool
    publishes: bool
    ranking: RankingConfig


class Ids(NamedTuple):
    """The batch's item ids in Arrow's layout."""

    at: Any
    data: Any


class Said(NamedTuple):
    """The first ``n`` of ``rows`` are statements."""

    rows: Any
    n: int


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
    return LearnConfig(
        types=mask_of(recommend.learn_from),
        liked_rating=recommend.liked_rating,
        disliked_weight=recommend.disliked_weight,
        weighted=recommend.weighted,
        publishes=recommend.publish,
        ranking=RankingConfig(
            decay_per_ms=decay_per_ms(settings),
            window=recommend.together,
            seen=SEEN[recommend.seen],
        ),
    )


def decay_per_ms(settings: Settings) -> float:
    """Logarithm of what counts grow by in a millisecond, instead of older ones shrinking; 0: nothing is forgotten."""
    half_life_ms = settings.recommend.half_life_s * 1_000
    return math.log(2.0) / half_life_ms if half_life_ms else 0.0


class Ranking:
    """What one shard knows for its lists: its own counts, and perhaps those of others."""

    def __init__(self, settings: Settings) -> None:
        self._config = config_of(settings)
        self._sizes = sizes_of(settings)
        self._length = settings.recommend.list_length
        self._known = Known(new_tables(self._sizes), no_tables(self._sizes))
        self._known.own.totals["decay_per_ms"] = self._config.ranking.decay_per_ms
        self._scratch = new_scratch(self._known)
        self._others = b""
        self._lists = list_buffers(self._length, self._sizes.id_bytes)

    def learn(self, events: EventBatch, first: int, last: int, out: Out) -> Iterator[MadeLists]:
        """Take in rows ``first`` to ``last`` of a batch, all of whose statements are in ``out``.

        Yields, under ``recommend.publish``, the lists that changed. It must be asked until the end.
        """
        return self._learn(events, first, last, Said(out.rows, int(out.control["rows"][0])))

    def _learn(self, events: EventBatch, first: int, last: int, said: Said) -> Iterator[MadeLists]:
        ids = Ids(events.item_id.offsets, events.item_id.data)
        while first < last:
            first = _learn_rows(
                self._config, self._known, self._scratch, events.columns, ids, first, last, said, self._lists
            )
            if self._lists.used[0]:
                yield self._lists.taken()

    def learn_after_listing(self, events: EventBatch, first: int, last: int, out: Out) -> list[ListBefore]:
        """As ``learn``, but returns of every event that is taken in the list as it stood before it."""
        own, found = self._known.own, []
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
            for _ in self._learn(events, row, row + 1, Said(stated, len(stated))):
                pass  # whoever asks for all lists needs none of those that changed
        return found

    def recommend(self, user_key: np.uint64, n: int) -> list[str]:
        """The best ``n`` items for a user, best first."""
        if n < 1:
            return []
        candidates, scores = np.empty(n, np.int64), np.empty(n, np.float64)
        filled = rank_user(self._config.ranking, self._known, self._scratch, user_key, candidates, scores)
        return [id_of(self._known, candidate) for candidate in candidates[:filled].tolist()]

    def counted(self) -> Neighbourhoods:
        """What the shard has counted itself, of as much as is shared."""
        return bounded(counted(self._known.own, self._config.ranking.decay_per_ms))

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
        tables = {name: [str(table.rows.dtype.descr), len(table.rows) - 1] for name, table in self._named()}
        return tables | {"totals": str(self._known.own.totals.dtype.descr)}

    def restore(self, meta: Mapping[str, Any], pieces: Mapping[str, Piece]) -> bool:
        """Go on with what a snapshot holds; False, and nothing is known, if it holds nothing of this layout.

        Under another half-life than was in force, what was counted is taken as it had decayed by then; unless lists
        are published, none counts as said.

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
        own = self._known.own
        change_decay(self._config.ranking, own)
        if not self._config.publishes:
            own.users.rows["said"][: int(own.users.used[0])] = NOTHING
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
    cfg: Any, known: Any, scratch: Any, events: Any, ids: Ids, first: int, last: int, said: Said, lists: ListBuffers
) -> int:
    """Go on until the end or until the lists are full; returns how far it came.

    The statements come in the events' order, those about earlier events in between; a duplicate has none.
    """
    row = 0
    for at in range(first, last):
        event = events[at]
        if is_full(lists):
            return at
        if event.etype == ERASE_CODE:
            forget_user(known.own, event.user_key)
            if cfg.publishes:
                take_back_list(event, at, lists)
        if event.etype >= HEARTBEAT_CODE:
            continue
        while row < said.n and (said.rows[row].revision != 0 or said.rows[row].offset < event.offset):
            row += 1
        if row == said.n or said.rows[row].offset != event.offset or not has(cfg.types, event.etype):
            continue
        weight = _weight(cfg, event, said.rows[row].weight)
        if weight > 0.0:
            _learn(cfg, known.own, event, weight, ids, at)
            if cfg.publishes:
                make_list(cfg.ranking, known, scratch, event, at, lists)
    return last


@kernel
def _weight(cfg: Any, event: Any, event_weight: float) -> float:
    weight = cfg.disliked_weight if event.rating < cfg.liked_rating else 1.0  # not where there is no rating: NaN
    return float(weight * event_weight) if cfg.weighted else float(weight)


@kernel
def _learn(cfg: Any, tables: Any, event: Any, weight: float, ids: Ids, at: int) -> None:
    learn_event(
        cfg.ranking,
        tables,
        event.user_key,
        event.item_key,
        event.category_key,
        event.now_ms,
        weight,
        ids.data,
        ids.at[at],
        ids.at[at + 1],
    )
