"""The worker's own site: ``/healthz``, ``/readyz``, ``/metrics`` and a status page. Read-only; loopback by default.

What is healthy is told by the callables of ``WorkerHealth``, the figures by the metrics' registry.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import mode
from aiohttp import web
from prometheus_client import CollectorRegistry

from sie_online.settings import Settings
from streams.observe.http import HttpServer, is_loopback, json_page, metrics_page, readiness_page
from streams.observe.page.files import page_routes
from streams.observe.page.history import EVERY_S, History
from streams.observe.page.models import Adopted, ModelStory
from streams.observe.page.showcase import LOOK_S, Showcase
from streams.observe.samples import MetricSamples
from streams.observe.status import Beside, adopted, status
from streams.observe.trainer_watch import TrainerWatch

log = logging.getLogger(__name__)

MODELS_S = 30.0
TRAINER_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """How the worker is. Callables are asked at every request, on the event loop, and must not block.

    ``stalled_s``: for how many seconds nothing has been processed although records wait; 0 where none wait.
    ``reason``: a sentence on why it cannot be ready, whatever else holds; empty where there is nothing to say.
    ``input_partitions``: how many the input topic has; 0 where that is not known.
    """

    stalled_s: Callable[[], float]
    assigned: Callable[[], bool]
    recovered: Callable[[], bool]
    agents_running: Callable[[], bool]
    reason: Callable[[], str] = str
    input_partitions: Callable[[], int] = int

    def alive(self, limit_s: float) -> bool:
        """Progress was made within ``limit_s``, or nothing waits."""
        return _ask("stalled_s", lambda: self.stalled_s() <= limit_s)

    def checks(self) -> dict[str, bool]:
        """What readiness needs, by name."""
        asked = {"assigned": self.assigned, "recovered": self.recovered, "agents_running": self.agents_running}
        return {name: _ask(name, check) for name, check in asked.items()}


def _ask(name: str, check: Callable[[], bool]) -> bool:
    try:
        return bool(check())
    except Exception:
        log.exception("health check %s failed", name)
        return False


def shows_ids(settings: Settings) -> bool:
    """Whether the page may name users, items and events: on loopback, or where users have pseudonyms, or as told."""
    if settings.web.ids is not None:
        return settings.web.ids
    return settings.privacy.hmac_key_file is not None or is_loopback(settings.web.host)


class Models(Protocol):
    """Who can tell what was announced and refused."""

    def stories(self, adopted: Mapping[str, Adopted]) -> list[ModelStory]:
        """As of now; ``adopted``: what is in force in which partition, by model."""
        ...

    async def look(self) -> None:
        """Learn what is told of later."""
        ...


class WorkerSite(mode.Service):
    """Serves on ``settings.web`` while it runs; ``url`` says where.

    Beside the metrics the page tells of published statements (``showcase``, which the line feeds), of ``models`` and of
    the trainer beside this worker (``trainer``), and its curves of ``history``. Whatever goes wrong in that is logged
    and ends nothing.
    """

    def __init__(
        self,
        settings: Settings,
        registry: CollectorRegistry,
        health: WorkerHealth,
        models: Models | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.showcase = Showcase(ids=shows_ids(settings))
        self.trainer: TrainerWatch | None = None
        self._broker = settings.broker
        self._limit_s = settings.watchdog.progress_s
        self.registry = registry
        self._health = health
        self._models = models
        self.history = History()
        self._failed: set[str] = set()
        routes = {
            **page_routes("worker"),
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": metrics_page(registry),
            "/status.json": self._status,
        }
        self._server = HttpServer("web", settings.web, routes)

    @property
    def url(self) -> str:
        """Where it listens; empty before it does."""
        return self._server.url

    async def on_start(self) -> None:
        """Listen; raises what ``HttpServer.open`` raises."""
        await self._server.open()
        self.add_future(self._every(EVERY_S, self._take_sample))
        self.add_future(self._every(LOOK_S, self._read_published))
        if self._models is not None:
            self.add_future(self._every(MODELS_S, self._models.look))
        if self.trainer is not None:
            self.add_future(self._every(TRAINER_S, self.trainer.look))
        log.info("web site up", extra={"url": self.url})

    async def on_stop(self) -> None:
        """Close the port."""
        await self._server.close()

    # -- what the page is drawn of

    async def _every(self, seconds: float, look: Callable[[], Awaitable[None]]) -> None:
        while not self.should_stop:
            try:
                await look()
            except Exception:
                if (name := look.__qualname__) not in self._failed:  # once is enough: it will fail again
                    self._failed.add(name)
                    log.exception("the status page lacks something: %s failed", name)
            await self.sleep(seconds)

    async def _take_sample(self) -> None:
        self.history.take(MetricSamples(self.registry), time.time())

    async def _read_published(self) -> None:
        if taken := self.showcase.taken():
            await asyncio.to_thread(self.showcase.read, taken, time.time())

    # -- pages

    async def _healthz(self, _: web.Request) -> web.Response:
        alive = self._health.alive(self._limit_s)
        return json_page({"alive": alive, "limit_s": self._limit_s}, ok=alive)

    async def _readyz(self, _: web.Request) -> web.Response:
        return readiness_page(self._health.checks(), self._health.reason())

    async def _status(self, _: web.Request) -> web.Response:
        health, samples = self._health, MetricSamples(self.registry)
        beside = Beside(
            history=self.history,
            published=self.showcase.shown,
            broker=self._broker,
            of_topic=health.input_partitions(),
            stalled_s=health.stalled_s(),
            models=self._models.stories(adopted(samples)) if self._models is not None else [],
            trainer=self.trainer.told if self.trainer is not None else None,
        )
        alive, reason = health.alive(self._limit_s), health.reason()
        return json_page(status(samples, alive=alive, checks=health.checks(), reason=reason, beside=beside))
