"""What waits for a commit is bounded by rows, bytes and time, and the marks are those of what was read."""

from __future__ import annotations

from streams.lake.port import ALL, FINAL
from streams.lake.waiting import EMPTY_EVERY_S, Limits, WaitingRows
from tests.support.lakes import message, numbers, row


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def _waiting(limits: Limits, kept: str = FINAL) -> tuple[WaitingRows, Clock]:
    clock = Clock()
    return WaitingRows("weights", kept, {}, limits, clock), clock


def test_it_is_due_after_so_many_rows_or_bytes() -> None:
    waiting, _ = _waiting(Limits(rows=3))
    waiting.add(0, 0, message(0, row(0), row(1)).batch, 0)
    assert waiting.due_s > 0
    waiting.add(0, 1, message(1, row(2)).batch, 0)
    assert waiting.due_s <= 0
    waiting, _ = _waiting(Limits(n_bytes=10))
    waiting.add(0, 0, message(0, row(0)).batch, 0)
    assert waiting.due_s <= 0


def test_it_is_due_so_long_after_its_first_row() -> None:
    waiting, clock = _waiting(Limits(every_s=60))
    clock.now += 1_000
    waiting.add(0, 0, message(0, row(0)).batch, 0)
    clock.now += 59
    assert waiting.due_s == 1
    waiting.take()
    assert waiting.due_s == EMPTY_EVERY_S


def test_what_is_taken_waits_no_more() -> None:
    waiting, _ = _waiting(Limits())
    waiting.add(0, 0, message(0, row(0), row(1, final=False)).batch, 0)
    waiting.pass_over(1, 7)
    flush = waiting.take()
    assert flush is not None
    assert (flush.table["offset"].to_pylist(), numbers(flush.marks)) == ([0], {0: 1, 1: 8})
    assert (waiting.take(), waiting.rows, waiting.n_bytes) == (None, 0, 0)


def test_a_flush_has_each_identity_once_even_if_it_came_twice_meanwhile() -> None:
    waiting, _ = _waiting(Limits(), ALL)
    waiting.add(0, 0, message(0, row(1), row(0)).batch, 0)
    waiting.add(0, 1, message(1, row(1, generation=2), row(2, generation=2)).batch, 0)
    flush = waiting.take()
    assert flush is not None
    assert flush.table["offset"].to_pylist() == [0, 1, 2]
    assert flush.table["generation"].to_pylist() == [1, 2, 2]
    assert flush.doubtful


def test_rows_of_another_partition_than_their_message_are_always_looked_for() -> None:
    waiting, _ = _waiting(Limits())
    waiting.add(1, 0, message(0, row(0)).batch, 0)
    flush = waiting.take()
    assert flush is not None
    assert flush.doubtful
