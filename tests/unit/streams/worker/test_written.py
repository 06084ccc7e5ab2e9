"""How long ago the next record was written, without asking for it."""

from __future__ import annotations

import pytest

from streams.worker.written import MOST_ENDS, WrittenTimes


@pytest.fixture
def written() -> WrittenTimes:
    """A log that ended at 100 until time 40, and grew by ten records every two seconds from there."""
    times = WrittenTimes()
    for at_s in range(10, 42, 2):
        times.saw_end(0, 100, float(at_s))
    for step in range(1, 6):
        times.saw_end(0, 100 + 10 * step, 40.0 + 2 * step)
    return times


def test_a_record_was_written_after_the_log_was_last_seen_to_end_before_it(written: WrittenTimes) -> None:
    asked = [written.of(0, offset, reached_s=0.0) for offset in (100, 109, 110, 125, 149, 150)]
    assert asked == [40.0, 40.0, 42.0, 44.0, 48.0, 50.0]


def test_a_log_that_was_idle_for_long_is_not_late_with_its_next_record(written: WrittenTimes) -> None:
    assert written.of(0, 100, reached_s=3.0) == 40.0, "the record before it is 37 s older"


def test_the_records_own_time_counts_where_it_is_later(written: WrittenTimes) -> None:
    assert written.of(0, 105, reached_s=41.5) == 41.5


def test_of_a_backlog_older_than_the_worker_the_records_tell() -> None:
    times = WrittenTimes()
    times.saw_end(0, 1_000, 500.0)
    assert times.of(0, 10, reached_s=120.0) == 120.0


def test_a_backlog_of_which_nothing_is_known_ages_from_when_it_was_seen() -> None:
    times = WrittenTimes()
    for at_s in (500.0, 502.0, 504.0):
        times.saw_end(0, 1_000, at_s)
    assert times.of(0, 10, reached_s=0.0) == 500.0


def test_what_is_remembered_is_bounded() -> None:
    times = WrittenTimes()
    for step in range(3 * MOST_ENDS):
        times.saw_end(0, step, float(step))
    assert times.of(0, 0, reached_s=7.0) == 7.0
    assert times.of(0, 3 * MOST_ENDS - 2, reached_s=7.0) == 3 * MOST_ENDS - 2


def test_partitions_that_are_gone_are_forgotten(written: WrittenTimes) -> None:
    written.keep({1})
    written.saw_end(0, 150, 99.0)
    assert written.of(0, 100, reached_s=0.0) == 99.0
