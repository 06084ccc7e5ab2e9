"""The trainer's own site: its page, ``/healthz``, ``/readyz``, ``/metrics``, ``/status.json``. Read-only; loopback by
default.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry

from sie_online.settings import TrainerWeb
from streams.observe.http import HttpServer, json_page, metrics_page, readiness_page
from streams.observe.page.files import page_routes

log = logging.getLogger(__name__)


class TrainerHealth(NamedTuple):
    """How the trainer is; asked at every request, on the event loop."""

    alive: Callable[[], bool]
    checks: Callable[[], Mapping[str, bool]]
    status: Callable[[], Any]
    reason: Callable[[], str] = str


class TrainerSite:
    """Serves on ``address`` between ``start`` and ``stop``; ``url`` says where."""

    def __init__(self, address: TrainerWeb, registry: CollectorRegistry, health: TrainerHealth) -> None:
        self._health = health
        routes = {
            **page_routes("trainer"),
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": metrics_page(registry),
            "/status.json": self._status,
        }
        self._server = HttpServer("trainer.web", address, routes)

    @property
    def url(self) -> str:
        """Where it listens; empty before it does."""
        return self._server.url

    async def start(self) -> None:
        """Listen; raises what ``HttpServer.open`` raises."""
        await self._server.open()
        log.info("trainer's web site up", extra={"url": self.url})

    async def stop(self) -> None:
        """Close the port."""
        await self._server.close()

    async def _healthz(self, _: web.Request) -> web.Response:
        alive = self._health.alive()
        return json_page({"alive": alive}, ok=alive)

    async def _readyz(self, _: web.Request) -> web.Response:
        return readiness_page(self._health.checks(), self._health.reason())

    async def _status(self, _: web.Request) -> web.Response:
        return json_page(self._health.status())
