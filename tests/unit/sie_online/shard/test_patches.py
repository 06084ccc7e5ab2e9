"""Chains of patches: whatever changes between them, and whenever, together they are the table; and they stay few."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checks
from hypothesis import strategies as st

from sie_online.errors import CheckpointError
from sie_online.shard.patches import EVER, LAP, PatchChain, Piece, Table, apply, raw

SIZE = 64
ROW = np.dtype([("number", "i8"), ("value", "f8")])


class Ring:
    """A table that is written to at random, its chain, and the pieces that a store would hold of it."""

    def __init__(self, *, sparse: bool = False) -> None:
        self.sparse = sparse
        self.rows, self.changed = np.zeros(SIZE, ROW), np.zeros(SIZE, np.uint8)
        self.first = self.last = self.number = 0
        self.chain, self.pieces = PatchChain(), dict[int, Piece]()

    def add(self, n: int) -> None:
        for _ in range(min(n, SIZE - (self.last - self.first))):
            self.write(self.last, mark=False)  # rows that are new need no mark
            self.last += 1

    def write(self, row: int, *, mark: bool = True) -> None:
        self.rows[row % SIZE] = row, np.random.default_rng(self.number * 1000 + row).random()
        if mark:
            self.changed[row % SIZE] = 1 | EVER

    @property
    def table(self) -> Table:
        return Table("ring", raw(self.rows), self.first, self.last, self.changed, self.sparse)

    def save(self, most_bytes: int = 0) -> None:
        """A part ahead of ``most_bytes``, or else a patch."""
        self.number += 1
        take = self.chain.part(self.number, self.table, most_bytes) if most_bytes else None
        piece = take or self.chain.patch(self.number, self.table)
        if piece is not None:
            self.pieces[self.number] = bytes(piece)
        self.pieces = {number: self.pieces[number] for number in self.chain.live}

    def saved(self) -> np.ndarray:
        """What the pieces say of the rows in use."""
        found = np.zeros(SIZE, ROW)
        apply(self.table._replace(records=raw(found)), self.pieces)
        return found[self.places]

    @property
    def places(self) -> np.ndarray:
        return np.arange(self.first, self.last) % SIZE


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 20)),
        st.tuples(st.just("drop"), st.integers(1, 20)),
        st.tuples(st.just("write"), st.integers(0, SIZE)),
        st.tuples(st.just("save"), st.just(0)),
    ),
    max_size=150,
)


@checks(max_examples=200)
@given(steps, st.lists(st.integers(16, 400), max_size=4))
def test_a_chain_of_patches_is_the_table_whatever_happened_in_between(
    steps: list[tuple[str, int]], ahead: list[int]
) -> None:
    ring = Ring()
    ring.add(30)
    for step, n in [*steps, ("save", 0)]:
        if step == "add":
            ring.add(n)
        elif step == "drop":
            ring.first = min(ring.first + n, ring.last)
        elif step == "write" and ring.last > ring.first:
            ring.write(ring.first + n % (ring.last - ring.first))
        elif step == "save" and ahead:
            ring.save(ahead.pop())
        elif step == "save":
            ring.save()
            assert ring.saved().tobytes() == ring.rows[ring.places].tobytes()
            assert not (ring.changed[ring.places] & 1).any()


@checks(max_examples=100)
@given(st.lists(st.lists(st.integers(0, SIZE - 1), max_size=20), max_size=80), st.integers(0, 80))
def test_of_a_sparse_table_only_rows_that_were_ever_written_to_are_saved(rounds: list[list[int]], anew_at: int) -> None:
    """``anew_at``: the round in which its chain is begun anew, as after a restart."""
    ring, written = Ring(sparse=True), set[int]()
    ring.last = SIZE
    for step, rows in enumerate(rounds):
        for row in rows:
            ring.write(row)
            written.add(row)
        if step == anew_at:
            again = Ring(sparse=True)
            again.rows, again.last, again.changed = ring.rows.copy(), SIZE, ring.changed
            ring = again
        ring.save()
        assert ring.saved().tobytes() == ring.rows.tobytes()
    said = sum(len(piece) for piece in ring.pieces.values()) / (8 + ROW.itemsize)
    assert said <= len(ring.pieces) * len(written)


@pytest.mark.parametrize("grows", [0, 1])
def test_patches_stay_few_and_none_stays_for_ever(grows: int) -> None:
    ring = Ring()
    ring.add(20)
    most = 0
    for step in range(200):
        ring.write(ring.first + step % 20)
        ring.add(grows)
        ring.save()
        most = max(most, len(ring.pieces))
        assert min(ring.pieces) > ring.number - 2 * LAP
    assert LAP / 2 < most <= 1.5 * LAP + 1


def test_where_most_of_a_table_changed_one_patch_is_all_of_it() -> None:
    ring = Ring()
    ring.add(20)
    for _ in range(3):
        for row in range(10):
            ring.write(row)
        ring.save()
        assert ring.pieces.keys() == {ring.number}


def test_what_has_not_changed_is_not_said_again() -> None:
    ring = Ring()
    ring.add(20)
    ring.save()
    assert ring.chain.patch(9, ring.table) is None
    ring.write(3)
    patch = ring.chain.patch(10, ring.table)
    assert patch is not None and 0 < len(patch) < 4 * (8 + ROW.itemsize)


def test_pieces_that_do_not_fit_are_refused() -> None:
    ring = Ring()
    ring.add(20)
    ring.save()
    (number, piece) = ring.pieces.popitem()
    with pytest.raises(CheckpointError, match="20 rows of ring are missing"):
        apply(ring.table, {})
    with pytest.raises(CheckpointError, match="does not fit"):
        apply(ring.table, {number: piece[:-1]})
    with pytest.raises(CheckpointError, match="does not fit"):
        apply(ring.table._replace(last=19), {number: piece})
    with pytest.raises(CheckpointError, match="does not fit"):
        apply(ring.table._replace(last=SIZE + 1), {number: piece})
    with pytest.raises(CheckpointError, match="does not fit"):
        apply(ring.table._replace(records=raw(np.zeros(SIZE, "i8"))), {number: piece})
