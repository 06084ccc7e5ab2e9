"""How fast a log is written again: as fast as possible, at a rate, or at a multiple of its own event time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sie_online.errors import UsageError

STEP_S = 0.05  # records due within the same step leave together
UNPACED_RECORDS = 2_048  # at full speed, how many are written before others get a turn


@dataclass(frozen=True, slots=True)
class ReplayRate:
    """Either ``events_per_s`` or ``speedup`` (event seconds per second) is set; neither: as fast as possible."""

    events_per_s: float | None = None
    speedup: float | None = None

    @classmethod
    def parse(cls, text: str) -> ReplayRate:
        """Read ``max``, a number of events per second, ``realtime``, ``realtime×N`` or ``realtimexN``.

        Raises:
            UsageError: it is none of these.
        """
        word = text.strip().lower().replace("×", "x")
        if word == "max":
            return cls()
        if word == "realtime":
            return cls(speedup=1.0)
        try:
            value = float(word.removeprefix("realtimex"))
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise UsageError(f"rate {text!r}: write max, a number of events per second, realtime, or realtime×N")
        return cls(speedup=value) if word.startswith("realtime") else cls(events_per_s=value)


class Pacer:
    """Cuts records into slices and waits until each is due. Late ones follow at once, so the rate holds on average."""

    def __init__(self, rate: ReplayRate) -> None:
        self._rate = rate
        self._begin: float | None = None
        self._records = 0
        self._first_ms: int | None = None
        self._clock_ms = 0

    async def slices(self, times_ms: NDArray[np.int64]) -> AsyncIterator[slice]:
        """Slices of the records that count at ``times_ms``, each when it is due."""
        if not len(times_ms):
            return
        due = self._due(times_ms)
        begin = self._begin = time.monotonic() if self._begin is None else self._begin
        for start, stop in self._cuts(due):
            if (wait := begin + float(due[start]) - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            yield slice(start, stop)
            await asyncio.sleep(0)
        self._records += len(times_ms)

    def _due(self, times_ms: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds after the beginning at which each record is due."""
        if self._rate.events_per_s is not None:
            return (self._records + np.arange(len(times_ms))) / self._rate.events_per_s
        if self._rate.speedup is None:
            return np.zeros(len(times_ms))
        clock = np.maximum.accumulate(np.maximum(times_ms, self._clock_ms))
        self._clock_ms = int(clock[-1])
        if self._first_ms is None and self._clock_ms:
            self._first_ms = int(clock[clock > 0][0])  # records before it tell no time
        if self._first_ms is None:
            return np.zeros(len(times_ms))
        due: NDArray[np.float64] = (clock - self._first_ms) / 1_000 / self._rate.speedup
        return due

    def _cuts(self, due: NDArray[np.float64]) -> list[tuple[int, int]]:
        if self._rate == ReplayRate():
            edges = np.arange(0, len(due), UNPACED_RECORDS)
        else:
            edges = np.flatnonzero(np.diff(np.floor(due / STEP_S), prepend=-1.0))
        return list(zip(edges.tolist(), [*edges[1:].tolist(), len(due)], strict=True))
