"""Worker and trainer processes under a supervisor that restarts whatever ends, as an orchestrator would."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sie_online.settings import Settings
from tests.support.workers import WorkerProcess

RESTARTABLE = (70, 3, -9)
"""Exit codes after which a supervisor starts a worker again; any other end is a finding."""

POLL_S = 0.05
TAKEN = re.compile(r"partitions (taken|lost) partitions=(\S+)")


class HopelessError(AssertionError):
    """The run cannot go on: something did not happen that had to."""


@dataclass
class Slot:
    """A process that is wanted, and the one that runs now."""

    name: str
    process: WorkerProcess
    command: Sequence[str]
    starts: int = 1
    paused: bool = False

    def partitions(self) -> set[int]:
        """What it holds, as far as its log tells."""
        said = TAKEN.findall(self.process.text())
        if not said or said[-1][0] == "lost" or said[-1][1] == "none" or not self.process.running:
            return set()
        return {int(number) for number in said[-1][1].split(",")}


@dataclass
class Fleet:
    """The workers of one run. ``exits`` are name and code of every process that ended, in order."""

    settings: Settings
    folder: Path
    command: Sequence[str]
    slots: dict[str, Slot] = field(default_factory=dict)
    exits: list[tuple[str, int]] = field(default_factory=list)
    started: list[WorkerProcess] = field(default_factory=list)

    def add(self, name: str, command: Sequence[str] | None = None) -> Slot:
        """Want one more process: a worker, if no other ``command`` is given."""
        command = command or self.command
        slot = self.slots[name] = Slot(name, self._start(name, 0, command), command)
        return slot

    def remove(self, name: str) -> int:
        """Have it stop in peace, and want it no more; its exit code."""
        slot = self.slots.pop(name)
        code = slot.process.stop()
        self.exits.append((name, code))
        return code

    def tend(self) -> None:
        """Restart what has ended."""
        for slot in self.slots.values():
            if slot.process.running:
                continue
            code = slot.process.exit_code()
            self.exits.append((slot.name, code))
            if code not in RESTARTABLE:
                raise HopelessError(f"{slot.name} ended with {code}:\n{slot.process.text()[-3000:]}")
            slot.process = self._start(slot.name, slot.starts, slot.command)
            slot.starts, slot.paused = slot.starts + 1, False

    def serving(self) -> list[Slot]:
        """Workers that hold partitions and run."""
        return [slot for slot in self.slots.values() if not slot.paused and slot.partitions()]

    def wait(self, look: Callable[[], object], what: str, within_s: float) -> None:
        """Return when ``look`` is true; the fleet is tended meanwhile.

        Raises:
            HopelessError: it took too long.
        """
        deadline = time.monotonic() + within_s
        while not look():
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {s.name}\n{s.process.text()[-1500:]}" for s in self.slots.values())
                raise HopelessError(f"no {what} within {within_s:g} s; exits so far: {self.exits}\n{logs}")
            self.tend()
            time.sleep(POLL_S)

    def end(self) -> None:
        """Kill whatever still runs."""
        for process in self.started:
            if process.running:
                process.resume()
                process.kill()

    def _start(self, name: str, nth: int, command: Sequence[str]) -> WorkerProcess:
        process = WorkerProcess(self.settings, self.folder / f"{name}-{nth:03d}.log", command)
        self.started.append(process)
        return process
