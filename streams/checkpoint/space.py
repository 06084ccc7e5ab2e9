"""When to rewrite live pieces, so that packs which are mostly superseded can go: the bound on a shard's space.

A manifest may name at most ``2 x live + FLOOR_BYTES`` in at most ``MAX_PACKS`` packs. Only packs that are less than
half alive are moved for space, so that moving never writes more than it frees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from streams.checkpoint.manifest import Piece

FLOOR_BYTES = 8 << 20
"""Waste that is not worth a rewrite."""

MAX_PACKS = 64
"""A restore opens every pack; many small ones are merged beyond this."""


def packs_to_move(
    kept: Mapping[str, Piece], sizes: Mapping[str, int], *, incoming: int = 0, floor: int = FLOOR_BYTES
) -> set[str]:
    """Packs whose live pieces belong into the next pack.

    Args:
        kept: pieces that the next manifest takes over from the last one.
        sizes: bytes of each pack of the last manifest.
        incoming: bytes of the pieces that are written anyway.
    """
    live = Counter[str]()
    for piece in kept.values():
        live[piece.pack] += piece.length
    named = {piece.pack for piece in kept.values()}
    held = sum(sizes[pack] for pack in named)
    moved: set[str] = set()
    if held + incoming > 2 * (sum(live.values()) + incoming) + floor:
        moved = {pack for pack in named if 2 * live[pack] < sizes[pack]}
    if len(named - moved) >= MAX_PACKS:
        moved |= set(sorted(named - moved, key=lambda pack: (sizes[pack], pack))[: MAX_PACKS // 2])
    return moved
