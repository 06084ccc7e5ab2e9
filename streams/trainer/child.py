"""A worker's own trainer: a child process that ends with it, and is started anew, later and later, when it dies.

Nothing of it can reach the worker: it has no pipe back, and the thread that waits for it holds nothing.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from sie_online.errors import UsageError
from streams.model_registry.announcer import SupersededError

log = logging.getLogger(__name__)

FIRST_S, LONGEST_S = 5.0, 300.0
"""How long the first start anew waits, and any."""
LASTED_S = 600.0
"""One that ran for so long was well: the next wait is the first again."""
FENCED_S = 21_600.0
"""How long one that another trainer has ended stays down: were both started again at once, each would end the other for
ever, and neither finish a fine-tune. If the other is gone by then, the net in force has only grown a little older."""
STOP_S = 6.0


def trainer_command(assignments: Sequence[str] = ()) -> list[str]:
    """``sie trainer`` of this very installation under the same ``--set``; the environment is inherited."""
    settings = [word for assignment in assignments for word in ("--set", assignment)]
    program = "from streams.cli import main; main()"
    return [sys.executable, "-c", program, *settings, "trainer", "--end-with-stdin"]


class TrainerChild(threading.Thread):
    """Starts ``command`` and keeps it running until ``stop``."""

    def __init__(self, command: Sequence[str], *, first_s: float = FIRST_S, fenced_s: float = FENCED_S) -> None:
        super().__init__(name="trainer", daemon=True)
        self._command = list(command)
        self._fenced_s = fenced_s
        self._first_s = first_s
        self._wait_s = first_s
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def restarts(self) -> int:
        """How often it was started anew."""
        return max(0, self.starts - 1)

    def run(self) -> None:
        """Until ``stop``, or until it is of no use to start it again."""
        while not self._stopping.is_set():
            began = time.monotonic()
            code = self._once()
            if self._stopping.is_set():
                return
            if code == UsageError.exit_code:
                log.error("the trainer cannot run like this, and is not started again; the lines above say why")
                return
            if code == SupersededError.exit_code:
                log.warning(
                    "another trainer has begun, and one is enough: the worker's own stays down",
                    extra={"after_s": self._fenced_s},
                )
                self._stopping.wait(self._fenced_s)
                continue
            if time.monotonic() - began > LASTED_S:
                self._wait_s = self._first_s
            log.warning("trainer ended; starting it again", extra={"exit_code": code, "after_s": self._wait_s})
            self._stopping.wait(self._wait_s)
            self._wait_s = min(2 * self._wait_s, LONGEST_S)

    def stop(self) -> None:
        """End it; returns when it is gone."""
        self._stopping.set()
        process = self._process
        if process is None:
            return
        with suppress(OSError):
            process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.join(STOP_S)

    def _once(self) -> int:
        """Start it and wait for its end; its exit code."""
        try:
            # stdin is a pipe of which we hold the other end: it closes when this process ends, be it by SIGKILL
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603
        except OSError as error:
            log.warning("the trainer cannot be started: %s", error)
            return -1
        with self._process:  # closes our end of the pipe
            self.starts += 1
            log.info("trainer started", extra={"pid": self._process.pid})
            return self._process.wait()
