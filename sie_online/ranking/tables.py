"""What is known for rankings, as bounded tables of records: who liked what lately, and what goes with what.

Counts decay with event time by *forward decay* (Cormode et al., ICDE'09): what is counted now is multiplied by what
growth there was since a landmark, and what was counted before stays as it is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.jit import kernel
from sie_online.memory import unclaimed
from sie_online.slots import BASE_FIELDS, SlotTable, new_table

EXCLUDE, INCLUDE, AUTO = range(3)
SEEN = {"exclude": EXCLUDE, "include": INCLUDE, "auto": AUTO}
"""What becomes of items that the user has had already."""
EVERYTHING = np.uint64(1)
"""Key of the category that every item belongs to."""

UPPER_HALF = np.uint64(32)


class RankingConfig(NamedTuple):
    """What the kernels need of the settings."""

    decay_per_ms: float = 0.0  # logarithm of the growth; 0: nothing is forgotten
    floor: float = 20.0  # events that every item is taken to have had besides
    window: int = 16  # an event is counted together with so many of the user's last items
    seen: int = AUTO


class RankingSizes(NamedTuple):
    """Bounds of the tables: how many records, and how much each of them holds."""

    users: int = 1 << 16
    items: int = 1 << 16
    categories: int = 1 << 12
    seen: int = 1 << 18
    history: int = 32  # items of a user
    neighbours: int = 64  # of an item
    popular: int = 80  # items of a category
    id_bytes: int = 256  # of an item's id


class RankingTables(NamedTuple):
    """``items`` know their neighbours and ``categories`` what is popular in them; ``users`` know what they had lately,
    the newest first, and ``seen`` the pairs of user and item that there were. ``totals`` has one record.

    An item in a list is a slot of ``items`` with the upper half of its key: the slot may be another's by now.
    """

    totals: NDArray[np.void]
    users: SlotTable
    items: SlotTable
    categories: SlotTable
    seen: SlotTable


class Known(NamedTuple):
    """What a shard has counted itself, and what is known of others: of items and categories only, as of another time.

    A *candidate* is an item's slot in its own tables, or, where they do not know it, the one in the others' behind all
    of these.
    """

    own: RankingTables
    others: RankingTables


class RankingScratch(NamedTuple):
    """Working memory of one ranking, all zero in between: score and mark by candidate, and those that have one."""

    score: NDArray[np.float64]
    mark: NDArray[np.uint8]
    candidates: NDArray[np.int32]


TOTALS = np.dtype(
    [
        ("events", "i8"),
        ("repeats", "i8"),
        ("landmark_ms", "i8"),
        ("now_ms", "i8"),
        ("decay_per_ms", "f8"),  # by which what is counted has grown since the landmark; set by who saves the tables
    ]
)


def new_tables(sizes: RankingSizes) -> RankingTables:
    """Tables that know nothing; they claim memory as they fill."""
    return RankingTables(
        totals=np.zeros(1, TOTALS),
        users=new_table(sizes.users, _record([("category_key", "u8"), ("said", "u8"), *_listed(sizes.history)])),
        items=new_table(
            sizes.items,
            _record(
                [
                    ("popularity", "f8"),
                    *_listed(sizes.neighbours),
                    ("id_bytes", "i4"),
                    ("id", "u1", (sizes.id_bytes,)),
                ]
            ),
        ),
        categories=new_table(sizes.categories, _record(_listed(sizes.popular))),
        seen=new_table(sizes.seen, _record([("user_key", "u8")])),
    )


def no_tables(sizes: RankingSizes) -> RankingTables:
    """Tables for no others."""
    return new_tables(sizes._replace(users=1, items=1, categories=1, seen=1))


def new_scratch(known: Known) -> RankingScratch:
    """Working memory for rankings by what is ``known``."""
    n = len(known.own.items.rows) + len(known.others.items.rows)
    return RankingScratch(unclaimed(n, np.float64), unclaimed(n, np.uint8), unclaimed(n, np.int32))


@kernel
def check_of(key: Any) -> Any:
    """What tells whether a slot is still the one of ``key``."""
    return np.uint32(key >> UPPER_HALF)


def _listed(n: int) -> list[tuple[Any, ...]]:
    """Fields of a list of at most ``n`` items."""
    return [("n", "i4"), ("slot", "i4", (n,)), ("check", "u4", (n,)), ("count", "f4", (n,))]


def _record(fields: list[tuple[Any, ...]]) -> np.dtype[Any]:
    return np.dtype([*BASE_FIELDS, *fields], align=True)
