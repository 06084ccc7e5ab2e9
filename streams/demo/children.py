"""Broker and worker as processes of ours: each with a log, each in a session of its own (Ctrl-C is ours to pass on)."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Self

from sie_online.errors import SieError

STOP_S = 15.0
TAIL_LINES = 15


class ChildError(SieError):
    """A process of ours has ended by itself."""


class Child:
    """One process and its log."""

    def __init__(self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 - commands of our own making
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )

    def check(self) -> None:
        """Raise ChildError if it has ended; the message carries the end of its log."""
        code = self._process.poll()
        if code is None:
            return
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise ChildError(f"the {self.name} {how}; the end of {self.log}:\n{tail}")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL for one that does not hear; returns when it is gone."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also when a second Ctrl-C interrupts the wait
            self._process.kill()
            self._process.wait()


class Children:
    """All processes of a demo; whatever happens, none outlives the ``with`` block."""

    def __init__(self) -> None:
        self._running: list[Child] = []

    def __enter__(self) -> Self:
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what runs in its background
            signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, _as_ctrl_c)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> Child:
        """Start a process; it is stopped with the others, the latest first."""
        child = Child(name, command, log, environment)
        self._running.append(child)
        return child

    def check(self) -> None:
        """Raise ChildError if one has ended."""
        for child in self._running:
            child.check()

    def stop(self) -> None:
        """Stop all, the latest first, even if one of them has to be killed."""
        while self._running:
            child = self._running.pop()
            try:
                child.stop()
            except KeyboardInterrupt:
                continue  # it has been killed; the others still have to go


def _as_ctrl_c(_number: int, _frame: object) -> None:
    """What Ctrl-C does: asyncio ends its main task in order, where a KeyboardInterrupt would tear its loop apart."""
    signal.raise_signal(signal.SIGINT)


def free_port() -> int:
    """A port of the loopback interface on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on this port of the loopback interface."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def broker_command(port: int, data: Path) -> list[str]:
    """The embedded broker (the binary itself: a wrapper's child would outlive it)."""
    binary = Path(str(files("noida_db"))) / "noida-db"
    binary.chmod(binary.stat().st_mode | 0o111)
    return [str(binary), "start", "--only", "kafka", "--kafka-port", str(port), "--data-dir", str(data)]


def sie_command(*arguments: str) -> list[str]:
    """``sie`` of this very installation."""
    return [sys.executable, "-c", "from streams.cli import main; main()", *arguments]
