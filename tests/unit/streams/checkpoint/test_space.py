"""What of a checkpoint is written anew: a bounded share at a time, and in the end all of it."""

from __future__ import annotations

import pytest

from streams.checkpoint.manifest import Piece
from streams.checkpoint.space import RENEWAL, RENEWED_BYTES, pieces_to_move


class Packs:
    """A state of ``n`` pieces of ``size`` bytes, none of which ever changes, commit after commit."""

    def __init__(self, n: int, size: int) -> None:
        self.size, self.number = size, 0
        self.written = dict.fromkeys(map(str, range(n)), 0)

    def commit(self) -> int:
        """Bytes that were written anew."""
        self.number += 1
        kept = {
            name: Piece(f"{1:010d}-{number:06d}-{0:016x}.pack", 0, self.size, "")
            for name, number in self.written.items()
        }
        sizes = {piece.pack: 0 for piece in kept.values()}
        for piece in kept.values():
            sizes[piece.pack] += piece.length
        moved = pieces_to_move(kept, sizes, self.number)
        self.written |= dict.fromkeys(moved, self.number)
        return len(moved) * self.size


@pytest.mark.parametrize("times", [0.5, 1, 5])
def test_all_is_written_anew_in_turns_and_little_of_a_large_state_at_once(times: float) -> None:
    pieces = Packs(n := round(RENEWAL * 4 * times), RENEWED_BYTES // 4)
    turns = max(RENEWAL, round(n / 4))
    for _ in range(3 * turns):
        assert pieces.commit() <= 3 * RENEWED_BYTES
        assert min(pieces.written.values()) >= pieces.number - turns - 1
    assert len(set(pieces.written.values())) <= turns
