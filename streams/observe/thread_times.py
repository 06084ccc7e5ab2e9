"""Processor time by thread, read from the kernel when it is asked for: which part of a worker is busy."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

NAMES = {"MainThread": "main", "shards": "shards", "asyncio": "store", "WorkerThread": "fetch"}
"""How a thread's name in Python begins, or its class, and what it does: the event loop (publishing among it), the
shards' processing and snapshots, checkpoints and what else waits for a disk, fetching from Kafka."""
OTHER = "other"
"""All the rest, threads of libraries and threads that have ended among them."""
TASKS = Path("/proc/self/task")
NS = 1e-9


class ThreadTimes(Collector):
    """``sie_thread_cpu_seconds_total``; no series where the kernel does not tell (only Linux does)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        registry.register(self)

    def describe(self) -> Iterable[CounterMetricFamily]:
        """The family without series."""
        yield self._family()

    def collect(self) -> Iterable[CounterMetricFamily]:
        """Seconds by thread now."""
        family = self._family()
        for name, seconds in thread_seconds().items():
            family.add_metric([name], seconds)
        yield family

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily("sie_thread_cpu_seconds", "Processor time by thread.", labels=["thread"])


def thread_seconds() -> dict[str, float]:
    """Processor time of this process so far, s by the names of ``NAMES`` and ``OTHER``; empty but on Linux."""
    found: dict[str, float] = defaultdict(float)
    for thread in threading.enumerate():
        with suppress(OSError):  # it has ended meanwhile
            found[_role(thread)] += _seconds(thread.native_id)
    if found:
        found[OTHER] += max(0.0, time.process_time() - sum(found.values()))
    return dict(found)


def _role(thread: threading.Thread) -> str:
    kind = type(thread).__name__
    return next((role for start, role in NAMES.items() if thread.name.startswith(start) or kind == start), OTHER)


def _seconds(native_id: int | None) -> float:
    """Time on a processor: the first figure of ``schedstat``, in ns."""
    return int((TASKS / str(native_id) / "schedstat").read_text().split()[0]) * NS
