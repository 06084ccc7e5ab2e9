"""What other shards' rankers have counted, beside a shard's own tables and never mixed into them.

Looked up by an item's slot; made anew when newer counts are taken in, and not changed in between. So what a shard has
counted itself stays what its tables say.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.elementary import exp
from sie_online.jit import kernel
from sie_online.ranking.counts import MOST_NEIGHBOURS, Counts, ranks

ROW = np.dtype(
    [
        ("key", "u8"),
        ("own", "i4"),  # slot of the item; -1: it has none
        ("n", "i4"),
        ("popularity", "f8"),
        ("slot", "i4", (MOST_NEIGHBOURS,)),
        ("check", "u4", (MOST_NEIGHBOURS,)),
        ("count", "f4", (MOST_NEIGHBOURS,)),
    ],
    align=True,
)
"""An item, as of the counts' time; its neighbours as the items' own rows have them."""
UPPER_HALF = np.uint64(32)


class Pooled(NamedTuple):
    """``rows`` (`ROW`), the most popular first; ``place`` by slot: number of the row + 1, 0: none; ``clock_ms`` (1,):
    the event time that the counts are of."""

    clock_ms: NDArray[np.int64]
    place: NDArray[np.int32]
    rows: NDArray[np.void]


def nothing_pooled() -> Pooled:
    """Of others that have counted nothing."""
    return Pooled(np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, ROW))


def pooled_rows(counts: Counts, slots: NDArray[np.int32]) -> NDArray[np.void]:
    """The rows of ``counts`` whose items have ``slots`` (n,), -1 where they have none."""
    keys, owners = counts.items.keys(), counts.owners()
    rows = np.zeros(counts.n, ROW)
    rows["key"], rows["own"], rows["popularity"] = keys, slots, counts.popularity
    known = np.flatnonzero((slots[owners] >= 0) & (slots[counts.neighbours] >= 0))
    owners, neighbours = owners[known], counts.neighbours[known]
    place = ranks(owners)
    rows["slot"][owners, place] = slots[neighbours]
    rows["check"][owners, place] = keys[neighbours] >> UPPER_HALF
    rows["count"][owners, place] = counts.counts[known]
    rows["n"] = np.bincount(owners, minlength=counts.n)
    return rows


def pooled_of(clock_ms: int, rows: NDArray[np.void], n_slots: int) -> Pooled:
    """``rows`` for a table of ``n_slots``."""
    place = np.zeros(n_slots, np.int32)
    known = np.flatnonzero(rows["own"] >= 0)
    place[rows["own"][known]] = known + 1
    return Pooled(np.array([clock_ms], np.int64), place, rows)


@kernel
def pooled_row(tables: Any, slot: int) -> int:
    """Number of the row about the item in ``slot``; -1: there is none."""
    pooled = tables.pooled
    if pooled.rows.shape[0] == 0:
        return -1
    at = pooled.place[slot] - 1
    if at >= 0 and pooled.rows[at].key == tables.items.rows[slot].key:
        return int(at)
    return -1


@kernel
def pooled_growth(cfg: Any, tables: Any) -> float:
    """By what to multiply others' counts to add them to the shard's own; what is later than now counts as of now."""
    totals = tables.totals[0]
    as_of_ms = min(tables.pooled.clock_ms[0], totals.now_ms)
    return exp(cfg.decay_per_ms * (as_of_ms - totals.landmark_ms))


@kernel
def popularity_of(tables: Any, slot: int, grown: float) -> float:
    """Popularity of the item in ``slot`` with all shards, others' multiplied by ``grown``."""
    own, at = tables.items.rows[slot].popularity, pooled_row(tables, slot)
    return float(own + grown * tables.pooled.rows[at].popularity) if at >= 0 else float(own)
