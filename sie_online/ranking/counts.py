"""What rankers have counted of their items, put together: popularities, and which items go with which.

Counts of the same pair, learned from different users, simply add up. What one shard has counted is a `Counts`: items by
their id, since shards number items differently. A sum keeps the most popular items, and of each its strongest
neighbours, so that its size has a bound. Elementwise sums in the order of the parts: the same bits on every machine.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.elementary import power
from sie_online.ingest.events import Text

MOST_ITEMS = 1 << 14
"""Items of a part or sum: a few megabytes, as many as the coefficients take. What is less popular than so many others
has next to no counts that others lack."""
MOST_NEIGHBOURS = 32
"""Of an item; a list of 20 is made of several items' neighbours."""


class Counts(NamedTuple):
    """Counts of n items and m pairs, as of event time ``clock_ms``; half of each is left ``half_life_ms`` later (0: all
    stays). No item and no pair comes twice.

    ``at`` int32 (n + 1,) and ``ids`` uint8: the items' ids as in a `Text`; ``popularity`` float32 (n,);
    ``ends`` int64 (n,): where the pairs of each item end; ``neighbours`` int32 (m,): the other item of the pair, by its
    place; ``counts`` float32 (m,), of each item the largest first.
    """

    clock_ms: int
    half_life_ms: float
    at: NDArray[np.int32]
    ids: NDArray[np.uint8]
    popularity: NDArray[np.float32]
    ends: NDArray[np.int64]
    neighbours: NDArray[np.int32]
    counts: NDArray[np.float32]

    @property
    def n(self) -> int:
        """Items."""
        return len(self.popularity)

    @property
    def items(self) -> Text:
        """The items' ids."""
        return Text(self.at, self.ids)

    def owners(self) -> NDArray[np.int64]:
        """The first item of every pair, by its place."""
        return np.repeat(np.arange(self.n), np.diff(self.ends, prepend=0))


def counts_of(
    clock_ms: int,
    half_life_ms: float,
    items: Text,
    popularity: NDArray[np.floating],
    owners: NDArray[np.integer],
    neighbours: NDArray[np.integer],
    counts: NDArray[np.floating],
    *,
    most_items: int = MOST_ITEMS,
    most_neighbours: int = MOST_NEIGHBOURS,
) -> Counts:
    """The most popular of ``items``, and of each the strongest neighbours among these; what is not positive is left
    out. Ties go by the hash of the id, so that the order of ``items`` does not matter.

    Args:
        clock_ms: the event time that the counts are decayed to.
        half_life_ms: until half of each is left; 0: all stays.
        items: ids, each once.
        popularity: (n,) of each.
        owners: (m,) the first item of each pair, by place; no pair comes twice.
        neighbours: (m,) the other one.
        counts: (m,) of the pair.
        most_items: how many items to keep.
        most_neighbours: how many neighbours of each to keep.
    """
    keys, popularity, counts = items.keys(), popularity.astype(np.float32), counts.astype(np.float32)
    ranked = np.lexsort((keys, -popularity))[:most_items]
    kept = ranked[popularity[ranked] > 0]
    place = np.full(len(keys), -1, np.int64)
    place[kept] = np.arange(len(kept))
    first, second = place[owners], place[neighbours]
    pairs = np.flatnonzero((first >= 0) & (second >= 0) & (counts > 0))
    pairs = pairs[np.lexsort((keys[neighbours[pairs]], -counts[pairs], first[pairs]))]
    pairs = pairs[ranks(first[pairs]) < most_neighbours]
    named = Text.of(items.take(kept))
    return Counts(
        clock_ms=clock_ms,
        half_life_ms=half_life_ms,
        at=named.offsets,
        ids=named.data[: named.offsets[-1]],
        popularity=popularity[kept],
        ends=np.searchsorted(first[pairs], np.arange(len(kept)), side="right").astype(np.int64),
        neighbours=second[pairs].astype(np.int32),
        counts=counts[pairs],
    )


def added(parts: Iterable[Counts]) -> Counts | None:
    """The sum of ``parts``, as of the latest one's time, added up in their order; None without any."""
    given = [part for part in parts if part.n]
    if not given:
        return None
    clock_ms = max(part.clock_ms for part in given)
    given = [aged(part, clock_ms) for part in given]
    ids = [item for part in given for item in part.items.values()]
    keys, first, place = np.unique(Text.of(ids).keys(), return_index=True, return_inverse=True)
    n, begins = len(keys), np.cumsum([0, *(part.n for part in given)])
    popularity = _sums(place, [part.popularity for part in given], n)
    pairs = np.concatenate([_pairs(part, place[begin:], n) for part, begin in zip(given, begins, strict=False)])
    codes, which = np.unique(pairs, return_inverse=True)
    counts = _sums(which, [part.counts for part in given], len(codes))
    items = Text.of([ids[at] for at in first.tolist()])
    return counts_of(clock_ms, given[0].half_life_ms, items, popularity, codes // n, codes % n, counts)


def no_counts() -> Counts:
    """Of a ranker that has seen nothing."""
    nothing = np.empty(0, np.int64)
    return counts_of(0, 0.0, Text.of([]), np.empty(0), nothing, nothing, np.empty(0))


def aged(part: Counts, clock_ms: int) -> Counts:
    """``part`` as of ``clock_ms``."""
    if not part.half_life_ms or clock_ms == part.clock_ms:
        return part
    factor = np.float32(power(2.0, (part.clock_ms - clock_ms) / part.half_life_ms))
    return part._replace(clock_ms=clock_ms, popularity=part.popularity * factor, counts=part.counts * factor)


def packed(counts: Counts) -> bytes:
    """``counts`` as bytes."""
    file = io.BytesIO()
    np.savez(file, np.int64(counts.clock_ms), np.float64(counts.half_life_ms), *counts[2:])
    return file.getvalue()


def unpacked(data: bytes) -> Counts:
    """What ``packed`` has written."""
    with np.load(io.BytesIO(data), allow_pickle=False) as saved:
        clock_ms, half_life_ms, *arrays = (saved[name] for name in saved.files)
    return Counts(int(clock_ms), float(half_life_ms), *arrays)


def _sums(place: NDArray[np.integer], parts: list[NDArray[np.float32]], n: int) -> NDArray[np.float64]:
    """What falls on each of ``n`` places, added one after the other."""
    return np.bincount(place, np.concatenate(parts), n).astype(np.float64)


def _pairs(part: Counts, place: NDArray[np.integer], n: int) -> NDArray[np.int64]:
    """A number for every pair, the same in all parts."""
    pairs: NDArray[np.int64] = place[part.owners()].astype(np.int64) * n + place[part.neighbours]
    return pairs


def ranks(groups: NDArray[np.integer]) -> NDArray[np.int64]:
    """The how manieth of its group each is; ``groups`` ascend."""
    starts = np.searchsorted(groups, groups, side="left")
    ranks: NDArray[np.int64] = np.arange(len(groups)) - starts
    return ranks
