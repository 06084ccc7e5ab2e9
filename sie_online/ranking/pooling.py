"""What several shards have counted for their lists, put together: as columns that can be summed, saved and sent.

Counts of one shard stay apart from those of others (`sie_online.ranking.tables.Known`), so nothing need be taken out of
them again: other counts take the others' place.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.elementary import exp
from sie_online.ranking.tables import RankingSizes, RankingTables, new_tables
from sie_online.slots import SlotTable, slot_of

MOST_ITEMS = 1 << 14
"""Items that are shared: a few megabytes. What is less popular than so many has next to no counts that others lack."""
MOST_NEIGHBOURS = 32
"""Of each that are shared; a list of 20 is made of the neighbours of several."""
ROOM = 4
"""Slots per item of a table that must evict none: a set of 16 that has four on average."""


class Listed(NamedTuple):
    """Lists of items: owner ``owner[k]`` (index) has item ``item[k]`` (index) with ``counts[k]``."""

    owner: NDArray[np.int32]
    item: NDArray[np.int32]
    counts: NDArray[np.float64]


class Neighbourhoods(NamedTuple):
    """Decayed counts as of ``as_of_ms``, by item and category.

    Attributes:
        as_of_ms: event time.
        keys: (n,) of the items, ascending.
        ids: (n,) their ids, UTF-8 in fixed width.
        popularity: (n,)
        neighbours: items of items.
        category_keys: (c,), ascending.
        popular: items of categories.
    """

    as_of_ms: int
    keys: NDArray[np.uint64]
    ids: NDArray[np.bytes_]
    popularity: NDArray[np.float64]
    neighbours: Listed
    category_keys: NDArray[np.uint64]
    popular: Listed


def counted(tables: RankingTables, decay_per_ms: float) -> Neighbourhoods:
    """What ``tables`` hold of items and categories, without anything of a user, and without items whose ids end in a
    zero byte: a fixed width does not tell them from others.
    """
    totals = tables.totals[0]
    items, categories = _in_use(tables.items), _in_use(tables.categories)
    now_ms = int(totals["now_ms"])
    shrunk = exp(-decay_per_ms * (now_ms - int(totals["landmark_ms"])))
    last = np.take_along_axis(items["id"], items["id_bytes"][:, None] - 1, axis=1)[:, 0]
    nameable = np.flatnonzero(last != 0)
    order = nameable[np.argsort(items["key"][nameable])]
    place = np.full(len(items), -1, np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    by_key = np.argsort(categories["key"])
    return Neighbourhoods(
        as_of_ms=now_ms,
        keys=items["key"][order],
        ids=_ids(items[order]),
        popularity=items["popularity"][order] * shrunk,
        neighbours=_listed(items[order], tables, place, shrunk),
        category_keys=categories["key"][by_key],
        popular=_listed(categories[by_key], tables, place, shrunk),
    )


def summed(parts: Sequence[Neighbourhoods], decay_per_ms: float) -> Neighbourhoods:
    """The counts of all ``parts`` together, as of the latest of them; at least one. The order does not matter much:
    sums of floats are taken in it.
    """
    as_of_ms = max(part.as_of_ms for part in parts)
    shrunk = [exp(-decay_per_ms * (as_of_ms - part.as_of_ms)) for part in parts]
    keys, first = np.unique(np.concatenate([part.keys for part in parts]), return_index=True)
    width = max(part.ids.dtype.itemsize for part in parts)
    ids = np.concatenate([part.ids.astype(f"S{max(width, 1)}") for part in parts])[first]
    popularity = np.zeros(len(keys))
    for part, by in zip(parts, shrunk, strict=True):
        popularity[np.searchsorted(keys, part.keys)] += by * part.popularity
    category_keys = np.unique(np.concatenate([part.category_keys for part in parts]))
    return Neighbourhoods(
        as_of_ms=as_of_ms,
        keys=keys,
        ids=ids,
        popularity=popularity,
        neighbours=_summed_lists([(part.neighbours, part.keys, part.keys) for part in parts], shrunk, keys, keys),
        category_keys=category_keys,
        popular=_summed_lists(
            [(part.popular, part.category_keys, part.keys) for part in parts], shrunk, category_keys, keys
        ),
    )


def bounded(
    found: Neighbourhoods, most_items: int = MOST_ITEMS, most_neighbours: int = MOST_NEIGHBOURS
) -> Neighbourhoods:
    """The most popular items of ``found``, and of each the strongest neighbours among these; ties go by key."""
    ranked = np.lexsort((found.keys, -found.popularity))[:most_items]
    kept = np.sort(ranked)
    place = np.full(len(found.keys), -1, np.int32)
    place[kept] = np.arange(len(kept), dtype=np.int32)
    neighbours = _among(found.neighbours._replace(owner=place[found.neighbours.owner]), place)
    order = np.lexsort((neighbours.item, -neighbours.counts, neighbours.owner))
    rank = np.arange(len(order)) - np.searchsorted(neighbours.owner[order], neighbours.owner[order])
    strongest = np.sort(order[rank < most_neighbours])
    return found._replace(
        keys=found.keys[kept],
        ids=found.ids[kept],
        popularity=found.popularity[kept],
        neighbours=_taken(neighbours, strongest),
        popular=_among(found.popular, place),
    )


def tables_from(found: Neighbourhoods, sizes: RankingSizes) -> RankingTables:
    """Tables of nobody's that hold ``found``, of each item and category as many as ``sizes`` allow, the largest."""
    tables = new_tables(
        sizes._replace(
            users=1, seen=1, items=max(ROOM * len(found.keys), 1), categories=max(ROOM * len(found.category_keys), 1)
        )
    )
    totals = tables.totals[0]
    totals["landmark_ms"] = totals["now_ms"] = found.as_of_ms
    slots = np.array([slot_of(tables.items, key, 1) for key in found.keys], np.int32)
    rows = tables.items.rows
    rows["popularity"][slots] = found.popularity
    width = rows["id"].shape[1]
    rows["id_bytes"][slots] = np.char.str_len(found.ids)
    rows["id"][slots] = found.ids.astype(f"S{width}")[:, None].view(np.uint8).reshape(len(slots), width)
    _fill(rows, slots, found.neighbours, slots, found.keys)
    owners = np.array([slot_of(tables.categories, key, 1) for key in found.category_keys], np.int32)
    _fill(tables.categories.rows, owners, found.popular, slots, found.keys)
    return tables


def pack(found: Neighbourhoods) -> bytes:
    """``found`` as bytes; the same bytes for the same counts."""
    file = io.BytesIO()
    columns = (np.array([found.as_of_ms]), found.keys, found.ids, found.popularity, *found.neighbours)
    np.savez(file, *columns, found.category_keys, *found.popular)
    return file.getvalue()


def unpack(data: bytes | memoryview) -> Neighbourhoods:
    """What ``pack`` made ``data`` of."""
    with np.load(io.BytesIO(data), allow_pickle=False) as saved:
        as_of, keys, ids, popularity, *rest = (saved[name] for name in saved.files)
    return Neighbourhoods(int(as_of[0]), keys, ids, popularity, Listed(*rest[:3]), rest[3], Listed(*rest[4:]))


def _among(listed: Listed, place: NDArray[np.int32]) -> Listed:
    """Of ``listed``, whose owners are there where they are not negative, the items that have a ``place``, by that."""
    held = np.flatnonzero((listed.owner >= 0) & (place[listed.item] >= 0))
    return _taken(listed._replace(item=place[listed.item]), held)


def _taken(listed: Listed, which: NDArray[np.integer]) -> Listed:
    return Listed(listed.owner[which], listed.item[which], listed.counts[which])


def _in_use(table: SlotTable) -> NDArray[np.void]:
    rows: NDArray[np.void] = table.rows[: int(table.used[0])]
    return rows


def _ids(items: NDArray[np.void]) -> NDArray[np.bytes_]:
    longest = max(1, int(items["id_bytes"].max(initial=0)))
    # a record's bytes behind its id are zeros, as a fixed width has them
    found: NDArray[np.bytes_] = np.ascontiguousarray(items["id"][:, :longest]).view(f"S{longest}")[:, 0]
    return found


def _listed(owners: NDArray[np.void], tables: RankingTables, place: NDArray[np.int32], shrunk: float) -> Listed:
    owner, at = np.nonzero(np.arange(owners["slot"].shape[1]) < owners["n"][:, None])
    slot, check = owners["slot"][owner, at], owners["check"][owner, at]
    holds = (tables.items.rows["key"][slot] >> np.uint64(32)).astype(np.uint32) == check
    holds &= place[slot] >= 0
    return Listed(
        owner[holds].astype(np.int32),
        place[slot[holds]],
        owners["count"][owner, at][holds].astype(np.float64) * shrunk,
    )


def _summed_lists(
    parts: Sequence[tuple[Listed, NDArray[np.uint64], NDArray[np.uint64]]],
    shrunk: Sequence[float],
    owners: NDArray[np.uint64],
    items: NDArray[np.uint64],
) -> Listed:
    """Lists, each with the keys of its owners and items, together: by the indices of ``owners`` and ``items``."""
    pairs, counts = [], []
    for (listed, owner_keys, item_keys), by in zip(parts, shrunk, strict=True):
        owner = np.searchsorted(owners, owner_keys)[listed.owner].astype(np.int64)
        pairs.append(owner * len(items) + np.searchsorted(items, item_keys)[listed.item])
        counts.append(by * listed.counts)
    found, which = np.unique(np.concatenate(pairs), return_inverse=True)
    total = np.bincount(which, np.concatenate(counts), len(found)).astype(np.float64)
    n = max(len(items), 1)
    return Listed((found // n).astype(np.int32), (found % n).astype(np.int32), total)


def _fill(
    rows: NDArray[np.void],
    owner_slots: NDArray[np.int32],
    listed: Listed,
    item_slots: NDArray[np.int32],
    item_keys: NDArray[np.uint64],
) -> None:
    """Write the largest counts of every owner to its record."""
    order = np.lexsort((item_keys[listed.item], -listed.counts, listed.owner))
    owner, item, count = (column[order] for column in listed)
    begins = np.searchsorted(owner, owner)
    rank = np.arange(len(owner)) - begins
    holds = rank < rows["slot"].shape[1]
    at, rank, item = owner_slots[owner[holds]], rank[holds], item[holds]
    rows["slot"][at, rank], rows["count"][at, rank] = item_slots[item], count[holds]
    rows["check"][at, rank] = (item_keys[item] >> np.uint64(32)).astype(np.uint32)
    np.maximum.at(rows["n"], at, (rank + 1).astype(np.int32))
