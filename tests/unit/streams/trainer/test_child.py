"""A worker's own trainer: started anew when it dies, not when another has begun, and gone with the worker."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from streams.trainer.child import TrainerChild, trainer_command

WAIT_S = 30


def child(code: str, **how: Any) -> TrainerChild:
    return TrainerChild([sys.executable, "-c", code], **how)


def wait_until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_dead_trainer_is_started_again_and_ends_with_the_worker() -> None:
    beside = child("raise SystemExit(70)", first_s=0.01)
    beside.start()
    wait_until(lambda: beside.restarts >= 2)
    beside.stop()
    beside.join(10)
    assert not beside.is_alive()


def test_a_trainer_that_cannot_run_is_not_started_again() -> None:
    beside = child("raise SystemExit(2)", first_s=0.01)
    beside.start()
    beside.join(20)
    assert (beside.is_alive(), beside.starts) == (False, 1)


def test_a_trainer_that_does_not_hear_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.trainer.child.STOP_S", 0.5)
    beside = child("import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)")
    beside.start()
    wait_until(lambda: beside.pid is not None)
    beside.stop()
    assert beside.pid is None


def test_the_child_runs_under_the_workers_settings() -> None:
    command = trainer_command(["web.port=0", "trainer.every_s=5"])
    assert command[3:] == ["--set", "web.port=0", "--set", "trainer.every_s=5", "trainer", "--end-with-stdin"]


FENCED = "raise SystemExit(78)"


def test_one_that_another_trainer_has_ended_stays_down(caplog: pytest.LogCaptureFixture) -> None:
    beside = child(FENCED, first_s=0.01)
    beside.start()
    wait_until(lambda: "another trainer has begun" in caplog.text)
    assert (beside.is_alive(), beside.restarts, beside.pid) == (True, 0, None)
    beside.stop()
    beside.join(WAIT_S)
    assert not beside.is_alive()
    assert len(caplog.messages) == 1


def test_one_that_another_trainer_has_ended_is_tried_again_in_the_end() -> None:
    beside = child(FENCED, fenced_s=0.01)
    beside.start()
    wait_until(lambda: beside.restarts >= 2)
    beside.stop()
