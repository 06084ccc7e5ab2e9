"""Six numbers a partition tell which rows may be in the table already, whatever owners of a shard come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.contracts import INT64_MAX
from streams.lake.marks import UNKNOWN_SETTINGS, Mark, Said, said, settings_number
from streams.lake.port import ALL, Flush
from streams.lake.rivals import losers
from streams.lake.waiting import Limits, WaitingRows
from tests.support.lakes import Said as Message
from tests.support.lakes import expected, message, row


def _columns(*values: int) -> list[Any]:
    return [np.array(values, np.int64)] * 3


class MemoryTable:
    """A table that adds what is not doubtful without looking, as the real ones do."""

    def __init__(self) -> None:
        self.rows: Any = None
        self.marks: dict[int, Mark] = {}
        self.looked_at = 0

    def commit(self, flush: Flush) -> None:
        rows = flush.table
        if flush.doubtful and self.rows is not None:
            self.looked_at += len(rows)
            lost = losers(self.rows, rows)
            self.rows, rows = self.rows.filter(~lost.there), rows.filter(~lost.new)
        parts = [self.rows, rows] if self.rows is not None else [rows]
        self.rows = pa.concat_tables(parts)
        self.marks |= flush.marks

    def found(self) -> list[Any]:
        names = ["partition", "offset", "revision", "generation", "weight"]
        return sorted(tuple(one.values()) for one in self.rows.select(names).to_pylist())


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    """What several owners of one partition say, each beginning anywhere in what was said before, all interleaved.

    A shard says statement after statement: revision 0 of one event, or a later revision of an earlier one.
    """
    n = draw(st.integers(4, 20))
    plan: list[tuple[int, int, int]] = []  # offset, revision, and when it became known
    revisions: dict[int, int] = {}
    offset = 0
    for at in range(n):
        if revisions and draw(st.booleans()):
            of = draw(st.sampled_from(sorted(revisions)))
            revisions[of] += 1
            plan.append((of, revisions[of], 1_000 + at))
        else:
            known = 1_000 + at + draw(st.integers(-3, 3))  # an event's own time may lie behind or ahead
            plan.append((offset, 0, known))
            revisions[offset] = 0
            offset += draw(st.integers(1, 2))
    lanes, extent = [], 0
    for generation in range(1, draw(st.integers(2, 4)) + 1):
        begin = draw(st.integers(0, extent))
        end = draw(st.integers(begin, n))
        extent = max(extent, end)
        lanes.append([(generation, each) for each in plan[begin:end]])
    merged: list[tuple[int, tuple[int, int, int]]] = []
    while any(lanes):
        lane = draw(st.sampled_from([lane for lane in lanes if lane]))
        merged += [lane.pop(0) for _ in range(min(len(lane), draw(st.integers(1, 5))))]
    return [
        message(at, row(of, generation=generation, revision=revision, published_ms=known, event_time_ms=of))
        for at, (generation, (of, revision, known)) in enumerate(merged)
    ]


@settings(max_examples=40)
@given(histories(), st.integers(1, 5))
def test_every_identity_is_there_once_under_its_highest_generation(history: Sequence[Message], per_commit: int) -> None:
    table = MemoryTable()
    for first in range(0, len(history), per_commit):
        waiting = WaitingRows("weights", ALL, table.marks, Limits())  # all that a sink knows is in the table
        for each in history[first : first + per_commit]:
            waiting.add(0, each.offset, each.batch, 0)
        flush = waiting.take()
        assert flush is not None
        table.commit(flush)
    assert (table.found() if history else []) == expected(history)


def test_a_topic_of_one_owner_is_never_looked_for() -> None:
    table, waiting = MemoryTable(), WaitingRows("weights", ALL, {}, Limits())
    for at in range(20):
        waiting.add(0, at, message(at, row(at), row(max(0, at - 5), revision=at)).batch, 0)
        if flush := waiting.take():
            table.commit(flush)
    assert table.looked_at == 0


def test_doubt_ends_where_the_former_owner_ended() -> None:
    mark = Mark().heard(Said(1, 100, 1_000)).heard(Said(2, 90, 900))
    assert mark.doubts(np.array([2]), np.array([90]), np.array([900]))
    assert not mark.doubts(np.array([2]), np.array([101]), np.array([900]))
    assert not mark.doubts(np.array([2]), np.array([3]), np.array([1_001]))
    assert mark.doubts(np.array([1]), np.array([101]), np.array([1_001]))  # a zombie's


def test_under_other_settings_a_time_proves_nothing() -> None:
    before = Mark().heard(Said(1, 100, 1_000), settings=7)
    assert before.heard(Said(2, 1, 1), settings=7).others_ms == 1_000
    assert before.heard(Said(2, 1, 1), settings=8).others_ms == INT64_MAX
    assert before.heard(Said(2, 1, 1)).others_ms == 1_000  # no fingerprint was sent


def test_each_generation_is_heard_with_its_own_highest() -> None:
    generation, offset = np.array([2, 1, 2]), np.array([5, 9, 7])
    assert list(said(generation, offset, offset * 10)) == [Said(1, 9, 90), Said(2, 7, 70)]
    assert list(said(*_columns())) == []


@pytest.mark.parametrize(("text", "number"), [(b"0123456789abcdef01", 0x0123456789ABCDE), (b"no hex", 0), (None, 0)])
def test_a_fingerprint_becomes_a_number_or_none(text: bytes | None, number: int) -> None:
    assert settings_number(text) == number
    assert settings_number(b"") == UNKNOWN_SETTINGS
