"""The clock follows the stream: no single clock in it moves it, and a real gap is crossed at once by a few users."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sie_online.contracts import HEARTBEAT_CODE
from sie_online.ingest.events import EVENT
from sie_online.settings import load
from sie_online.shard.clock import (
    RECENT_EVENTS,
    WITNESSES,
    belief_of,
    end_ms,
    follow,
    hear,
    heard_ms,
    is_known,
    new_clock,
    now_ms,
    waits_from,
)

HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_700_000_000_000
BELIEF = belief_of(load())  # a day's window: a quarter of it, and ten minutes


class Told(NamedTuple):
    """A claim of ``user``; user 0 is a heartbeat."""

    at_ms: int
    user: int


class ClockScene:
    """A clock and what it has been told."""

    def __init__(self) -> None:
        self.clock = new_clock()
        self.events = 0

    def tell(self, *told: Told) -> list[int]:
        """When each of them counts, ms since ``T0``."""
        events = np.zeros(len(told), EVENT)
        events["time_ms"] = [T0 + at for at, _ in told]
        events["user_key"] = [user for _, user in told]
        events["etype"] = [0 if user else HEARTBEAT_CODE for _, user in told]
        self.events = follow(BELIEF, self.clock[0], events, np.zeros(len(told), np.int64), self.events)
        return [int(at) - T0 for at in events["now_ms"]]

    @property
    def now(self) -> int:
        """ms since ``T0``."""
        return int(now_ms(self.clock[0])) - T0


def _known() -> ClockScene:
    stream = ClockScene()
    stream.tell(*(Told(second * 1000, second + 1) for second in range(WITNESSES)))
    return stream


def test_an_event_on_time_moves_the_clock_at_once_however_early_the_others_were() -> None:
    stream = _known()
    for at in (HOUR, 2 * HOUR, 7 * HOUR):
        assert stream.tell(Told(at, 50 + at)) == [at]
        assert stream.now == at


steps = st.lists(st.tuples(st.integers(1, 30), st.integers(-60_000, 600_000)), min_size=40, max_size=120)


@given(steps, st.lists(st.tuples(st.integers(0, 120), st.integers(7 * HOUR, 400 * DAY)), max_size=40))
def test_two_phones_that_are_ahead_move_nobody(steps: list[tuple[int, int]], wrong: list[tuple[int, int]]) -> None:
    """Users 100 and 101 say what they like, as often as they like, wherever in the stream."""
    at, told = 0, [Told(0, 40), Told(0, 41), Told(0, 42)]
    for user, step in steps:
        at = max(0, at + step)
        told.append(Told(at, user))
    right = ClockScene()
    counted = right.tell(*told)
    assert counted == [at for at, _ in told]
    polluted = ClockScene()
    for where, one in enumerate(told):
        for n, (place, ahead) in enumerate(wrong):
            if place == where:
                polluted.tell(Told(one.at_ms + ahead, 100 + n % 2))
        assert polluted.tell(one) == [one.at_ms]
    assert polluted.now == right.now


def test_phones_that_are_each_a_little_further_ahead_do_not_lead_the_clock_on() -> None:
    stream = _known()
    for n in range(200):
        stream.tell(Told(n * 5 * HOUR, 100 + n), *(Told(n * 1_000 + k, 10 + k) for k in range(WITNESSES)))
    assert stream.now <= 6 * HOUR + DAY // 4


def test_a_real_gap_is_crossed_by_three_users() -> None:
    stream = _known()
    back = 3 * DAY
    assert stream.tell(Told(back, 1), Told(back + 5_000, 1), Told(back + 9_000, 2)) == [2_000] * 3
    assert stream.now == 2_000
    assert stream.tell(Told(back + 8_000, 3)) == [back + 8_000]
    assert stream.now == back + 9_000
    assert stream.tell(Told(back + 10_000, 1)) == [back + 10_000]


def test_a_wrong_first_row_is_forgotten_when_three_users_have_spoken() -> None:
    stream = ClockScene()
    stream.tell(Told(40 * DAY, 9), Told(0, 1))
    assert not is_known(stream.clock[0])
    stream.tell(Told(1_000, 2))
    assert stream.now == 1_000


def test_the_end_of_a_stream_is_what_its_last_users_say_within_reason() -> None:
    stream = _known()
    stream.tell(Told(5 * HOUR, 1), Told(10 * HOUR, 2))
    assert stream.now == 5 * HOUR
    assert end_ms(BELIEF, stream.clock[0]) - T0 == 10 * HOUR
    stream.tell(Told(40 * DAY, 2))
    assert end_ms(BELIEF, stream.clock[0]) - T0 == 5 * HOUR


def test_a_stream_of_one_user_has_a_clock_too() -> None:
    stream = ClockScene()
    stream.tell(*(Told(n * DAY, 1) for n in range(RECENT_EVENTS - 1)))
    assert not is_known(stream.clock[0])
    stream.tell(Told(RECENT_EVENTS * DAY, 1))
    assert stream.now == RECENT_EVENTS * DAY
    stream.tell(Told(2 * RECENT_EVENTS * DAY, 1))
    assert stream.now == 2 * RECENT_EVENTS * DAY


def test_a_heartbeat_is_believed_and_so_is_what_follows_closely() -> None:
    stream = ClockScene()
    stream.tell(Told(0, 1), Told(5 * DAY, 0))
    assert stream.now == 5 * DAY
    assert stream.tell(Told(5 * DAY + 60_000, 1)) == [5 * DAY + 60_000]
    stream.tell(Told(5 * DAY + HOUR, 1))
    assert stream.now == 5 * DAY + 60_000


def test_late_events_count_at_their_own_time_unless_they_are_hours_late() -> None:
    stream = ClockScene()
    stream.tell(*(Told(10 * DAY, user) for user in (1, 2, 3)))
    assert stream.tell(Told(10 * DAY - 5 * HOUR, 4)) == [10 * DAY - 5 * HOUR]
    assert stream.tell(Told(0, 5)) == [10 * DAY]
    assert stream.now == 10 * DAY


@given(st.lists(st.tuples(st.integers(0, 60 * DAY), st.integers(0, 5)), max_size=60))
def test_taking_an_event_in_twice_is_taking_it_in_once(told: list[tuple[int, int]]) -> None:
    """The event loop does so when it is resumed at an event."""
    stream = ClockScene()
    for at, user in told:
        stream.tell(Told(at, user))
        if user:
            before = stream.clock.copy()
            hear(BELIEF, stream.clock[0], T0 + at, np.uint64(user), stream.events)
            assert stream.clock.tobytes() == before.tobytes()


def _patience(clock: Any, at: int, heard: int) -> int:
    return int(waits_from(clock, T0 + at, T0 + heard, DAY)) - T0


def test_a_view_waits_from_its_own_time_or_from_when_it_was_heard() -> None:
    stream = _known()
    clock = stream.clock[0]
    assert heard_ms(clock, T0 + 1_000, T0 + 1_000, DAY) == T0 + 1_000
    assert heard_ms(clock, T0 + 40 * DAY, T0 + 2_000, DAY) == T0 + 2_000
    assert _patience(clock, 40 * DAY, 2_000) == 2_000
    stream.tell(Told(5 * DAY, 0))
    assert heard_ms(clock, T0 + 1_000, T0 + 1_000, DAY) == T0 + 5 * DAY, "its window was over when it came"


def test_the_first_views_after_a_gap_wait_for_their_own_window_to_end() -> None:
    stream = _known()
    back = 3 * DAY
    stream.tell(Told(back, 1), Told(back + 7 * HOUR, 2))
    assert _patience(stream.clock[0], back, 2_000) == 2_000
    stream.tell(Told(back + 8 * HOUR, 3))
    assert stream.now == back, "the earliest of the three"
    assert _patience(stream.clock[0], back, 2_000) == back
    assert _patience(stream.clock[0], back + 7 * HOUR, 2_000) == back, "not proven yet, but not wrong either"
    assert _patience(stream.clock[0], back + 40 * DAY, 2_000) == 2_000
