"""What the sites of worker and trainer have in common: the port, the headers, the answers to probes and Prometheus.

Read-only. Which pages there are, and what they say, is the sites' own. Whoever reaches the port can neither hold
connections open nor use up file descriptors, and a browser is answered only under a name that is ours.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sie_online.errors import UsageError

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "sie-online",  # aiohttp would name itself and Python with their versions
    "X-Content-Type-Options": "nosniff",
}

SHUTDOWN_S = 1.0
"""Nobody should wait for a scrape when a process stops."""

IDLE_S = 5.0
"""A connection on which no whole request has come for so long is closed, however many bytes of one trickle in."""
MAX_CONNECTIONS = 64
"""Probes, Prometheus and a few people with the page open need a tenth of it. Beyond, the oldest makes room, so that
half-open ones never keep a probe out."""
BACKLOG = 32
"""Connections that are taken before the bound is looked at again."""
MAX_LINE_BYTES = 1_024
MAX_HEADERS = 64
MAX_HEADER_BYTES = 8_190  # a browser sends the cookies of every service on this host

LOOPBACK_NAME = "localhost"

Respond = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Address(Protocol):
    """Where to listen, as settings have it; port 0 picks a free one."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def allowed_hosts(self) -> Collection[str]: ...


class HttpServer:
    """Answers ``routes`` on ``address`` between ``open`` and ``close``; ``url`` says where.

    ``section`` is the settings section that the address is of; a refusal names it. ``around`` stands around all
    answers, refusals of this server included; ``line_bytes`` bounds the request line, ``connections`` their number.
    """

    def __init__(
        self,
        section: str,
        address: Address,
        routes: Mapping[str, Respond],
        *,
        around: Sequence[Middleware] = (),
        line_bytes: int = MAX_LINE_BYTES,
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.url = ""
        self._section = section
        self._address = address
        self._routes = routes
        self._around = around
        self._line_bytes = line_bytes
        self._connections = connections
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen.

        Raises:
            UsageError: the address cannot be listened on; says which setting to change.
        """
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=SHUTDOWN_S,
            keepalive_timeout=IDLE_S,
            lingering_time=SHUTDOWN_S,
            max_line_size=self._line_bytes,
            max_headers=MAX_HEADERS,
            max_field_size=MAX_HEADER_BYTES,
        )
        await runner.setup()
        try:
            listener = await asyncio.get_running_loop().create_server(
                lambda: _admitted(runner, self._connections), self._address.host, self._address.port, backlog=BACKLOG
            )
        except OSError as error:
            await runner.cleanup()
            raise UsageError(self._refusal(error)) from error
        self._runner, self._listener = runner, listener
        host, port = listener.sockets[0].getsockname()[:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def close(self) -> None:
        """Close the port; a second call does nothing."""
        runner, self._runner = self._runner, None
        listener, self._listener = self._listener, None
        if runner is not None and listener is not None:
            listener.close()
            await runner.cleanup()

    def _application(self) -> web.Application:
        application = web.Application(middlewares=[*self._around, self._known_host], client_max_size=MAX_LINE_BYTES)
        application.add_routes([web.get(path, respond) for path, respond in self._routes.items()])
        application.on_response_prepare.append(_add_headers)
        return application

    @web.middleware
    async def _known_host(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """Refuse a name that is not ours: a foreign page may have pointed its own name at this address."""
        if is_known_host(request.headers.get("Host"), (self._address.host, *self._address.allowed_hosts)):
            return await handler(request)
        variable = f"SIE_{self._section.replace('.', '__').upper()}__ALLOWED_HOSTS"
        text = f"this site does not answer to that name: use an address, or name it in {self._section}.allowed_hosts "
        return web.Response(status=421, text=f"{text}({variable}='[\"NAME\"]')\n")

    def _refusal(self, error: OSError) -> str:
        host, port, section = self._address.host, self._address.port, self._section
        variable = f"SIE_{section.replace('.', '__').upper()}"
        if error.errno == errno.EADDRINUSE:
            taken = f"{section}.port: {port} on {host} is taken"
            return f"{taken}: set {variable}__PORT to a free port, or to 0 to have one picked"
        name = f"{section}.port" if error.errno == errno.EACCES else f"{section}.host"
        cause = error.strerror or str(error)
        return f"{name}: cannot listen on {host}:{port} ({cause}): set {variable}__HOST and {variable}__PORT"


def _admitted(runner: web.AppRunner, most: int) -> asyncio.Protocol:
    """Who handles a new connection; beyond ``most`` the oldest are cut off."""
    server = runner.server
    if server is None:
        raise ConnectionAbortedError("the site is being closed")
    connections = server.connections
    for oldest in connections[: max(0, len(connections) - most + 1)]:
        if oldest.transport is not None:
            oldest.transport.abort()
    return server()


def is_known_host(header: str | None, names: Collection[str]) -> bool:
    """Whether a ``Host`` header is none, an address, a name of this machine, or one of ``names``.

    None is what HTTP/1.0 clients send; browsers, who could be led here by a foreign name, always send one.
    """
    if header is None:
        return True
    name = _without_port(header).rstrip(".").lower()
    own = {LOOPBACK_NAME, socket.gethostname().lower(), *(known.lower() for known in names)}
    return name in own or name.endswith(f".{LOOPBACK_NAME}") or _is_address(name)


def is_loopback(host: str) -> bool:
    """Whether who listens on ``host`` is heard on this machine alone."""
    return host == LOOPBACK_NAME or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _without_port(header: str) -> str:
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)


def json_page(document: Any, *, ok: bool = True) -> web.Response:
    """``document`` as JSON, with status 200 or 503; what is not finite becomes null."""
    return web.Response(body=msgspec.json.encode(document), status=200 if ok else 503, content_type="application/json")


def readiness_page(checks: Mapping[str, bool], reason: str) -> web.Response:
    """All of ``checks`` together and each by its name; a ``reason`` why not, where there is one, decides."""
    ready = all(checks.values()) and not reason
    return json_page({"ready": ready, **checks} | ({"reason": reason} if reason else {}), ok=ready)


def metrics_page(registry: CollectorRegistry) -> Respond:
    """What answers with the metrics in ``registry``, in the format that is asked for."""

    async def respond(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    return respond
