"""What the sites of worker and trainer have in common: the port, the headers, the answers to probes and Prometheus.

Read-only. Which pages there are, and what they say, is the sites' own.
"""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sie_online.errors import UsageError
from streams.status import as_json

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
"""Nobody should wait for a scrape when a process stops."""

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Address(Protocol):
    """Where to listen, as settings have it; port 0 picks a free one."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...


class HttpServer:
    """Answers ``routes`` on ``address`` between ``open`` and ``close``; ``url`` says where.

    ``section`` is the settings section that the address is of; a refusal names it.
    """

    def __init__(self, section: str, address: Address, routes: Mapping[str, Respond]) -> None:
        self.url = ""
        self._section = section
        self._address = address
        self._routes = routes
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen.

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

    async def close(self) -> None:
        """Close the port; a second call does nothing."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application()
        application.add_routes([web.get(path, respond) for path, respond in self._routes.items()])
        application.on_response_prepare.append(_add_headers)
        return application

    def _refusal(self, error: OSError) -> str:
        host, port, section = self._address.host, self._address.port, self._section
        variable = f"SIE_{section.replace('.', '__').upper()}"
        if error.errno == errno.EADDRINUSE:
            taken = f"{section}.port: {port} on {host} is taken"
            return f"{taken}: set {variable}__PORT to a free port, or to 0 to have one picked"
        name = f"{section}.port" if error.errno == errno.EACCES else f"{section}.host"
        cause = error.strerror or str(error)
        return f"{name}: cannot listen on {host}:{port} ({cause}): set {variable}__HOST and {variable}__PORT"


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def json_page(document: Any, *, ok: bool = True) -> web.Response:
    """``document`` as JSON, with status 200 or 503."""
    return web.Response(body=as_json(document), status=200 if ok else 503, content_type="application/json")


def readiness_page(checks: Mapping[str, bool]) -> web.Response:
    """All of ``checks`` together and each by its name."""
    ready = all(checks.values())
    return json_page({"ready": ready, **checks}, ok=ready)


def metrics_page(registry: CollectorRegistry) -> Respond:
    """What answers with the metrics in ``registry``, in the format that is asked for."""

    async def respond(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return respond
