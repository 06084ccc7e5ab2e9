"""Fine-tunes, one at a time: when one is due, and what becomes of it. A failed one leaves everything as it was."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from contextlib import suppress

from models.errors import ModelError, StoppedError, TrainingError
from models.manifest import Verdict
from models.net import pick_device
from models.tune import Progress
from models.ulid import ulid
from sie_online.announcements import NET
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from streams.model_registry.announcer import Announcer, OvertakenError, SupersededError
from streams.store import Store
from streams.threads import in_thread
from streams.trainer.attempt import Attempt, Current, attempt, current_of
from streams.trainer.intake import Intake, WindowView
from streams.trainer.metrics import TrainerMetrics, TrainingOutcome
from streams.trainer.plan import fine_tune_of, gate_of
from streams.trainer.scalars import Scalars
from streams.trainer.settlement import given_up, settle, verdict_of

log = logging.getLogger(__name__)

LOOK_S = 0.2
NO_ROOM = ("can't allocate memory", "out of memory")
"""How torch says, without an exception of its own, that the machine's memory does not suffice."""


class Rounds:
    """Fine-tunes whenever one is due, for ever.

    Attributes:
        began_at: when the one at work began, on the monotonic clock (seconds); None between two.
        latest: what became of the latest; None before the first has ended.
    """

    def __init__(
        self, settings: Settings, intake: Intake, announcer: Announcer, store: Store, metrics: TrainerMetrics
    ) -> None:
        self.began_at: float | None = None
        self.latest: TrainingOutcome | None = None
        self._settings = settings
        self._intake = intake
        self._announcer = announcer
        self._store = store
        self._metrics = metrics
        self._stopping = threading.Event()
        self._ended_at = time.monotonic()
        self._wanted = 0
        self._loaded: tuple[str, Current] | None = None

    async def run(self) -> None:
        """Raises SupersededError where another trainer has begun; nothing else ends it."""
        with suppress(TrainingError):  # a GPU is demanded and there is none: every fine-tune will say so
            self._metrics.runs_on(pick_device(fine_tune_of(self._settings).device).type)
        await self._intake.caught_up.wait()
        while True:
            await self._until_due()
            view = await self._view()
            if view is not None:
                await self._round(view)

    def stop(self) -> None:
        """Have the fine-tune at work end between two steps."""
        self._stopping.set()

    async def _until_due(self) -> None:
        trainer = self._settings.trainer
        while True:
            fresh, waited_s = self._intake.fresh, time.monotonic() - self._ended_at
            if fresh >= self._wanted and (fresh >= trainer.every_samples or (fresh and waited_s >= trainer.every_s)):
                return
            await asyncio.sleep(LOOK_S)

    async def _view(self) -> WindowView | None:
        """The window; None, until as many more have come, while it is too small."""
        fresh = self._intake.fresh
        view = await self._intake.view()
        missing = self._settings.trainer.min_samples - (len(view.samples) if view else 0)
        if missing > 0:
            log.info("too few samples for a fine-tune", extra={"missing": missing})
            self._wanted = fresh + missing
            return None
        self._wanted = 0
        self._intake.fresh -= fresh
        return view

    # -- one round

    async def _round(self, view: WindowView) -> None:
        version = ulid(time.time_ns() // 1_000_000, secrets.token_bytes(10))
        scalars = Scalars(version)
        self.began_at = time.monotonic()
        self._metrics.set_running(True)
        try:
            outcome = await self._outcome(view, version, scalars)
        finally:
            self._metrics.set_running(False)
            self.began_at, self._ended_at = None, time.monotonic()
        self.latest = outcome
        self._metrics.ended(outcome, time.time())
        scalars.add({str(outcome): 1.0, "samples": float(len(view.samples))}, "round")
        log.info("fine-tune ended", extra={"version": version, "outcome": outcome})
        await self._tidy(scalars)

    async def _outcome(self, view: WindowView, version: str, scalars: Scalars) -> TrainingOutcome:
        try:
            current = await in_thread(None, self._current)
            found = await in_thread(None, self._attempt, view, current, version, scalars)
            return await self._settle(found, current, scalars)
        except ModelError as error:
            stopped = isinstance(error, StoppedError) and self._stopping.is_set()
            outcome = TrainingOutcome.STOPPED if stopped else given_up(error)
            log.warning("fine-tune given up, the net in force stays: %s", error, extra={"version": version})
            return outcome
        except OvertakenError as error:
            log.warning("%s", error)
            return TrainingOutcome.OVERTAKEN
        except UnreachableError as error:
            log.warning("candidate not announced, the net in force stays: %s", error, extra={"version": version})
            return TrainingOutcome.UNREACHABLE
        except SupersededError:
            raise
        except Exception as error:  # whatever it is: workers have the net in force, and we try again
            if isinstance(error, MemoryError) or any(text in str(error) for text in NO_ROOM):
                log.warning("fine-tune given up for want of memory, the net in force stays: %s", error)
                return TrainingOutcome.OUT_OF_MEMORY
            log.exception("fine-tune failed, the net in force stays", extra={"version": version})
            return TrainingOutcome.FAULT

    def _attempt(self, view: WindowView, current: Current, version: str, scalars: Scalars) -> Attempt:
        log.info("fine-tune begins", extra={"version": version, "samples": len(view.samples), "from": current.version})
        deadline = time.monotonic() + self._settings.trainer.fine_tune.longest_s

        def on_progress(progress: Progress) -> None:
            figures = {"epoch": progress.epoch, "of": progress.epochs, "loss": round(progress.loss, 6)}
            log.info("fine-tuning: %s", progress.note, extra=figures | {"samples_per_s": round(progress.samples_per_s)})
            if progress.epoch:
                self._metrics.progress(progress.epoch, progress.loss, progress.samples_per_s)
                scalars.add({"loss": progress.loss, "samples_per_s": progress.samples_per_s}, "pass")

        return attempt(
            view,
            current,
            fine_tune_of(self._settings),
            gate_of(self._settings),
            version,
            on_progress=on_progress,
            should_stop=lambda: self._stopping.is_set() or time.monotonic() > deadline,
        )

    async def _settle(self, found: Attempt, current: Current, scalars: Scalars) -> TrainingOutcome:
        """Tell of a candidate before and after what becomes of it."""
        manifest, verdict = found.manifest, verdict_of(found.manifest)
        self._tell(found, verdict, scalars)
        withdrawn = current.withdrawn(verdict, gate_of(self._settings))
        outcome, announcement = await settle(
            found.contents, manifest, self._announcer, self._store, judged_at=current.n, withdrawn=withdrawn
        )
        if announcement is not None:
            self._metrics.set_announced(NET, announcement)
        if withdrawn and announcement is not None:
            self._metrics.withdrawn()
            log_fields = {"version": current.version, "announcement": announcement.n}
            log.warning("net withdrawn: %s", "; ".join(withdrawn), extra=log_fields)
        return outcome

    def _tell(self, found: Attempt, verdict: Verdict, scalars: Scalars) -> None:
        manifest = found.manifest
        self._metrics.runs_on(found.device)
        self._metrics.judged(found.seconds, found.gate_seconds, verdict)
        self._metrics.set_validation(manifest.metrics)
        scalars.add(manifest.metrics, "validation")
        scalars.add(manifest.baseline_metrics, "baseline")
        scalars.add({"fine_tune_s": found.seconds, "gate_s": found.gate_seconds}, "seconds")
        for kind, figures in verdict.report.items():
            scalars.add(figures, f"gate/{kind}")
        if not verdict.passed:
            log.warning("candidate refused: %s", "; ".join(verdict.reasons), extra={"version": manifest.version})

    # -- around it

    def _current(self) -> Current:
        """What is in force. One that does not load is judged against as it was published, and not gone on from."""
        registered = self._announcer.registered_net
        n, version = registered.newest, self._announcer.in_force  # in this order: what comes between then overtakes us
        if self._loaded is None or self._loaded[0] != version:
            current = current_of(self._store, registered, n, version)
            if current.net is None and version != BUILTIN_MODEL:
                return current  # tried again the next time
            self._loaded = version, current
        return self._loaded[1]._replace(n=n)

    async def _tidy(self, scalars: Scalars) -> None:
        try:
            await in_thread(None, scalars.save, self._store)
            if gone := await self._announcer.sweep():
                log.info("old versions deleted", extra={"versions": ",".join(gone)})
        except UnreachableError as error:
            log.warning("figures not kept, or old versions not deleted: %s", error)
        except Exception:  # a fault in tidying up must not end the training
            log.exception("tidying up failed")
