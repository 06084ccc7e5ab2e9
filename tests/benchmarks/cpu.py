"""Processor time of processes beside us, so that a throughput can be read against the cores it took."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import numpy as np
import psutil

EVERY_S = 0.1


class CpuWatch:
    """Notes the processor time of ``pids`` (by name) again and again while the ``with`` block lasts."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._noted: dict[str, list[tuple[float, float]]] = {name: [] for name in pids}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def cores(self, first_ms: float, last_ms: float) -> dict[str, float]:
        """Cores that each process kept busy between two times (ms since 1970), on average."""
        return {name: self._cores(name, first_ms / 1000, last_ms / 1000) for name in self._processes}

    def _cores(self, name: str, first_s: float, last_s: float) -> float:
        at, spent = np.array(self._noted[name]).T
        before, after = np.interp([first_s, last_s], at, spent)
        return float(after - before) / max(last_s - first_s, 1e-9)

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            for name, process in self._processes.items():
                try:
                    spent = process.cpu_times()
                except psutil.NoSuchProcess:
                    continue
                self._noted[name].append((time.time(), spent.user + spent.system))
