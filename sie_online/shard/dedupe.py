"""Which event ids were seen among the last N of a shard: exact within N, bounded by N.

A ring remembers the order, a linear-probing hash set the membership. The set is derived from the ring, so only the ring
need be saved; it begins small and doubles whenever half of it is full. Deletion shifts back (Knuth, TAOCP 3, 6.4 R) and
leaves no tombstones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.jit import kernel
from sie_online.memory import unclaimed

FIRST_MEMBERS = 512
"""Room of a new set: a page of memory."""


class DedupeWindow(NamedTuple):
    """``ring`` holds the last keys in order of arrival (0: none yet), ``members`` the same keys as a hash set, whose
    first ``spread`` (1,), a power of two, places are in use.
    """

    ring: NDArray[np.uint64]
    members: NDArray[np.uint64]
    spread: NDArray[np.int64]


def new_dedupe(events: int) -> DedupeWindow:
    """Memory of the last ``events`` keys; 0 remembers none."""
    slots = 1 << max(1, (2 * max(events, 1) - 1).bit_length())
    spread = np.array([min(slots, FIRST_MEMBERS)], np.int64)
    return DedupeWindow(unclaimed(events, np.uint64), unclaimed(slots, np.uint64), spread)


@kernel
def home_of(dedupe: Any, key: Any) -> Any:
    """The place in ``members`` at or after which ``key`` lies, if it is there."""
    return key & np.uint64(dedupe.spread[0] - 1)


@kernel
def contains(dedupe: Any, key: Any) -> bool:
    """Whether ``key`` (uint64, not 0) is among the remembered ones."""
    members = dedupe.members
    mask = np.uint64(dedupe.spread[0] - 1)
    at = home_of(dedupe, key)
    while members[at] != 0:
        if members[at] == key:
            return True
        at = (at + np.uint64(1)) & mask
    return False


@kernel
def remember(dedupe: Any, key: Any, ordinal: int) -> None:
    """Add ``key`` as the shard's ``ordinal``-th (from 0); the one that ring position held is forgotten."""
    ring = dedupe.ring
    if ring.shape[0] == 0:
        return
    place = ordinal % ring.shape[0]
    if ring[place] != 0:
        _remove(dedupe, ring[place])
    elif 2 * (place + 1) > dedupe.spread[0]:
        dedupe.spread[0] *= 2
        rebuild(dedupe)
    ring[place] = key
    _insert(dedupe, key)


@kernel
def rebuild(dedupe: Any) -> None:
    """Derive the set from the ring."""
    ring = dedupe.ring
    n = 0
    while n < ring.shape[0] and ring[n] != 0:
        n += 1
    while 2 * n > dedupe.spread[0]:
        dedupe.spread[0] *= 2
    for at in range(dedupe.spread[0]):
        dedupe.members[at] = 0
    for at in range(n):
        _insert(dedupe, ring[at])


@kernel
def _insert(dedupe: Any, key: Any) -> None:
    members = dedupe.members
    mask = np.uint64(dedupe.spread[0] - 1)
    at = key & mask
    while members[at] != 0:
        at = (at + np.uint64(1)) & mask
    members[at] = key


@kernel
def _remove(dedupe: Any, key: Any) -> None:
    members = dedupe.members
    mask = np.uint64(dedupe.spread[0] - 1)
    hole = key & mask
    while members[hole] != key:
        if members[hole] == 0:
            return
        hole = (hole + np.uint64(1)) & mask
    at = hole
    while True:
        at = (at + np.uint64(1)) & mask
        if members[at] == 0:
            break
        home = members[at] & mask
        if ((at - home) & mask) >= ((at - hole) & mask):
            members[hole] = members[at]
            hole = at
    members[hole] = 0
