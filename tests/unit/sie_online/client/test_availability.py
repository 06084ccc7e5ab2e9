"""When brokers count as away, what is told of it, and when it ends the process."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from sie_online.client.availability import AWAY_AFTER_S, TELL_EVERY_S, Availability
from sie_online.errors import UnreachableError

SettingsFactory = Callable[..., Any]


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _availability(settings: SettingsFactory, clock: Clock, limit_s: float = 0.0) -> Availability:
    return Availability(settings(broker="kafka:1", kafka={"outage_limit_s": limit_s}), clock, clock)


def _outage(availability: Availability, clock: Clock, seconds: int) -> None:
    for _ in range(seconds):
        clock.now += 1
        availability.failed(ConnectionRefusedError("refused"))


def test_a_slow_answer_is_no_outage(settings: SettingsFactory, clock: Clock) -> None:
    availability = _availability(settings, clock)
    _outage(availability, clock, int(AWAY_AFTER_S))
    assert not availability.away
    assert availability.reason == ""


def test_silence_alone_is_no_outage_as_long_as_no_question_failed(settings: SettingsFactory, clock: Clock) -> None:
    availability = _availability(settings, clock)
    clock.now += 3_600  # a process that was suspended has asked nothing
    assert not availability.away


def test_an_outage_is_told_within_15_s_and_says_since_when(settings: SettingsFactory, clock: Clock) -> None:
    availability = _availability(settings, clock)
    _outage(availability, clock, 15)
    assert availability.away
    assert availability.last_answer == 100.0
    assert availability.reason == "broker kafka:1 has not answered since 1970-01-01T00:01:40Z: refused"


def test_an_answer_ends_the_outage(settings: SettingsFactory, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    availability = _availability(settings, clock)
    _outage(availability, clock, 120)
    availability.answered()
    assert not availability.away
    assert availability.last_answer == clock.now
    assert caplog.records[-1].getMessage() == "broker answers again"
    assert vars(caplog.records[-1])["after_s"] == 120


def test_an_outage_is_one_line_a_minute(
    settings: SettingsFactory, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    _outage(_availability(settings, clock), clock, 600)
    assert len(caplog.records) == 600 // int(TELL_EVERY_S)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_it_is_waited_for_ever_unless_told_otherwise(settings: SettingsFactory, clock: Clock) -> None:
    availability = _availability(settings, clock)
    _outage(availability, clock, 100_000)
    assert availability.away


def test_past_its_limit_an_outage_ends_the_process_with_3(settings: SettingsFactory, clock: Clock) -> None:
    availability = _availability(settings, clock, limit_s=300)
    clock.now += 10_000  # of this it knows nothing: nothing was asked
    with pytest.raises(UnreachableError, match=r"longer than kafka\.outage_limit_s = 300 s") as end:
        _outage(availability, clock, 302)
    assert end.value.exit_code == 3
    assert clock.now == pytest.approx(10_402)
