"""Counts of rankers, made by hand."""

from __future__ import annotations

import numpy as np

from sie_online.ingest.events import Text
from sie_online.ranking.pooling import Listed, Neighbourhoods
from sie_online.ranking.tables import EVERYTHING

Pairs = dict[tuple[str, str], float]


def neighbourhoods(popularity: dict[str, float], pairs: Pairs, as_of_ms: int = 1_000) -> Neighbourhoods:
    """So popular items, and how often they were had together; the most popular category is everything."""
    keys = dict(zip(popularity, Text.of([name.encode() for name in popularity]).keys().tolist(), strict=True))
    names = sorted(popularity, key=lambda name: keys[name])
    at = {name: place for place, name in enumerate(names)}
    values = np.array([popularity[name] for name in names], float)
    owner, item = (np.array([at[pair[side]] for pair in pairs], np.int32) for side in (0, 1))
    everything = Listed(np.zeros(len(names), np.int32), np.arange(len(names), dtype=np.int32), values)
    return Neighbourhoods(
        as_of_ms=as_of_ms,
        keys=np.array([keys[name] for name in names], np.uint64),
        ids=np.array([name.encode() for name in names], np.bytes_),
        popularity=values,
        neighbours=Listed(owner, item, np.array(list(pairs.values()), float)),
        category_keys=np.array([EVERYTHING], np.uint64),
        popular=everything,
    )


def read(found: Neighbourhoods) -> tuple[dict[str, float], Pairs]:
    """Popularity by item, and counts by pair."""
    names = [name.decode() for name in found.ids.tolist()]
    pairs = zip(*(column.tolist() for column in found.neighbours), strict=True)
    popularity = dict(zip(names, found.popularity.tolist(), strict=True))
    return popularity, {(names[owner], names[item]): count for owner, item, count in pairs}
