"""The worker's own site: ``/healthz``, ``/readyz``, ``/metrics`` and a status page. Read-only; loopback by default.

Owns the HTTP side; what is healthy is told by the callables of ``Health``, the figures by the metrics' registry.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import mode
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sie_online.errors import UsageError
from sie_online.settings import Settings
from streams.status import as_json, status

log = logging.getLogger(__name__)

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:;"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Server": "sie-online",  # aiohttp would name itself and Python with their versions
    "X-Content-Type-Options": "nosniff",
}

SHUTDOWN_S = 1.0
"""Nobody should wait for a scrape when a worker stops."""

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Health:
    """How the worker is. Callables are asked at every request, on the event loop, and must not block.

    ``stalled_s``: for how many seconds nothing has been processed although records wait; 0 where none wait.
    """

    stalled_s: Callable[[], float]
    assigned: Callable[[], bool]
    recovered: Callable[[], bool]
    agents_running: Callable[[], bool]

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


class Site(mode.Service):
    """Serves on ``settings.web`` while it runs; ``url`` says where."""

    def __init__(self, settings: Settings, registry: CollectorRegistry, health: Health, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url = ""
        self._web = settings.web
        self._limit_s = settings.watchdog.progress_s
        self._registry = registry
        self._health = health
        self._runner: web.AppRunner | None = None

    async def on_start(self) -> None:
        """Listen.

        Raises:
            UsageError: the address cannot be listened on; says which setting to change.
        """
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._web.host, self._web.port).start()
        except OSError as error:
            await runner.cleanup()
            raise UsageError(self._refusal(error)) from error
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        log.info("web site up", extra={"url": self.url})

    async def on_stop(self) -> None:
        """Close the port."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _refusal(self, error: OSError) -> str:
        host, port = self._web.host, self._web.port
        if error.errno == errno.EADDRINUSE:
            return f"web.port: {port} on {host} is taken: set SIE_WEB__PORT to a free port, or to 0 to have one picked"
        name = "web.port" if error.errno == errno.EACCES else "web.host"
        cause = error.strerror or str(error)
        return f"{name}: cannot listen on {host}:{port} ({cause}): set SIE_WEB__HOST and SIE_WEB__PORT"

    # -- pages

    def _application(self) -> web.Application:
        application = web.Application()
        page = resources.files("streams").joinpath("status.html").read_bytes()

        async def index(_: web.Request) -> web.Response:
            return web.Response(body=page, content_type="text/html", charset="utf-8")

        routes: Mapping[str, Respond] = {
            "/": index,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status.json": self._status,
        }
        application.add_routes([web.get(path, respond) for path, respond in routes.items()])
        application.on_response_prepare.append(_add_headers)
        return application

    async def _healthz(self, _: web.Request) -> web.Response:
        alive = self._health.alive(self._limit_s)
        return _json({"alive": alive, "limit_s": self._limit_s}, ok=alive)

    async def _readyz(self, _: web.Request) -> web.Response:
        checks = self._health.checks()
        ready = all(checks.values())
        return _json({"ready": ready} | checks, ok=ready)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _status(self, _: web.Request) -> web.Response:
        health = self._health
        return _json(status(self._registry, alive=health.alive(self._limit_s), checks=health.checks()), ok=True)


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _json(document: Any, *, ok: bool) -> web.Response:
    return web.Response(body=as_json(document), status=200 if ok else 503, content_type="application/json")
