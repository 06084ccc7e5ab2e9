"""The trainer's own site: ``/healthz``, ``/readyz``, ``/metrics``, ``/status.json``. Read-only; loopback by default."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sie_online.errors import UsageError
from sie_online.settings import TrainerWeb
from streams.status import as_json
from streams.web import HEADERS, SHUTDOWN_S

log = logging.getLogger(__name__)


class Health(NamedTuple):
    """How the trainer is; asked at every request, on the event loop."""

    alive: Callable[[], bool]
    checks: Callable[[], Mapping[str, bool]]
    status: Callable[[], Mapping[str, Any]]


class TrainerSite:
    """Serves on ``address`` between ``start`` and ``stop``; ``url`` says where."""

    def __init__(self, address: TrainerWeb, registry: CollectorRegistry, health: Health) -> None:
        self.url = ""
        self._address = address
        self._registry = registry
        self._health = health
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Open the port.

        Raises:
            UsageError: the address cannot be listened on; says which setting to change.
        """
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._address.host, self._address.port).start()
        except OSError as error:
            await runner.cleanup()
            raise UsageError(self._refusal(error)) from error
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        log.info("trainer's web site up", extra={"url": self.url})

    async def stop(self) -> None:
        """Close the port."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _refusal(self, error: OSError) -> str:
        at = f"{self._address.host}:{self._address.port}"
        if error.errno == errno.EADDRINUSE:
            return f"trainer.web.port: {at} is taken: set SIE_TRAINER__WEB__PORT to a free port, or to 0"
        cause = error.strerror or str(error)
        return f"trainer.web: cannot listen on {at} ({cause}): set SIE_TRAINER__WEB__HOST and SIE_TRAINER__WEB__PORT"

    def _application(self) -> web.Application:
        application = web.Application()
        routes = {
            "/": self._status,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/status.json": self._status,
        }
        application.add_routes([web.get(path, respond) for path, respond in routes.items()])
        application.on_response_prepare.append(_add_headers)
        return application

    async def _healthz(self, _: web.Request) -> web.Response:
        alive = self._health.alive()
        return _json({"alive": alive}, ok=alive)

    async def _readyz(self, _: web.Request) -> web.Response:
        checks = dict(self._health.checks())
        ready = all(checks.values())
        return _json({"ready": ready} | checks, ok=ready)

    async def _status(self, _: web.Request) -> web.Response:
        return _json(dict(self._health.status()), ok=True)

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def _json(document: Mapping[str, Any], *, ok: bool) -> web.Response:
    return web.Response(body=as_json(dict(document)), status=200 if ok else 503, content_type="application/json")
