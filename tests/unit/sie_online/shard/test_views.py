"""Open views on disk: found by their pair whatever their buckets, and kept for as long as they are open."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as checks
from hypothesis import strategies as st

from sie_online.errors import UnreachableError
from sie_online.shard import Shard, scratch
from sie_online.shard import views as shard_views
from sie_online.shard.views import ViewsFile, link, newest_of, next_older, relink
from tests.support.events import event, records, run, samples, small_settings, weights

CAPACITY, PAIRS = 64, 40
SMALL_SEGMENT = 1 << 10
"""The smallest of which every part of a view is whole pages."""


class Chains:
    """Open views beside what they should be: pairs by view."""

    def __init__(self, start: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shard_views, "FIRST_BUCKETS", 1)
        self.views = ViewsFile(CAPACITY, None).views
        self.head = self.tail = start
        self.pairs: dict[int, int] = {}

    def open(self, pair: int) -> None:
        if self.tail - self.head == CAPACITY:
            self.settle(1)
        self.views.hot["pair_key"][self.tail % CAPACITY] = self.pairs[self.tail] = pair
        link(self.views, self.tail, self.head)
        self.tail += 1

    def settle(self, n: int) -> None:
        for view in range(self.head, min(self.head + n, self.tail)):
            del self.pairs[view]
            self.head += 1

    def found(self, pair: int) -> list[int]:
        """Views of ``pair``, newest first, as the chains have them."""
        found, view = [], newest_of(self.views, np.uint64(pair), self.head, self.tail)
        while view >= 0:
            found.append(view)
            view = next_older(self.views, view, self.head)
        return found

    def check(self) -> None:
        for pair in range(PAIRS):
            assert self.found(pair) == sorted((view for view, one in self.pairs.items() if one == pair), reverse=True)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.lists(st.integers(0, PAIRS - 1), max_size=50)),
        st.tuples(st.just("settle"), st.integers(0, CAPACITY)),
        st.tuples(st.just("pass"), st.integers(-3, 3)),
    ),
    max_size=12,
)


@checks(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps, st.sampled_from([0, 7, (1 << 32) - 20, (5 << 32) + 3]))
def test_views_are_found_by_their_pair(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[str, int | list[int]]], start: int
) -> None:
    """Also where buckets name views that were settled 2^32 views ago, whose numbers mean younger ones."""
    chains = Chains(start, monkeypatch)
    for step, what in steps:
        if isinstance(what, list):
            for pair in what:
                chains.open(pair)
        elif step == "settle":
            chains.settle(what)
        else:
            chains.settle(CAPACITY)
            chains.head = chains.tail = chains.tail + (1 << 32) + what
        chains.check()
    chains.views.buckets[:], chains.views.spread[0] = 0, 1
    relink(chains.views, chains.head, chains.head, chains.tail)
    chains.check()


def test_buckets_grow_with_the_open_views_and_not_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    chains = Chains(0, monkeypatch)
    spread = []
    for n in range(3 * CAPACITY):
        chains.open(n % PAIRS)
        spread.append(int(chains.views.spread[0]))
    assert spread[:9] == [1, 1, 2, 2, 4, 4, 4, 4, 8]
    assert spread[-1] == len(chains.views.buckets) == CAPACITY // shard_views.LOAD


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_views, "SEGMENT", SMALL_SEGMENT)
    monkeypatch.setattr(shard_views, "SEGMENT_ID_BYTES", 16 * SMALL_SEGMENT)


@pytest.mark.usefixtures("small_segments")
@checks(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1_500), st.integers(0, 3_000), st.integers(0, 40)), max_size=25))
def test_open_views_keep_what_was_written_and_settled_ones_their_disk_for_a_segment_at_most(
    steps: list[tuple[int, int, int]],
) -> None:
    """Steps: views to append, views to settle before, bytes of each one's id."""
    capacity = 4 * SMALL_SEGMENT
    file, opened, tail, ids_tail = ViewsFile(capacity, None), deque[tuple[int, int]](), 0, 0
    for n, settled, id_bytes in steps:
        for _ in range(min(len(opened), max(settled, len(opened) + n - capacity))):
            opened.popleft()
        head, ids_head = opened[0] if opened else (tail, ids_tail)
        file.claim(head, tail + n, ids_head, ids_tail + n * id_bytes)
        file.rest()
        assert file.views.claimed[0] >= tail + n and file.views.claimed[1] >= ids_tail + n * id_bytes
        for view in range(tail, tail + n):
            at = view % capacity
            file.views.hot["offset"][at] = file.views.cold["user_key"][at] = file.views.overlay["revision"][at] = view
            file.views.cold["ids_at"][at] = ids_tail
            file.views.ids[np.arange(ids_tail, ids_tail + id_bytes) % len(file.views.ids)] = view % 251
            opened.append((view, ids_tail))
            ids_tail += id_bytes
        tail += n
        open_views = np.array([view for view, _ in opened], np.int64)
        for part, field in (("hot", "offset"), ("cold", "user_key"), ("overlay", "revision")):
            assert np.array_equal(getattr(file.views, part)[field][open_views % capacity], open_views)
        ends = [*(at for _, at in opened), ids_tail][1:]
        for (view, begin), end in zip(opened, ends, strict=True):
            assert (file.views.ids[np.arange(begin, end) % len(file.views.ids)] == view % 251).all()
        held = sum(ring._last - ring._first for ring in file._rings)
        assert held <= 3 * (len(opened) + 2 * SMALL_SEGMENT)
        row_bytes = sum(ring._size for ring in file._rings)
        most = row_bytes * (len(opened) + 2 * SMALL_SEGMENT) + (ids_tail - (opened[0][1] if opened else ids_tail))
        descriptor = file._ids._file._descriptor
        assert os.fstat(descriptor).st_blocks * 512 <= most + 2 * 16 * SMALL_SEGMENT + (1 << 16)


@pytest.mark.usefixtures("small_segments")
def test_where_the_oldest_view_is_not_the_first_none_before_it_gets_disk() -> None:
    file = ViewsFile(8 * SMALL_SEGMENT, None)
    file.claim(6 * SMALL_SEGMENT + 5, 7 * SMALL_SEGMENT, 0, 0)
    row_bytes = sum(ring._size for ring in file._rings)
    assert os.fstat(file._ids._file._descriptor).st_blocks * 512 <= row_bytes * SMALL_SEGMENT + (1 << 16)


LABELS = {"window_s": 120, "max_open_views": 1 << 13}
HISTORY = [
    event(n, "purchase" if n % 13 == 12 else "view", at_s=0.01 * n + 300 * (n // 15_000), user=f"user-{n * n % 97}")
    for n in range(32_000)
]
"""More open views at once than a shard is allowed, many times as many as a small segment has, and a gap."""


def test_rows_do_not_depend_on_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small_settings(labels=LABELS)
    whole = run(Shard(settings, 0), records(HISTORY))
    monkeypatch.setattr(shard_views, "SEGMENT", SMALL_SEGMENT)
    monkeypatch.setattr(shard_views, "SEGMENT_ID_BYTES", 16 * SMALL_SEGMENT)
    shard = Shard(settings, 0)
    cut = run(shard, records(HISTORY), cuts=[100, 9_000, 20_000])
    assert sum(one.counts.settled_early for one in whole) == sum(one.counts.settled_early for one in cut) > 0
    assert weights(cut).equals(weights(whole)) and samples(cut).equals(samples(whole))
    assert shard._learned._views_file._rings[0]._first > 2 * LABELS["max_open_views"]


def test_a_disk_that_fills_up_while_views_are_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed = 0

    def allocate(_descriptor: int, _begin: int, size: int) -> None:
        nonlocal claimed
        claimed += size
        if claimed > 20 * SMALL_SEGMENT * shard_views.HOT.itemsize:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(shard_views, "SEGMENT", SMALL_SEGMENT)
    shard = Shard(small_settings(labels=LABELS), 0, scratch=tmp_path)
    monkeypatch.setattr(scratch.os, "posix_fallocate", allocate)
    with pytest.raises(UnreachableError, match=f"{tmp_path}: No space left"):
        run(shard, records(HISTORY[:8_000]))
