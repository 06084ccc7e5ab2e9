"""Open views: samples that await their label, oldest first, in rings of a fixed size on disk.

A view is appended once and never changes: its *hot* part is what attribution looks at, its *cold* part (ids, features,
scores, factors) what a statement about it needs. Only the *overlay* (label, revision) is mutable. All of them lie in a
sparse scratch file that the kernels read and write through the page cache. Disk is claimed by the segment as views are
appended, and given back behind the oldest. Views are named by their sequence number; ``head`` (oldest open) and
``tail`` (next) live in the shard's counters.

Views of one (user, item) pair are found through chains: ``buckets`` names the newest view per hash bucket and every
view its predecessor. Chains are derived data, rebuilt after a restore.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.features import N_DENSE, N_FEATURES
from sie_online.importance.factors import KEPT
from sie_online.jit import kernel
from sie_online.memory import unclaimed
from sie_online.shard.scratch import Ring, ScratchFile, aligned

HOT = np.dtype(
    [
        ("time_ms", "i8"),
        ("heard_ms", "i8"),  # from when on it waits if `time_ms` is not to be believed; 0: no time was known
        ("offset", "i8"),
        ("pair_key", "u8"),
        ("previous", "i8"),
        ("probability", "f8"),
        ("user_slot", "i4"),
        ("item_slot", "i4"),
    ]
)
"""What attribution and settlement touch for every view."""

COLD = np.dtype(
    [
        ("user_key", "u8"),
        ("item_key", "u8"),
        ("category_key", "u8"),
        ("ids_at", "i8"),
        ("event_bytes", "i4"),
        ("user_bytes", "i4"),
        ("item_bytes", "i4"),
        ("etype", "i2"),
        ("established", "i2"),  # whether the guard judges it
        ("p_uniform", "f8"),
        ("p_weighted", "f8"),
        ("learn_weight", "f8"),
        ("feature_score", "f8"),
        ("uncertainty", "f8"),
        ("kept", KEPT),  # by the factors
        ("features", "u4", (N_FEATURES,)),
        ("dense", "f4", (N_DENSE,)),
    ]
)
"""What a later statement about the view needs besides; written at the event, read at settlement."""

OVERLAY = np.dtype([("revision", "i4"), ("label", "i4"), ("noise_probability", "f8"), ("noise_cautious", "f8")])
"""The mutable part: last published revision, P(noise) and the lower end of it, and label (-1 unknown, 0, 1)."""

ID_BYTES_PER_VIEW = 128
"""Room for ids per view of capacity; the oldest view settles early when either part is full."""
SEGMENT = 1 << 14
"""Views for which disk is claimed at once: some 6 MB. A multiple of any page's size whatever the size of a record."""
SEGMENT_ID_BYTES = 64 * SEGMENT
FIRST_BUCKETS = 1 << 10
LOW = 0xFFFFFFFF
"""Bits of a view that its bucket has."""
LOAD = 2
"""Open views per bucket beyond which the buckets are doubled."""


class Views(NamedTuple):
    """Rings; position of view ``s`` is ``s % capacity``, of id byte ``b`` it is ``b % ids.size``.

    ``claimed`` (2,) says up to which view, and which id byte, there is disk. ``changed`` has a bit per place: the
    overlay was written to since a snapshot took the bits off. ``buckets``, of which ``spread`` (1,), a power of two,
    are in use, have the low 32 bits of a view each.
    """

    hot: NDArray[np.void]
    cold: NDArray[np.void]
    overlay: NDArray[np.void]
    ids: NDArray[np.uint8]
    claimed: NDArray[np.int64]
    changed: NDArray[np.uint64]
    buckets: NDArray[np.uint32]
    spread: NDArray[np.int64]


class ViewsFile:
    """The scratch file of at most ``capacity`` open views (a power of two, at least 64), below ``folder``.

    ``views`` are the arrays in it.

    Raises:
        UnreachableError: there can be no such file.
    """

    def __init__(self, capacity: int, folder: Path | None) -> None:
        parts: list[tuple[np.dtype[Any], int, int]] = [
            (HOT, capacity, SEGMENT),
            (COLD, capacity, SEGMENT),
            (OVERLAY, capacity, SEGMENT),
        ]
        parts.append((np.dtype(np.uint8), capacity * ID_BYTES_PER_VIEW, SEGMENT_ID_BYTES))
        sizes = [aligned(dtype.itemsize * n) for dtype, n, _ in parts]
        begins = list(itertools.accumulate(sizes, initial=0))
        file = ScratchFile(begins[-1], folder)
        *self._rings, self._ids = [
            Ring(file, begin, dtype.itemsize, n, min(segment, n))
            for begin, (dtype, n, segment) in zip(begins, parts, strict=False)
        ]
        hot, cold, overlay, ids = (file.array(at, n, dtype) for at, (dtype, n, _) in zip(begins, parts, strict=False))
        self.views = Views(
            hot=hot,
            cold=cold,
            overlay=overlay,
            ids=ids,
            claimed=np.zeros(2, np.int64),
            changed=unclaimed(capacity // 64, np.uint64),
            buckets=unclaimed(capacity // LOAD, np.uint32),
            spread=np.array([min(FIRST_BUCKETS, capacity // LOAD)], np.int64),
        )

    def claim(self, head: int, tail: int, ids_head: int, ids_tail: int) -> None:
        """Have disk for views ``head`` to ``tail`` and their id bytes, give back what lies before, and have read what
        settles next.

        Raises:
            UnreachableError: the disk is full.
        """
        for ring in self._rings:
            self.views.claimed[0] = ring.claim(head, tail)
        self.views.claimed[1] = self._ids.claim(ids_head, ids_tail)

    def rest(self) -> None:
        """Take what is neither the newest nor settles next out of the resident set: purchases bring it there again."""
        for ring in (*self._rings, self._ids):
            ring.rest()


@kernel
def mark_changed(views: Any, at: int) -> None:
    """Note that the overlay at place ``at`` was written to."""
    views.changed[at >> 6] |= np.uint64(1) << np.uint64(at & 63)


@kernel
def relink(views: Any, head: int, first: int, last: int) -> None:
    """Derive the chains of views ``first`` to ``last``, of which ``head`` is the oldest; older ones have theirs."""
    for view in range(first, last):
        link(views, view, head)


@kernel
def link(views: Any, view: int, head: int) -> None:
    """Put ``view``, the newest, at the front of its pair's chain; ``head``: the oldest open one."""
    if view - head >= LOAD * views.spread[0] and views.spread[0] < views.buckets.shape[0]:
        _double(views)
    hot = views.hot[view & (views.hot.shape[0] - 1)]
    bucket = _bucket_of(views, hot.pair_key)
    hot.previous = _last_before(view, views.buckets[bucket])
    views.buckets[bucket] = np.uint32(view & LOW)


@kernel
def _double(views: Any) -> None:
    """Tell every bucket apart into two that begin with what they had in common."""
    n = views.spread[0]
    for bucket in range(n):
        views.buckets[n + bucket] = views.buckets[bucket]
    views.spread[0] = 2 * n


@kernel
def _bucket_of(views: Any, pair_key: Any) -> int:
    return int(pair_key & np.uint64(views.spread[0] - 1))


@kernel
def _last_before(view: int, low: Any) -> int:
    """The last view before ``view`` with the low bits ``low``: the one meant, or one that cannot be found by it.

    What a bucket says may be of a view so long settled that the bits mean another one: it lies before, as in any chain,
    and its pair is compared as any other's.
    """
    return int(view - 1 - ((view - 1 - np.int64(low)) & LOW))


@kernel
def newest_of(views: Any, pair_key: Any, head: int, tail: int) -> int:
    """Newest open view of a pair, -1 if there is none."""
    return _next_match(views, _last_before(tail, views.buckets[_bucket_of(views, pair_key)]), pair_key, head)


@kernel
def next_older(views: Any, view: int, head: int) -> int:
    """The next older open view of the same pair, -1 if there is none."""
    hot = views.hot[view & (views.hot.shape[0] - 1)]
    return _next_match(views, hot.previous, hot.pair_key, head)


@kernel
def _next_match(views: Any, view: int, pair_key: Any, head: int) -> int:
    mask = views.hot.shape[0] - 1
    while view >= head:
        hot = views.hot[view & mask]
        if hot.pair_key == pair_key:
            return view
        view = hot.previous
    return -1


@kernel
def drop_user_text(views: Any, view: int) -> None:
    """Take the user's id out of the texts of ``view``; the bytes it leaves at their end are overwritten."""
    cold = views.cold[view & (views.hot.shape[0] - 1)]
    mask = views.ids.shape[0] - 1
    to, size = cold.ids_at + cold.event_bytes, cold.user_bytes
    for step in range(cold.item_bytes):
        views.ids[(to + step) & mask] = views.ids[(to + size + step) & mask]
    for step in range(size):
        views.ids[(to + cold.item_bytes + step) & mask] = 0
    cold.user_bytes = 0


@kernel
def wipe(views: Any, view: int, nothing: Any) -> None:
    """Empty ``view`` but for its time and place, so that it leaves the ring in its turn and is found by no pair.

    ``nothing`` is what the factors keep of nothing.
    """
    at = view & (views.hot.shape[0] - 1)
    hot, cold = views.hot[at], views.cold[at]
    for step in range(cold.event_bytes + cold.item_bytes):
        views.ids[(cold.ids_at + step) & (views.ids.shape[0] - 1)] = 0
    hot.offset, hot.pair_key, hot.probability, hot.user_slot, hot.item_slot = 0, 0, 0.0, 0, 0
    cold.user_key, cold.item_key, cold.category_key, cold.etype = 0, 0, 0, 0
    cold.event_bytes, cold.item_bytes = 0, 0
    cold.p_uniform, cold.p_weighted, cold.learn_weight = 0.0, 0.0, 0.0
    cold.feature_score, cold.uncertainty = 0.0, 0.0
    cold.kept = nothing
    for which in range(cold.features.shape[0]):
        cold.features[which] = 0
    for which in range(cold.dense.shape[0]):
        cold.dense[which] = 0.0


@kernel
def store_text(ids: Any, at: int, data: Any, first: int, last: int) -> None:
    """Copy ``data[first:last]`` to ring position ``at``."""
    mask = ids.shape[0] - 1
    for step in range(last - first):
        ids[(at + step) & mask] = data[first + step]


@kernel
def load_text(ids: Any, at: int, size: int, out: Any, to: int) -> None:
    """Copy ``size`` bytes from ring position ``at`` to ``out[to:]``."""
    mask = ids.shape[0] - 1
    for step in range(size):
        out[to + step] = ids[(at + step) & mask]
