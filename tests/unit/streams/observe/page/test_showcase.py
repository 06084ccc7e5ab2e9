"""What the page sees of published statements."""

from __future__ import annotations

import random

import pytest

from sie_online.unpacking import FramedRows
from streams.observe.page.showcase import EXAMPLE_S, LOOK_ROWS, RENEW_S, WAITING_ROWS, Showcase
from tests.support.rows import weight_batch, weight_row

AT = 1_000.0


def output(*offsets: int, **values: object) -> FramedRows:
    """One output with a statement for each of ``offsets``."""
    return FramedRows.of(weight_batch(*(weight_row(offset, **values) for offset in offsets)))


def counted(n: int) -> FramedRows:
    """An output that says it has ``n`` rows."""
    return FramedRows((), n, weight_batch())


def test_on_a_quiet_stream_every_statement_is_read() -> None:
    showcase = Showcase(ids=True)
    for second in range(11):
        for offset in range(5):
            showcase.offer(output(offset, weight=0.1, f_noise=-2.0))
        showcase.read(showcase.taken(), AT + second)
    assert showcase.shown.read_share == 1.0
    assert showcase.shown.users[0].events == 11 * 5


@pytest.mark.parametrize("rows", [100, 1_000, 8_192])
def test_on_a_busy_stream_a_share_is_read_that_does_not_grow_with_it(rows: int) -> None:
    showcase = Showcase(ids=True, lots=random.Random(0))
    read, one = [], counted(rows)
    for _ in range(400):
        for _ in range(max(1, 60_000 // rows)):
            showcase.offer(one)
        read.append(sum(taken.n for taken in showcase.taken()))
    assert max(read) < WAITING_ROWS + rows
    assert sum(read[1:]) / len(read[1:]) == pytest.approx(LOOK_ROWS, rel=0.35)


def test_an_example_stands_long_enough_to_be_read_and_is_a_first_statement() -> None:
    showcase = Showcase(ids=True)
    showcase.read([output(1), output(2, revision=3)], AT)
    assert showcase.shown.example is not None
    assert showcase.shown.example.offset == 2  # there is none of revision 0 in the newest output
    showcase.read([FramedRows.of(weight_batch(weight_row(5), weight_row(6, revision=1)))], AT + RENEW_S)
    assert showcase.shown.example.offset == 2
    showcase.read([FramedRows.of(weight_batch(weight_row(5), weight_row(6, revision=1)))], AT + EXAMPLE_S)
    assert showcase.shown.example.offset == 5


def test_where_ids_are_not_to_be_shown_none_leaves_here() -> None:
    showcase = Showcase(ids=False)
    showcase.read([output(1, 2, weight=0.1, user_id="u-secret", item_id="i-secret", event_id="e-secret")], AT)
    shown = showcase.shown
    assert "secret" not in repr(shown)
    assert (shown.ids, shown.users[0].events, shown.example is not None) == (False, 2, True)


def test_before_anything_was_published_there_is_nothing_to_show() -> None:
    showcase = Showcase(ids=True)
    showcase.offer(counted(0))
    assert showcase.taken() == []
    assert (showcase.shown.users, showcase.shown.example, showcase.shown.read_share) == ([], None, None)
