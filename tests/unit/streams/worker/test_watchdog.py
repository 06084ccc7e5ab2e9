"""The watchdog's verdicts; the thread itself is covered by the worker's tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sie_online.client.availability import Availability
from sie_online.settings import Watchdog as Limits
from streams.worker.watchdog import Vitals, WatchdogThread, verdict

LIMITS = Limits(progress_s=10, checkpoint_s=20, restore_s=30, shutdown_s=5)


@pytest.fixture
def vitals() -> Vitals:
    vitals = Vitals(now=100.0, awake=100.0)
    vitals.owned(0)
    return vitals


def test_an_idle_shard_without_lag_may_idle_for_ever(vitals: Vitals) -> None:
    vitals.lags(0, 0)
    vitals.now += 1e6
    assert verdict(vitals, LIMITS) is None


def test_lag_without_progress_ends_the_worker(vitals: Vitals) -> None:
    vitals.lags(0, 7)
    vitals.now += 11
    assert "partition 0: 7 records wait" in (verdict(vitals, LIMITS) or "")


def test_the_time_without_progress_counts_from_when_the_lag_was_first_seen(vitals: Vitals) -> None:
    vitals.now += 1000
    vitals.lags(0, 7)
    vitals.now += 9
    vitals.lags(0, 8)
    assert verdict(vitals, LIMITS) is None


def test_progress_however_slow_satisfies_it(vitals: Vitals) -> None:
    for _ in range(5):
        vitals.lags(0, 7)
        vitals.now += 9
        vitals.progressed(0)
        vitals.saved(0, everything=True)
        assert verdict(vitals, LIMITS) is None


def test_work_that_no_checkpoint_covers_ends_the_worker(vitals: Vitals) -> None:
    vitals.progressed(0)
    vitals.now += 21
    assert "no checkpoint" in (verdict(vitals, LIMITS) or "")


def test_checkpoints_that_cover_only_part_of_the_work_count(vitals: Vitals) -> None:
    for _ in range(5):
        vitals.progressed(0)
        vitals.now += 15
        vitals.saved(0, everything=False)
        assert verdict(vitals, LIMITS) is None


def test_a_restore_has_a_deadline(vitals: Vitals) -> None:
    vitals.restoring_since = vitals.now
    vitals.now += 31
    assert "restore_s" in (verdict(vitals, LIMITS) or "")


def test_a_shutdown_has_a_deadline(vitals: Vitals) -> None:
    vitals.stopping_since = vitals.awake
    vitals.awake += 6
    assert "shutdown_s" in (verdict(vitals, LIMITS) or "")


def test_a_group_that_never_gives_an_assignment_ends_the_worker(vitals: Vitals) -> None:
    vitals.lost()
    vitals.unassigned_since = vitals.now
    vitals.now += 11
    assert "no assignment" in (verdict(vitals, LIMITS) or "")


def test_a_lost_shard_is_watched_no_longer(vitals: Vitals) -> None:
    vitals.lags(0, 7)
    vitals.progressed(0)
    vitals.lost()
    vitals.now += 1e6
    assert verdict(vitals, LIMITS) is None


def test_an_event_loop_that_does_not_turn_ends_the_worker(vitals: Vitals) -> None:
    vitals.turned_at = vitals.awake
    vitals.awake += 11
    assert "event loop" in (verdict(vitals, LIMITS) or "")


@pytest.mark.parametrize(("away", "ends"), [(False, True), (True, False)])
def test_time_without_a_broker_counts_for_nothing_that_needs_one(
    settings: Callable[..., Any], vitals: Vitals, away: bool, ends: bool
) -> None:
    availability = Availability(settings(), clock=lambda: vitals.awake)
    watchdog = WatchdogThread(vitals, LIMITS, availability)
    vitals.lags(0, 7)
    vitals.progressed(0)
    vitals.unassigned_since = vitals.restoring_since = vitals.now
    for _ in range(1_000):
        if not away:
            availability.answered()
        watchdog._tick(1.0)
    assert (verdict(vitals, LIMITS) is not None) is ends
    assert (vitals.stalled_s() > LIMITS.progress_s) is ends


@pytest.mark.parametrize("stuck", ["turned_at", "stopping_since"])
def test_what_needs_no_broker_has_its_deadline_during_an_outage_too(
    settings: Callable[..., Any], vitals: Vitals, stuck: str
) -> None:
    availability = Availability(settings(), clock=lambda: vitals.awake)
    watchdog = WatchdogThread(vitals, LIMITS, availability)
    setattr(vitals, stuck, vitals.awake)
    for _ in range(20):
        availability.failed(TimeoutError())
        watchdog._tick(1.0)
    assert verdict(vitals, LIMITS) is not None
