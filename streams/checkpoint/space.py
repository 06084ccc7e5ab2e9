"""When to rewrite live pieces: the bound on a shard's space, and on how long two checkpoints may share a pack.

- *Space*: a manifest may name at most ``2 x live + FLOOR_BYTES`` in packs. Only packs that are less than half alive are
  moved for space, so that moving never writes more than it frees.
- *Renewal*: after ``RENEWAL`` commits, or as many as a large state needs, nothing is left of what was there before: a
  manifest then shares no file with the one so long ago. Pieces that many commits have not replaced are written anew,
  the oldest first, each commit a part of them, so that the cost is spread evenly; and each of their bytes is read, and
  its digest checked, once in so many commits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from streams.checkpoint.folder import pack_number
from streams.checkpoint.manifest import Piece

FLOOR_BYTES = 8 << 20
"""Waste that is not worth a rewrite."""

RENEWAL = 32
"""Commits after which every live piece was written anew; also the most packs of a manifest but for the newest's."""

RENEWED_BYTES = 16 << 20
"""What a commit writes anew at most, about: a state of 8 GB takes 512 commits, some 45 minutes of them."""

RESTED = 20
"""Commits that a piece stays where it is: most are replaced in less (`sie_online.shard.patches.LAP`)."""


def pieces_to_move(
    kept: Mapping[str, Piece], sizes: Mapping[str, int], number: int, *, incoming: int = 0, floor: int = FLOOR_BYTES
) -> set[str]:
    """Names of the pieces that belong into the next pack.

    Args:
        kept: pieces that the next manifest takes over from the last one.
        sizes: bytes of each pack of the last manifest.
        number: of the next pack.
        incoming: bytes of the pieces that are written anyway.
    """
    wasteful = _wasteful(kept, sizes, incoming, floor)
    ages = {name: number - pack_number(piece.pack) for name, piece in kept.items()}
    renewal = max(RENEWAL, -(-sum(piece.length for piece in kept.values()) // RENEWED_BYTES))
    renewed = sum(
        piece.length / max(1, renewal + 1 - ages[name]) for name, piece in kept.items() if ages[name] >= RESTED
    )
    moved: set[str] = set()
    for name, piece in sorted(kept.items(), key=lambda item: pack_number(item[1].pack)):
        if ages[name] >= renewal or renewed > 0 or piece.pack in wasteful:
            moved.add(name)
            renewed -= piece.length
    return moved


def _wasteful(kept: Mapping[str, Piece], sizes: Mapping[str, int], incoming: int, floor: int) -> set[str]:
    """Packs that are mostly dead, where all of them together hold too much."""
    live = Counter[str]()
    for piece in kept.values():
        live[piece.pack] += piece.length
    held = sum(sizes[pack] for pack in live)
    if held + incoming <= 2 * (live.total() + incoming) + floor:
        return set()
    return {pack for pack in live if 2 * live[pack] < sizes[pack]}
