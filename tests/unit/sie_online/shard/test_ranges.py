"""Open views as pieces: whatever was appended, changed, settled and written, the pieces in force are the open views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checks
from hypothesis import strategies as st

from sie_online.errors import CheckpointError
from sie_online.shard import ranges, scratch
from sie_online.shard.patches import Piece
from sie_online.shard.ranges import PATCHES, RANGES, Bounds, ViewPieces, restore_views
from sie_online.shard.scratch import ScratchFile
from sie_online.shard.views import COLD, HOT, OVERLAY, ViewsFile, link, mark_changed

CAPACITY = 128
ROW_BYTES = 8 + OVERLAY.itemsize


class Opened:
    """Open views that are written to at random, and the pieces that a store would hold of them."""

    def __init__(self) -> None:
        self.file, self.saved = ViewsFile(CAPACITY, None), ViewPieces(None)
        self.views = self.file.views
        self.head = self.tail = self.ids_tail = self.number = 0
        self.pieces: dict[str, Piece] = {}
        self.random = np.random.default_rng(7)

    @property
    def bounds(self) -> Bounds:
        ids_head = int(self.views.cold["ids_at"][self.head % CAPACITY]) if self.head < self.tail else self.ids_tail
        return Bounds(self.head, self.tail, ids_head, self.ids_tail)

    def open(self, n: int) -> None:
        for _ in range(n):
            if self.tail - self.head == CAPACITY:
                self.settle(1)
            id_bytes, at = int(self.random.integers(0, 60)), self.tail % CAPACITY
            head, tail, ids_head, ids_tail = self.bounds
            self.file.claim(head, tail + 1, ids_head, ids_tail + id_bytes)
            for ring, dtype in ((self.views.hot, HOT), (self.views.cold, COLD), (self.views.overlay, OVERLAY)):
                ring[at] = np.frombuffer(self.random.bytes(dtype.itemsize), dtype)[0]
            cold = self.views.cold[at]
            cold["ids_at"], cold["event_bytes"], cold["user_bytes"], cold["item_bytes"] = ids_tail, id_bytes, 0, 0
            self.views.ids[np.arange(ids_tail, ids_tail + id_bytes) % len(self.views.ids)] = tail % 251
            link(self.views, tail, head)
            self.ids_tail += id_bytes
            self.tail += 1

    def settle(self, n: int) -> None:
        """As in a shard, the last statement changes a view."""
        for _ in range(min(n, self.tail - self.head)):
            self.change(self.head)
            self.head += 1

    def change(self, view: int) -> None:
        self.views.overlay["revision"][view % CAPACITY] += 1
        mark_changed(self.views, view % CAPACITY)

    def save(self) -> None:
        self.number += 1
        self.keep(self.saved.pieces(self.number, self.views, self.bounds))

    def save_part(self) -> None:
        self.number += 1
        if named := self.saved.part(self.number, self.views, self.bounds):
            self.pieces |= dict([named])

    def keep(self, fresh: dict[str, Piece]) -> None:
        held = self.pieces | fresh
        self.pieces = {name: held[name] for name in self.saved.live}

    def restored(self) -> Opened:
        again = Opened()
        again.head, again.tail, _, again.ids_tail = self.bounds
        again.file.claim(*self.bounds)
        restore_views(again.views, self.bounds, self.named(RANGES), self.named(PATCHES))
        return again

    def named(self, folder: str) -> dict[str, Piece]:
        split = {name: name.rpartition("/") for name in self.pieces}
        return {split[name][2]: piece for name, piece in self.pieces.items() if split[name][0] == folder}

    def contents(self) -> list[bytes]:
        at = np.arange(self.head, self.tail) % CAPACITY
        hot = self.views.hot[at]
        hot["previous"] = 0  # the chains are derived
        ids = np.arange(self.bounds.ids_head, self.bounds.ids_tail) % len(self.views.ids)
        return [each.tobytes() for each in (hot, self.views.cold[at], self.views.overlay[at], self.views.ids[ids])]


steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(1, 40)),
        st.tuples(st.just("settle"), st.integers(1, 40)),
        st.tuples(st.just("change"), st.sampled_from([0, 1, 2, 20, 21, CAPACITY - 1])),
        st.tuples(st.just("save"), st.just(0)),
    ),
    min_size=20,
    max_size=80,
)


@checks(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.integers(0, 3))
def test_the_pieces_are_the_open_views_wherever_the_oldest_is(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int]], ahead: int
) -> None:
    """Rings go round, heads lie amid ranges, patches are older and younger than the ranges of their views."""
    monkeypatch.setattr(ranges, "LARGEST_RANGE", 16)
    monkeypatch.setattr(ranges, "LARGEST_PATCH", 4)
    opened = Opened()
    opened.open(10)
    for step, n in [*steps, ("save", 0)]:
        if step == "change" and opened.head < opened.tail:
            opened.change(max(opened.head, opened.tail - 1 - n))
        elif step == "save" and ahead:
            ahead -= 1
            opened.save_part()
        elif step == "save":
            opened.save()
            assert opened.restored().contents() == opened.contents()
            ahead = 0
        elif step in ("open", "settle"):
            getattr(opened, step)(n)


def test_what_did_not_change_is_not_written_again() -> None:
    opened = Opened()
    opened.open(100)
    opened.save()
    before = opened.pieces
    opened.save()
    assert opened.pieces == before and not opened.saved.pieces(9, opened.views, opened.bounds)


@pytest.mark.parametrize("in_parts", [False, True])
def test_ranges_that_are_too_many_wait_on_disk(in_parts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "LARGEST_RANGE", 16)
    monkeypatch.setattr(ranges, "MOST_WAITING", 32)
    monkeypatch.setattr(scratch, "SPOOL_BYTES", 20_000)
    opened, files = Opened(), []
    opened.saved = ViewPieces(tmp_path)
    monkeypatch.setattr(scratch, "ScratchFile", lambda *given: files.append(given) or ScratchFile(*given))
    opened.open(120)
    while in_parts and len(opened.pieces) < 8:
        opened.save_part()
    opened.save()
    assert len(files) >= 2 and {folder for _, folder in files} == {tmp_path}
    opened.change(110)
    assert opened.restored().contents() != opened.contents()
    opened.save()
    assert opened.restored().contents() == opened.contents(), "what waited is as it was then, and a patch has the rest"
    waited = len(files)
    opened.open(8)
    opened.save()
    assert len(files) == waited, "few wait in memory"


def test_a_patch_has_what_changed_since_and_nothing_else() -> None:
    opened = Opened()
    opened.open(100)
    opened.change(3)  # its range will say so
    opened.save()
    for views in ([50], [60, 61], [], [50]):
        for view in views:
            opened.change(view)
        opened.save()
    sizes = {name: len(piece) // ROW_BYTES for name, piece in opened.pieces.items() if name.startswith(PATCHES)}
    assert sizes == {"views.overlay/3": 3, "views.overlay/5": 1}
    assert opened.restored().contents() == opened.contents()


def test_a_settled_view_s_patch_does_not_reach_the_younger_one_in_its_place() -> None:
    opened = Opened()
    opened.open(CAPACITY)
    opened.save()
    opened.change(1)
    opened.change(9)
    opened.save()
    opened.open(4)
    opened.save()
    assert opened.head == 4 and opened.pieces.keys() >= {f"{RANGES}/0-{CAPACITY}-1", f"{PATCHES}/2"}
    assert opened.restored().contents() == opened.contents()


def test_pieces_stay_few_and_go_with_their_views() -> None:
    opened, most = Opened(), 0
    for _ in range(300):
        opened.open(2)
        opened.settle(opened.tail - opened.head - 100)
        opened.change(opened.tail - 50)
        opened.save()
        most = max(most, len(opened.pieces))
    assert most <= 24
    opened.settle(100)
    opened.save()
    assert opened.pieces == {}


def test_views_that_come_all_at_once_lie_in_ranges_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "LARGEST_RANGE", 32)
    opened = Opened()
    opened.open(120)
    opened.save()
    sizes = [ranges.Range.named(part) for part in opened.named(RANGES)]
    assert max(each.last - each.first for each in sizes) <= 2 * 32 and len(sizes) >= 3


def test_pieces_that_do_not_fit_are_refused() -> None:
    opened = Opened()
    opened.open(40)
    opened.save()
    opened.change(20)
    opened.save()
    found, patches = opened.named(RANGES), opened.named(PATCHES)
    views = ViewsFile(CAPACITY, None).views
    with pytest.raises(CheckpointError, match="open views 0 to 40 are missing"):
        restore_views(views, opened.bounds, {}, patches)
    with pytest.raises(CheckpointError, match="does not fit"):
        restore_views(views, opened.bounds, found, {number: piece[:-1] for number, piece in patches.items()})
    number = next(iter(patches))
    beyond = np.array([40], np.int64).tobytes() + bytes(OVERLAY.itemsize)
    with pytest.raises(CheckpointError, match="does not fit"):
        restore_views(views, opened.bounds, found, {number: beyond})
