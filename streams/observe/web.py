"""The worker's own site: ``/healthz``, ``/readyz``, ``/metrics`` and a status page. Read-only; loopback by default.

What is healthy is told by the callables of ``WorkerHealth``, the figures by the metrics' registry.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any

import mode
from aiohttp import web
from prometheus_client import CollectorRegistry

from sie_online.settings import Settings
from streams.observe.http import HttpServer, json_page, metrics_page, readiness_page
from streams.observe.status import status

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """How the worker is. Callables are asked at every request, on the event loop, and must not block.

    ``stalled_s``: for how many seconds nothing has been processed although records wait; 0 where none wait.
    ``reason``: a sentence on why it cannot be ready, whatever else holds; empty where there is nothing to say.
    """

    stalled_s: Callable[[], float]
    assigned: Callable[[], bool]
    recovered: Callable[[], bool]
    agents_running: Callable[[], bool]
    reason: Callable[[], str] = str

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


class WorkerSite(mode.Service):
    """Serves on ``settings.web`` while it runs; ``url`` says where."""

    def __init__(self, settings: Settings, registry: CollectorRegistry, health: WorkerHealth, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._limit_s = settings.watchdog.progress_s
        self._registry = registry
        self._health = health
        self._page = resources.files("streams.observe").joinpath("status.html").read_bytes()
        routes = {
            "/": self._index,
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
        log.info("web site up", extra={"url": self.url})

    async def on_stop(self) -> None:
        """Close the port."""
        await self._server.close()

    # -- pages

    async def _index(self, _: web.Request) -> web.Response:
        return web.Response(body=self._page, content_type="text/html", charset="utf-8")

    async def _healthz(self, _: web.Request) -> web.Response:
        alive = self._health.alive(self._limit_s)
        return json_page({"alive": alive, "limit_s": self._limit_s}, ok=alive)

    async def _readyz(self, _: web.Request) -> web.Response:
        return readiness_page(self._health.checks(), self._health.reason())

    async def _status(self, _: web.Request) -> web.Response:
        health, reason = self._health, self._health.reason()
        alive = health.alive(self._limit_s)
        return json_page(status(self._registry, alive=alive, checks=health.checks(), reason=reason))
