"""Worker processes for tests: started with given settings, watched through their log, ended by pid and nothing else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

from sie_online.settings import Settings
from tests.support import topic_io
from tests.support.brokers import ROOT
from tests.support.environment import as_environment
from tests.support.waiting import until

SIE_WORKER = (sys.executable, "-c", "from streams.cli import main; main()", "worker")
SIE_TRAINER = (*SIE_WORKER[:-1], "trainer")
FAUST_WORKER = (sys.executable, "-m", "faust", "-A", "streams.app", "worker")
RECORDING_WORKER = (sys.executable, "-m", "tests.support.recording_worker")

READY = re.compile(r"partitions taken.* partitions=\S*\d")
T = TypeVar("T")


class WorkerProcess:
    """One worker. ``log`` holds its output, of this process only."""

    def __init__(self, settings: Settings, log: Path, command: Sequence[str] = SIE_WORKER) -> None:
        self.log = log
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                list(command),
                cwd=ROOT,
                env=as_environment(settings) | {"PYTHONPATH": os.environ.get("PYTHONPATH", str(ROOT))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def text(self) -> str:
        """What it has logged so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, pattern: str | re.Pattern[str], timeout_s: float = 60) -> re.Match[str]:
        """The first match of ``pattern`` in the log, once it is there."""
        return self.until(lambda: re.search(pattern, self.text()), f"log line {pattern!r}", timeout_s)

    def wait_ready(self, timeout_s: float = 120) -> None:
        """Return when it has partitions and processes them."""
        self.wait_for(READY, timeout_s)

    def until(self, look: Callable[[], T | None], what: str, timeout_s: float) -> T:
        """What ``look`` finds, once it finds something."""
        try:
            return cast(T, until(look, what, timeout_s, hopeless=lambda: not self.running))
        except AssertionError as missing:
            state = "still runs" if self.running else f"ended with {self._process.returncode}"
            raise AssertionError(f"{missing}; the worker {state}; its log:\n{self.text()[-4000:]}") from None

    def stop(self, timeout_s: float = 60) -> int:
        """SIGTERM; its exit code."""
        return self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> int:
        """SIGKILL; returns when it is gone."""
        return self._end(signal.SIGKILL, 30)

    def pause(self) -> None:
        """SIGSTOP: it keeps all it has and does nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def exit_code(self, timeout_s: float = 60) -> int:
        """Wait until it has ended."""
        return self._process.wait(timeout_s)

    def _end(self, how: signal.Signals, timeout_s: float) -> int:
        if self.running:
            self._process.send_signal(how)
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker does not end; its log:\n{self.text()[-4000:]}") from None


@contextmanager
def worker_pool(
    settings: Settings, folder: Path, command: Sequence[str] = SIE_WORKER
) -> Iterator[Callable[[], WorkerProcess]]:
    """Starts workers; whatever still runs at the end is killed."""
    started: list[WorkerProcess] = []

    def start() -> WorkerProcess:
        started.append(WorkerProcess(settings, folder / f"worker-{len(started)}.log", command))
        return started[-1]

    try:
        yield start
    finally:
        for worker in started:
            if worker.running:
                worker.resume()
                worker.kill()


def wait_until_read(settings: Settings, worker: WorkerProcess, timeout_s: float = 120) -> None:
    """Return when the group has committed all that the input topic holds now."""
    ends = topic_io.ends(settings, settings.topics.events)
    worker.until(lambda: topic_io.committed(settings) == ends, f"commits at {ends}", timeout_s)
