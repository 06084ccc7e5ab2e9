"""Open views: samples that await their label, oldest first, in a ring that grows to a bound.

A view is appended once and never changes: its *hot* part (56 bytes) stays in memory, its *cold* part (ids, features,
scores, factors) lies in an unlinked scratch file that the kernels read through the page cache. Only the *overlay*
(label, revision) is mutable. Views are named by their sequence number; ``head`` (oldest open) and ``tail`` (next) live
in the shard's counters.

Views of one (user, item) pair are found through chains: ``buckets`` names the newest view per hash bucket and every
view its predecessor. Chains are derived data, rebuilt after a restore and whenever the ring grows.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import UnreachableError
from sie_online.features import N_DENSE, N_FEATURES
from sie_online.importance.factors import KEPT
from sie_online.jit import kernel

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

FIRST_CAPACITY = 1 << 10
ID_BYTES_PER_VIEW = 128
"""Room for ids per view of capacity; the ring grows, or settles early, when either part is full."""


class Views(NamedTuple):
    """Rings; position of view ``s`` is ``s % capacity``, of id byte ``b`` it is ``b % ids.size``.

    ``changed`` marks the overlays that were written to since a snapshot took the marks off.
    """

    hot: NDArray[np.void]
    cold: NDArray[np.void]
    overlay: NDArray[np.void]
    changed: NDArray[np.uint8]
    ids: NDArray[np.uint8]
    buckets: NDArray[np.int64]


def new_views(capacity: int, scratch: Path | None) -> Views:
    """An empty ring of ``capacity`` views (a power of two); its cold part lies below ``scratch``, or the temp folder.

    Raises:
        UnreachableError: the disk has no room for the cold part.
    """
    id_bytes = capacity * ID_BYTES_PER_VIEW
    cold_bytes = capacity * COLD.itemsize
    disk = _scratch_memory(cold_bytes + id_bytes, scratch)
    return Views(
        hot=np.zeros(capacity, HOT),
        cold=disk[:cold_bytes].view(COLD),
        overlay=np.zeros(capacity, OVERLAY),
        changed=np.zeros(capacity, np.uint8),
        ids=disk[cold_bytes:],
        buckets=np.full(capacity, -1, np.int64),
    )


def _scratch_memory(size: int, folder: Path | None) -> NDArray[np.uint8]:
    """Zeroed memory backed by an unlinked file, so that the page cache may evict it and a crash leaves nothing."""
    try:
        with tempfile.TemporaryFile(prefix="sie-views-", dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return np.frombuffer(mmap.mmap(file.fileno(), size), np.uint8)
    except OSError as error:
        where = folder or tempfile.gettempdir()
        raise UnreachableError(f"no room for {size >> 20} MiB of open views in {where}: {error.strerror}") from error


def grown(views: Views, head: int, tail: int, ids_head: int, ids_tail: int, scratch: Path | None) -> Views:
    """The same open views in a ring of twice the capacity."""
    larger = new_views(2 * len(views.hot), scratch)
    for part in ("hot", "cold", "overlay", "changed"):
        _move(getattr(views, part), getattr(larger, part), head, tail)
    _move(views.ids, larger.ids, ids_head, ids_tail)
    relink(larger, head, tail)
    return larger


def _move(source: NDArray[Any], target: NDArray[Any], first: int, last: int) -> None:
    """Copy what the ring ``source`` holds at ``first`` to ``last`` to the ring ``target``."""
    at = first
    while at < last:
        here, there = at % len(source), at % len(target)
        n = min(last - at, len(source) - here, len(target) - there)
        target[there : there + n] = source[here : here + n]
        at += n


@kernel
def relink(views: Any, head: int, tail: int) -> None:
    """Derive the chains of all open views."""
    views.buckets[:] = -1
    for view in range(head, tail):
        link(views, view)


@kernel
def link(views: Any, view: int) -> None:
    """Put ``view`` at the front of its pair's chain."""
    hot = views.hot[view & (views.hot.shape[0] - 1)]
    bucket = np.int64(hot.pair_key & np.uint64(views.buckets.shape[0] - 1))
    hot.previous = views.buckets[bucket]
    views.buckets[bucket] = view


@kernel
def newest_of(views: Any, pair_key: Any, head: int) -> int:
    """Newest open view of a pair, -1 if there is none."""
    bucket = np.int64(pair_key & np.uint64(views.buckets.shape[0] - 1))
    return _next_match(views, views.buckets[bucket], pair_key, head)


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
