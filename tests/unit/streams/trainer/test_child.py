"""A worker's own trainer: started anew when it dies, not when another has begun, and gone with the worker."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from streams.trainer.child import TrainerChild, trainer_command
from tests.support.waiting import until

WAIT_S = 30


def child(code: str, **how: Any) -> TrainerChild:
    return TrainerChild([sys.executable, "-c", code], **how)


def test_a_dead_trainer_is_started_again_and_ends_with_the_worker() -> None:
    beside = child("raise SystemExit(70)", first_s=0.01)
    beside.start()
    until(lambda: beside.restarts >= 2, "restarts")
    beside.stop()
    beside.join(10)
    assert not beside.is_alive()


def test_a_trainer_that_cannot_run_is_not_started_again() -> None:
    beside = child("raise SystemExit(2)", first_s=0.01)
    beside.start()
    beside.join(20)
    assert (beside.is_alive(), beside.starts) == (False, 1)


DEAF = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path({said!r}).touch()
time.sleep(60)
"""


def test_a_trainer_that_does_not_hear_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("streams.trainer.child.STOP_S", 0.2)
    said = tmp_path / "deaf"
    beside = child(DEAF.format(said=str(said)))
    beside.start()
    until(said.exists, "child that hears nothing")
    began = time.monotonic()
    beside.stop()
    assert beside.pid is None
    assert time.monotonic() - began >= 0.2, "it was asked first"


def test_the_child_runs_under_the_workers_settings() -> None:
    command = trainer_command(["web.port=0", "trainer.every_s=5"])
    assert command[3:] == ["--set", "web.port=0", "--set", "trainer.every_s=5", "trainer", "--end-with-stdin"]


FENCED = "raise SystemExit(78)"


def test_one_that_another_trainer_has_ended_stays_down(caplog: pytest.LogCaptureFixture) -> None:
    beside = child(FENCED, first_s=0.01)
    beside.start()
    until(lambda: "another trainer has begun" in caplog.text, "word of another")
    assert (beside.is_alive(), beside.restarts, beside.pid) == (True, 0, None)
    beside.stop()
    beside.join(WAIT_S)
    assert not beside.is_alive()
    assert len(caplog.messages) == 1


def test_one_that_another_trainer_has_ended_is_tried_again_in_the_end() -> None:
    beside = child(FENCED, fenced_s=0.01)
    beside.start()
    until(lambda: beside.restarts >= 2, "restarts")
    beside.stop()
