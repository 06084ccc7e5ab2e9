"""The demo as a person runs it: it ends by itself with balanced books, or at once and cleanly when it is told to."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.brokers import ROOT

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
LIMIT_S = 600  # a worker whose kernels are not compiled yet, on a busy machine


class Demo:
    """One ``sie demo`` of a small stream, as a process; what it says on stderr, line by line."""

    def __init__(self, out: Path, *arguments: str) -> None:
        command = [sys.executable, "-c", "from streams.cli import main; main()", "demo", "--out", str(out), *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.said = ""
        self._seen: dict[int, psutil.Process] = {}

    def until(self, text: str) -> None:
        """Read on until it says ``text``."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said += line
            self.children()
            if text in line:
                return
        pytest.fail(f"ended without saying {text!r}:\n{self.said}")

    def children(self) -> list[psutil.Process]:
        """Every process it has started so far."""
        for child in psutil.Process(self.process.pid).children(recursive=True) if self.process.poll() is None else []:
            self._seen.setdefault(child.pid, child)
        return list(self._seen.values())

    def end(self) -> int:
        """Wait for its end; the exit code."""
        out, err = self.process.communicate(timeout=LIMIT_S)
        self.said += err + out
        return self.process.returncode

    def left_behind(self) -> list[psutil.Process]:
        """Its processes that still live."""
        return [child for child in self._seen.values() if child.is_running() and child.status() != "zombie"]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts demos in ``tmp_path/demo``; ends what a failed test leaves."""
    started: list[Demo] = []

    def start(*arguments: str) -> Demo:
        started.append(Demo(tmp_path / "demo", *arguments))
        return started[-1]

    yield start
    for each in started:
        for child in each.children():
            if child.is_running():
                child.kill()
        each.process.kill()
        each.process.communicate()


def report(tmp_path: Path) -> dict[str, Any]:
    return json.loads((tmp_path / "demo" / "report.json").read_text())


def test_it_ends_by_itself_and_its_books_balance(demo: Callable[..., Demo], tmp_path: Path) -> None:
    run = demo("--events", "3000", "--seconds", "4", "--seed", "5", "--no-trainer")
    run.until("Training")
    assert run.said.startswith("Status page: http://127.0.0.1:"), "what to look at while it runs"
    assert run.end() == 0, run.said
    found = report(tmp_path)
    outcomes = ("events_weighted", "duplicates", "heartbeats", "dead_letters")
    assert found["events_in"] == sum(found[name] for name in outcomes)
    assert found["dead_letters"] == found["dead_letters_planted"] > 0
    assert found["duplicates"] == found["duplicates_planted"] > 0
    assert (found["lag_end"], found["balanced"], found["seed"]) == (0, True, 5)
    assert set(found["noise_auc_by_kind"]) == {"bots", "brushing", "misclick"}
    assert set(found["models"]) == {"uniform", "weighted", "oracle"}
    assert (tmp_path / "demo" / "report.png").stat().st_size > 10_000
    assert "What to try next" in run.said
    assert "Traceback" not in run.said
    assert len(run.children()) >= 2
    assert run.left_behind() == []


@pytest.mark.timeout(900)
def test_with_the_trainer_nets_are_judged_and_a_poisoned_one_is_refused(
    demo: Callable[..., Demo], tmp_path: Path
) -> None:
    run = demo("--events", "20000", "--seconds", "40")
    assert run.end() == 0, run.said
    net = report(tmp_path)["net"]
    assert net["fine_tunes"] >= 3
    assert net["accepted"] + net["refused"] >= 3
    assert bool(net["refusal"]) == (net["refused"] > 0)
    if net["refusal"]:
        assert f"The newest refused: {net['refusal'][0]}" in run.said
    assert net["poisoned_refused"], net
    assert net["poisoned_reasons"]
    assert net["accepted"] >= len(net["versions_seen"]), "one that is accepted at the very end weighs nothing"
    compared = {"uniform", "weighted", "oracle"} | ({"without_net"} if net["versions_seen"] else set())
    assert set(report(tmp_path)["models"]) == compared
    assert "Traceback" not in run.said
    assert run.left_behind() == []


@pytest.mark.parametrize(
    ("when", "how"),
    [
        ("Starting the embedded broker", signal.SIGINT),
        ("Starting the worker", signal.SIGINT),
        ("Streaming", signal.SIGINT),
        ("weighed", signal.SIGTERM),
    ],
)
def test_told_to_stop_it_stops_cleanly_at_any_point(demo: Callable[..., Demo], when: str, how: signal.Signals) -> None:
    run = demo("--events", "3000", "--seconds", "60", "--no-trainer")
    run.until(when)
    os.kill(run.process.pid, how)
    assert run.end() == 130, run.said
    assert "Traceback" not in run.said
    assert run.left_behind() == []


def test_a_worker_that_dies_is_told_of_with_the_end_of_its_log(demo: Callable[..., Demo], tmp_path: Path) -> None:
    run = demo("--events", "3000", "--seconds", "60", "--no-trainer")
    run.until("weighed")
    worker = next(child for child in run.children() if child.is_running() and "worker" in child.cmdline())
    worker.kill()
    assert run.end() == 70, run.said
    assert "the worker was ended by signal 9" in run.said
    assert (tmp_path / "demo" / "worker.log").read_text().splitlines()[-1] in run.said
    assert "Traceback" not in run.said
    assert run.left_behind() == []


def test_a_second_demo_in_the_same_folder_is_refused(demo: Callable[..., Demo], tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    with (tmp_path / "demo" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = demo()
        assert run.end() == 2
    assert "another demo runs" in run.said
