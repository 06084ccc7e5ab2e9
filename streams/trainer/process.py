"""The trainer process: its parts, its health, and how it ends.

SIGTERM ends it within ``END_S``: the fine-tune at work stops between two steps, and whatever is still at something
then is cut off. Nothing half-written stays: files get their name when they are whole, announcements are transactions.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any

from models.ulid import ulid
from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from streams import access, extras
from streams.model_registry.announcer import Announcer
from streams.model_registry.board import ModelBoard
from streams.observe import logs
from streams.observe.broker_metrics import watch_broker
from streams.observe.page.trainer import TrainerStatus
from streams.observe.samples import MetricSamples
from streams.store import Store, open_store
from streams.store.probe import check_store
from streams.topics import check_topics
from streams.trainer.intake import RETRY_S, Intake
from streams.trainer.metrics import TrainerMetrics
from streams.trainer.prior_rounds import PriorRounds
from streams.trainer.priors import pools
from streams.trainer.site import TrainerHealth, TrainerSite
from streams.trainer.status import TrainerParts, trainer_status

log = logging.getLogger(__name__)

END_S = 4.0
"""Supervisors wait longer; a person does not like to."""
FOLLOW_S = 1.0
LOOK_S = 10.0
SILENT_S = 60.0
"""A topic that was not even asked for so long: the process is stuck."""


class TrainerProcess:
    """All parts of one trainer. ``run`` returns when told to stop, and raises what ends it otherwise."""

    def __init__(self, settings: Settings, store: Store) -> None:
        from streams.trainer.noise_rounds import NoiseRounds  # imports torch
        from streams.trainer.rounds import Rounds

        self._settings = settings
        self._metrics = TrainerMetrics()
        self._announcer = Announcer(settings, store, ulid(time.time_ns() // 1_000_000, secrets.token_bytes(10)))
        self._metrics.count_unreadable_models(lambda: self._announcer.unreadable)
        self._intake = Intake(settings, self._metrics)
        self._rounds = Rounds(settings, self._intake, self._announcer, store, self._metrics)
        self._noise = NoiseRounds(settings, self._announcer, store, self._metrics)
        self._priors = PriorRounds(settings, self._intake, self._announcer, store, self._metrics)
        self._board = ModelBoard(self._announcer.registry, store)
        self._ready = False
        watch_broker(self._metrics.registry, self._intake.availability)
        health = TrainerHealth(self._alive, self._checks, self._status, self._reason)
        self.site = TrainerSite(settings.trainer.web, self._metrics.registry, health)

    async def run(self, stop: asyncio.Event) -> None:
        """Train until ``stop`` is set.

        Raises:
            SupersededError: another trainer has begun. TopicError, UsageError: it cannot start.
            UnreachableError: likewise, or the brokers are away for longer than ``kafka.outage_limit_s``.
        """
        await self.site.start()
        try:
            await self._announcer.start()
            self._ready = True
            self._report_announced()
            await self._until(stop)
        finally:
            self._ready = False
            self._rounds.stop()
            self._noise.stop()
            await self._announcer.stop()
            await self.site.stop()

    async def _until(self, stop: asyncio.Event) -> None:
        parts: list[Coroutine[Any, Any, Any]] = [
            stop.wait(), self._intake.run(), self._rounds.run(), self._follow()
        ]  # fmt: skip
        if pools(self._settings):
            parts.append(self._priors.run())
        if self._settings.trainer.noise.enabled:
            parts.append(self._noise.run())
        parts.append(self._look())
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._rounds.stop()
            self._noise.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self) -> None:
        """Follow the model registry, and see whether another trainer has begun."""
        while True:
            try:
                if await self._announcer.follow(FOLLOW_S):
                    self._report_announced()
            except UnreachableError as error:
                log.warning("the model registry cannot be read; trying again: %s", error)
                await asyncio.sleep(RETRY_S)

    async def _look(self) -> None:
        """See what the store holds of refused versions, for the page."""
        while True:
            await self._board.look()
            await asyncio.sleep(LOOK_S)

    def _report_announced(self) -> None:
        for model, registered in self._announcer.registry.items():
            self._metrics.set_announced(model, registered.announcements.get(registered.newest))

    # -- health

    def _alive(self) -> bool:
        trainer, now = self._settings.trainer, time.monotonic()
        at_work = (
            (self._rounds.began_at, trainer.fine_tune.longest_s),
            (self._noise.began_at, trainer.noise.longest_s),
        )
        stuck = any(began is not None and now - began > 2 * longest_s for began, longest_s in at_work)
        return now - self._intake.polled_at < SILENT_S and not stuck

    def _checks(self) -> Mapping[str, bool]:
        return {"announcer": self._ready, "caught_up": self._intake.caught_up.is_set()}

    def _reason(self) -> str:
        return self._intake.availability.reason

    def _status(self) -> TrainerStatus:
        now = time.monotonic()
        parts = TrainerParts(
            announced=self._announcer.registry,
            models=self._board.stories(),
            fresh=self._intake.fresh,
            fine_tune_s=_running_s(self._rounds.began_at, now),
            fine_tuned=self._rounds.latest,
            noise_s=_running_s(self._noise.began_at, now),
            noise_fitted=self._noise.latest,
            reason=self._reason(),
            **self._checks(),
        )
        return trainer_status(self._settings, MetricSamples(self._metrics.registry), parts)


def _running_s(began_at: float | None, now: float) -> float | None:
    return None if began_at is None else now - began_at


def require_torch() -> None:
    """Raises UsageError, with the line that installs it, where torch is missing."""
    extras.require("the trainer", ("torch",), "worker", "trainer")


def serve(settings: Settings, *, child: bool) -> None:
    """Run the trainer in this process until it is told to stop. ``child``: also when stdin closes, and stand back.

    Raises:
        UsageError: torch is missing, or a setting or topic is wrong. UnreachableError: broker or store does not answer.
        SupersededError: another trainer has begun.
    """
    require_torch()
    logs.set_up(settings.log_level)
    if child:
        os.nice(settings.trainer.nice)
    check_store(settings)
    limit_threads(settings)
    asyncio.run(_serve(settings, child=child))


async def _serve(settings: Settings, *, child: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        threading.Thread(target=_cut_off, daemon=True).start()
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, end)
    if child:
        threading.Thread(target=_watch_stdin, args=(loop, end), daemon=True).start()
    await check_topics(settings, access.trainer(settings))
    await TrainerProcess(settings, open_store(settings.store)).run(stop)
    log.info("trainer ends")


def limit_threads(settings: Settings) -> None:
    """Have torch use as many threads as the settings say."""
    import torch

    if settings.trainer.fine_tune.threads:
        torch.set_num_threads(settings.trainer.fine_tune.threads)


def _cut_off() -> None:
    """End the process, done or not: what it is still at has left nothing behind."""
    time.sleep(END_S)
    sys.stderr.flush()
    os._exit(0)


def _watch_stdin(loop: asyncio.AbstractEventLoop, end: Any) -> None:
    """Whoever started us holds the other end: it closes when they end, however they do."""
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 4096):  # not the buffered reader: its lock would outlive this thread
            pass
    with suppress(RuntimeError):  # the loop has ended already
        loop.call_soon_threadsafe(end)
