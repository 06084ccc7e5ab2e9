"""The worker's last resort: a thread that ends the process when something takes longer than it may (exit 70).

A thread, because the event loop may be the thing that is stuck. It owns no truth: the worker writes its ``Vitals``, the
thread reads them. Its clock stands still while the process is suspended and while the brokers are away, so that a
worker is killed for neither: how long an outage may last is ``kafka.outage_limit_s``'s to say.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from sie_online import settings as settings_module
from sie_online.client.availability import Availability
from streams.exits import FAULT, die

TICK_S = 0.25


@dataclass(slots=True)
class ShardVitals:
    """When one shard last did what it must do, on the watchdog's clock (seconds)."""

    progressed_at: float
    saved_at: float
    lag: int = 0
    unsaved: bool = False


@dataclass(slots=True)
class Vitals:
    """What the worker is at, and since when. Written by the worker's thread only, but for the two clocks."""

    now: float = 0.0
    """Seconds in which the process ran and the brokers were there; what follows is on this clock unless it says so."""
    awake: float = 0.0
    """Seconds in which the process ran."""
    restoring_since: float | None = None
    unassigned_since: float | None = None
    stopping_since: float | None = None
    """On the clock ``awake``."""
    turned_at: float | None = None
    """When the event loop last had a turn, on the clock ``awake``; None before it runs."""
    shards: dict[int, ShardVitals] = field(default_factory=dict)

    def owned(self, partition: int) -> ShardVitals:
        """Start to watch a shard."""
        vitals = self.shards[partition] = ShardVitals(progressed_at=self.now, saved_at=self.now)
        return vitals

    def lost(self) -> None:
        """Watch no shard any more."""
        self.shards = {}

    def progressed(self, partition: int) -> None:
        """A shard has processed something."""
        if shard := self.shards.get(partition):
            shard.progressed_at = self.now
            if not shard.unsaved:
                shard.unsaved, shard.saved_at = True, self.now

    def lags(self, partition: int, records: int) -> None:
        """So many records wait in the log; the time without progress counts from when they were first seen."""
        if shard := self.shards.get(partition):
            if not shard.lag or not records:
                shard.progressed_at = self.now
            shard.lag = records

    def stalled_s(self) -> float:
        """For how long the shard that fares worst has not progressed although records wait, seconds."""
        return max((self.now - shard.progressed_at for shard in tuple(self.shards.values()) if shard.lag), default=0.0)

    def saved(self, partition: int, *, everything: bool) -> None:
        """A checkpoint is durable; ``everything``: nothing was processed since it was taken."""
        if shard := self.shards.get(partition):
            shard.saved_at, shard.unsaved = self.now, not everything


def verdict(vitals: Vitals, limits: settings_module.Watchdog) -> str | None:
    """Why the worker must end now; None while all is well."""
    now, awake = vitals.now, vitals.awake
    if vitals.stopping_since is not None and awake - vitals.stopping_since > limits.shutdown_s:
        return f"the shutdown takes longer than watchdog.shutdown_s = {limits.shutdown_s:g} s"
    if vitals.restoring_since is not None and now - vitals.restoring_since > limits.restore_s:
        return f"restoring takes longer than watchdog.restore_s = {limits.restore_s:g} s"
    if vitals.unassigned_since is not None and now - vitals.unassigned_since > limits.progress_s:
        return f"the group gave no assignment for watchdog.progress_s = {limits.progress_s:g} s"
    if vitals.turned_at is not None and awake - vitals.turned_at > limits.progress_s:
        return f"the event loop has not turned for watchdog.progress_s = {limits.progress_s:g} s"
    for partition, shard in tuple(vitals.shards.items()):
        if shard.lag and now - shard.progressed_at > limits.progress_s:
            return (
                f"partition {partition}: {shard.lag} records wait, "
                f"none was processed for watchdog.progress_s = {limits.progress_s:g} s"
            )
        if shard.unsaved and now - shard.saved_at > limits.checkpoint_s:
            return f"partition {partition}: no checkpoint for watchdog.checkpoint_s = {limits.checkpoint_s:g} s"
    return None


class WatchdogThread(threading.Thread):
    """Looks at ``vitals`` four times a second."""

    def __init__(self, vitals: Vitals, limits: settings_module.Watchdog, availability: Availability) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._vitals = vitals
        self._availability = availability
        self._limits = limits

    def run(self) -> None:
        """Never returns."""
        last = time.monotonic()
        while True:
            time.sleep(TICK_S)
            now = time.monotonic()
            self._tick(min(now - last, 4 * TICK_S))
            last = now
            if reason := verdict(self._vitals, self._limits):
                die(FAULT, reason)

    def _tick(self, seconds: float) -> None:
        self._vitals.awake += seconds
        if not self._availability.doubtful:
            self._vitals.now += seconds
