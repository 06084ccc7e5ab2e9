"""The sentence that a person on call reads first."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.observe.page.state import WorkerFacts, lasting, time_of_day, worker_state

NOW = 1_795_716_900.0  # 2026-11-26T18:15:00Z
READY = {"assigned": True, "recovered": True, "agents_running": True}


def sentence(**facts: Any) -> str:
    told = worker_state(
        WorkerFacts(**({"now": NOW, "broker": "kafka-1:9092", "checks": READY, "partitions": 4} | facts))
    )
    return f"{told.name}/{told.tone}: {told.sentence}"


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"of_topic": 4, "lag": 900, "lag_s": 2.4}, "working/good: Working: 4 of 4 partitions, 2 s behind."),
        ({"of_topic": 8, "lag": 0}, "working/good: Working: 4 of 8 partitions, caught up."),
        ({"lag": 3, "lag_s": 0.4}, "working/good: Working: 4 partitions, caught up."),
        ({"partitions": 1, "lag": 3, "lag_s": None}, "working/good: Working: 1 partition, 3 records behind."),
        ({"lag": 100, "rate": 20.0}, "working/good: Working: 4 partitions, 5 s behind."),
        ({"lag": None}, "working/good: Working: 4 partitions; how far behind is not known yet."),
        (
            {"lag": 12_000, "lag_s": 180.0, "lag_before": 18_000},
            "catching_up/busy: Catching up: 4 partitions, 3 min behind (12,000 records), about 2 min to go.",
        ),
        (
            {"lag": 12_000, "lag_s": 180.0, "lag_before": 6_000},
            "falling_behind/bad: Falling behind: 4 partitions, 3 min behind (12,000 records), and it grows.",
        ),
        (
            {"lag": 12_000, "lag_s": 180.0, "lag_before": None},
            "behind/busy: Behind: 4 partitions, 3 min behind (12,000 records).",
        ),
        ({"lag": 0, "quiet_since": NOW - 3_300}, "idle/good: Nothing to do: no events since 17:20 UTC."),
        ({"lag": 0, "quiet_since": NOW - 59}, "working/good: Working: 4 partitions, caught up."),
        ({"lag": 5, "lag_s": 9.0, "quiet_since": NOW - 3_300}, "working/good: Working: 4 partitions, 9 s behind."),
        (
            {"broker_up": False, "last_answer": NOW - 725, "starting": "broker away", "alive": False},
            "outage/bad: The broker kafka-1:9092 has not answered since 18:02 UTC (12 min).",
        ),
        (
            {"broker": "a:1,b:2", "broker_up": False, "last_answer": NOW - 90_000},
            "outage/bad: None of the brokers a:1, b:2 has answered since 2026-11-25 17:15 UTC (25 h).",
        ),
        (
            {"starting": "compiling kernels (50 of at most 250)", "checks": {"assigned": False}},
            "starting/busy: Compiling kernels (50 of at most 250).",
        ),
        (
            {"alive": False, "stalled_s": 75.0},
            "stuck/bad: Stuck: records wait, and none has been processed for 75 s.",
        ),
        (
            {"checks": READY | {"assigned": False, "recovered": False}},
            "unassigned/busy: Waiting for the group to assign partitions.",
        ),
        ({"checks": READY | {"recovered": False}}, "recovering/busy: Recovering its partitions."),
        (
            {"checks": READY | {"recovered": False}, "assigned": 4, "partitions": 1},
            "recovering/busy: Recovering: 1 of 4 partitions are back.",
        ),
        (
            {"checks": READY | {"agents_running": False}},
            "unready/busy: Not ready yet: batches are not being taken.",
        ),
        ({"partitions": 0}, "standby/good: Standing by: the other workers have all partitions."),
    ],
)
def test_the_worker_says_how_it_is(facts: dict[str, Any], expected: str) -> None:
    assert sentence(**facts) == expected


def test_in_an_outage_nothing_is_lost_and_that_is_said() -> None:
    told = worker_state(WorkerFacts(now=NOW, broker="kafka-1:9092", broker_up=False, last_answer=NOW - 60))
    assert told.advice.startswith("Nothing is lost; it goes on by itself")


@given(
    now=st.floats(1e9, 4e9),
    lag=st.none() | st.integers(0, 10**12),
    lag_s=st.none() | st.floats(0, 1e9),
    lag_before=st.none() | st.integers(0, 10**12),
    rate=st.none() | st.floats(0, 1e7),
    partitions=st.integers(0, 4096),
    broker_up=st.booleans(),
)
def test_whatever_is_known_it_is_one_sentence(**facts: Any) -> None:
    told = worker_state(WorkerFacts(broker="b:1", last_answer=facts["now"], checks=READY, quiet_since=0.0, **facts))
    assert told.sentence[0].isupper()
    assert told.sentence.endswith(".")
    assert "None" not in told.sentence.removeprefix("None of the brokers")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1.0, "0 s"),
        (0.4, "0 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (7_199.0, "119 min"),
        (7_200.0, "2 h"),
        (2e5, "2 d"),
    ],
)
def test_spans_are_whole_numbers_of_the_unit_that_suits_them(seconds: float, text: str) -> None:
    assert lasting(seconds) == text


def test_another_day_is_named() -> None:
    assert time_of_day(NOW - 60, NOW) == "18:14"
    assert time_of_day(NOW - 86_400, NOW) == "2026-11-25 18:15"
