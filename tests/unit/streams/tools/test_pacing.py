"""Paces: what may be asked for, and that records leave neither early nor in one lump."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from sie_online.errors import UsageError
from streams.tools.heartbeat import Silence
from streams.tools.pacing import Pacer, ReplayRate


def chunk(times_ms: list[int]) -> NDArray[np.int64]:
    return np.array(times_ms, np.int64)


def departures(rate: ReplayRate, *chunks: NDArray[np.int64]) -> list[float]:
    """Seconds after the start at which each record leaves."""

    async def run() -> list[float]:
        pacer, begin, left = Pacer(rate), time.monotonic(), []
        for times_ms in chunks:
            async for rows in pacer.slices(times_ms):
                left += [time.monotonic() - begin] * len(times_ms[rows])
        return left

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("max", ReplayRate()),
        ("MAX", ReplayRate()),
        ("2500", ReplayRate(events_per_s=2500)),
        ("0.5", ReplayRate(events_per_s=0.5)),
        ("realtime", ReplayRate(speedup=1)),
        ("realtime×60", ReplayRate(speedup=60)),
        ("realtimex1.5", ReplayRate(speedup=1.5)),
    ],
)
def test_every_documented_rate_is_understood(text: str, rate: ReplayRate) -> None:
    assert ReplayRate.parse(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "0", "-3", "nan", "inf", "realtime×", "realtimex0", "60×realtime"])
def test_any_other_rate_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(UsageError, match="realtime×N"):
        ReplayRate.parse(text)


def test_a_rate_holds_across_chunks() -> None:
    left = departures(ReplayRate(events_per_s=1_000), chunk([0] * 150), chunk([0] * 150))
    assert len(left) == 300
    assert all(at >= i / 1_000 - 0.06 for i, at in enumerate(left))
    assert left[-1] >= 0.24


def test_event_time_sets_the_pace_and_a_step_back_costs_no_time() -> None:
    left = departures(ReplayRate(speedup=10), chunk([5_000, 6_000, 5_500]), chunk([5_200, 8_000]))
    assert left[1] >= 0.1
    assert left[4] >= 0.3
    assert left[3] < left[4] - 0.1


def test_full_speed_waits_for_nothing_and_keeps_everything() -> None:
    left = departures(ReplayRate(), chunk(list(range(0, 10**9, 10**5))))
    assert len(left) == 10_000
    assert left[-1] < 5


def test_a_partition_is_silent_only_after_the_whole_time_without_growth() -> None:
    silence = Silence(10)
    assert silence.observe({0: 5, 1: 7}, now=100) == []
    assert silence.observe({0: 5, 1: 8}, now=109) == []
    assert silence.observe({0: 5, 1: 8}, now=110) == [0]
    assert silence.observe({0: 6, 1: 8}, now=111) == []  # its heartbeat
    assert silence.observe({0: 6, 1: 8}, now=119) == [1]
    assert silence.observe({0: 6, 1: 9}, now=121) == [0]
