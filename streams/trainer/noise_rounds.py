"""Fits of the noise model beside the fine-tunes: when one is due, what it reads, what becomes of it.

Reads the newest events when a fit is due, not before: between two fits nothing of them is held. Whatever fails leaves
the version in force as it was.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time

from models.errors import ManifestError
from models.manifest import Manifest
from models.noise.gate import withdrawal
from models.ulid import ulid
from sie_online.announcements import NOISE
from sie_online.contracts import BUILTIN_MODEL
from sie_online.settings import Settings
from streams.model_registry import event_log
from streams.model_registry.announcer import Announcer
from streams.model_registry.noises import noise_in_force
from streams.store import Store
from streams.threads import in_thread
from streams.trainer.event_window import EventWindow, read_window
from streams.trainer.metrics import TrainerMetrics, TrainingOutcome
from streams.trainer.noise_attempt import NoiseAttempt, attempt_noise
from streams.trainer.plan import noise_gate_of, noise_is_due
from streams.trainer.settlement import outcome_of, settle, verdict_of

log = logging.getLogger(__name__)

LOOK_S = 15.0
RETRY_S = 120.0
TRIED_AGAIN = (TrainingOutcome.UNREACHABLE, TrainingOutcome.OVERTAKEN)
"""The candidate may be well, and nobody has it; any other outcome stands until the next fit is due."""


class NoiseRounds:
    """Fits of the noise model whenever one is due, for ever.

    Attributes:
        began_at: when the one at work began, on the monotonic clock (seconds); None between two.
        latest: what became of the latest; None before the first has ended.
    """

    def __init__(self, settings: Settings, announcer: Announcer, store: Store, metrics: TrainerMetrics) -> None:
        self.began_at: float | None = None
        self.latest: TrainingOutcome | None = None
        self._settings = settings
        self._announcer = announcer
        self._store = store
        self._metrics = metrics
        self._stopping = threading.Event()
        self._ended_at = time.monotonic()
        self._fitted_at: int | None = None

    async def run(self) -> None:
        """Raises SupersededError where another trainer has begun; nothing else ends it."""
        while True:
            outcome = await self.look()
            await asyncio.sleep(RETRY_S if outcome in TRIED_AGAIN else LOOK_S)

    def stop(self) -> None:
        """Have the fit at work end between two steps."""
        self._stopping.set()

    async def look(self) -> TrainingOutcome | None:
        """Fit if that is due; what became of it. Raises as ``run``."""
        before = self._fitted_at
        nothing, stopping = "no new noise model, the one in force stays", self._stopping.is_set
        outcome = await outcome_of(self._round_if_due(), nothing, stopping=stopping)
        if outcome is not None:
            self.latest, self._ended_at = outcome, time.monotonic()
            self._metrics.noise_ended(outcome)
            log.info("fit of the noise model ended", extra={"outcome": outcome})
        if outcome in TRIED_AGAIN:
            self._fitted_at = before
        return outcome

    async def _round_if_due(self) -> TrainingOutcome | None:
        growth = await event_log.growth(self._settings)
        heard = sum(grown.end for grown in growth.values())
        if not noise_is_due(self._settings.trainer.noise, heard, self._fitted(), time.monotonic() - self._ended_at):
            return None
        window = await read_window(self._settings, growth)
        if window.heard < self._settings.trainer.noise.min_events:
            return None  # markers and heartbeats, or retention has cut the rest
        self._fitted_at = heard
        self.began_at = time.monotonic()
        self._metrics.set_noise_running(True)
        try:
            return await self._round(window)
        finally:
            self._metrics.set_noise_running(False)
            self.began_at = None

    def _fitted(self) -> int:
        """Events that there were at the latest fit, of this trainer or of the one before."""
        if self._fitted_at is None:
            self._fitted_at = 0
            registered = self._announcer.registry[NOISE]
            if (said := registered.manifests.get(registered.in_force(registered.newest))) is not None:
                try:
                    self._fitted_at = sum(last + 1 for _, last in Manifest.from_json(said).train_offsets.values())
                except ManifestError as error:
                    log.warning("it is not known what the noise model in force was fitted on: %s", error)
        return self._fitted_at

    async def _round(self, window: EventWindow) -> TrainingOutcome:
        registered = self._announcer.registry[NOISE]
        n = registered.newest  # before its version: what comes between then overtakes us
        parent = registered.in_force(n)
        found = await in_thread(None, self._attempt, window, parent)
        manifest, verdict = found.manifest, verdict_of(found.manifest)
        self._metrics.noise_judged(found.seconds, found.events, manifest.metrics)
        if not verdict.passed:
            log.warning("noise model refused: %s", "; ".join(verdict.reasons), extra={"version": manifest.version})
        withdrawn = withdrawal(verdict, noise_gate_of(self._settings)) if parent != BUILTIN_MODEL else ()
        settled = await settle(found.contents, manifest, self._announcer, self._store, judged_at=n, withdrawn=withdrawn)
        if settled.announcement is not None:
            self._metrics.set_announced(NOISE, settled.announcement)
            if withdrawn:
                log.warning("noise model withdrawn: %s", "; ".join(withdrawn), extra={"version": parent})
        return settled.outcome

    def _attempt(self, window: EventWindow, parent: str) -> NoiseAttempt:
        columns, version = window.columns(), ulid(time.time_ns() // 1_000_000, secrets.token_bytes(10))
        log.info("fit of the noise model begins", extra={"version": version, "events": len(columns), "from": parent})
        deadline = time.monotonic() + self._settings.trainer.noise.longest_s
        return attempt_noise(
            columns,
            window.spans(),
            noise_in_force(self._store, self._announcer.registry[NOISE], parent),
            self._settings,
            version,
            parent,
            should_stop=lambda: self._stopping.is_set() or time.monotonic() > deadline,
        )
