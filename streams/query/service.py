"""The listener of the Query API: who is let in, how many at once, for how long, and where it can be found."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import mode
from aiohttp import web

from sie_online.announcements import RegisteredModel
from sie_online.errors import UnreachableError
from sie_online.pseudonyms import longest_id
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from streams.observe.http import MAX_CONNECTIONS, HttpServer, Respond
from streams.observe.metrics import Metrics
from streams.query import answers, openapi
from streams.query.owners import Owners
from streams.query.problems import ElsewhereError, ProblemError, not_ready
from streams.query.questions import Questions
from streams.query.routes import NAMES, ROUTES, Route
from streams.query.tokens import Tokens
from streams.worker.leases import ShardLeases

log = logging.getLogger(__name__)

ANY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - not listened on here
LINE_BYTES = 2_048
"""Of a request line beside its ids, of which each byte may be spelled in three."""
IDS = 3
JSON = "application/json"
ROUTE: web.RequestKey[str] = web.RequestKey("route", str)
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="sie-online"'}


@dataclass(frozen=True)
class _Address:
    host: str
    port: int
    allowed_hosts: tuple[str, ...]


class QueryApi(mode.Service):
    """Answers on ``settings.api`` while it runs, of the shards in ``leases``; ``url`` says where.

    From its start on every claim of a shard names the address at which this worker can be asked.

    Raises:
        SettingsError: the file of tokens is not fit to be used.
    """

    mundane_level = "debug"

    def __init__(
        self,
        settings: Settings,
        leases: ShardLeases,
        store: CheckpointStore,
        registry: Mapping[str, RegisteredModel],
        metrics: Metrics,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        api = self._api = settings.api
        if api.token_file is None:
            raise ValueError("the Query API is off without api.token_file")
        self._tokens = Tokens(api.token_file)
        self._store = store
        self._owners = Owners(leases, store)
        self._questions = Questions(settings, leases, self._owners, registry)
        self._metrics = metrics.queries(NAMES)
        self._at_work = 0
        own = [name] if (name := urlsplit(api.advertised_url).hostname) else []
        self._server = HttpServer(
            "api",
            _Address(api.host, api.port, (*api.allowed_hosts, *own)),
            {route.pattern: self._respond(route) for route in ROUTES},
            around=[self._around],
            line_bytes=LINE_BYTES + IDS * 3 * longest_id(settings),
            connections=MAX_CONNECTIONS + 2 * api.max_requests,
        )

    @property
    def url(self) -> str:
        """Where it listens; empty before it does."""
        return self._server.url

    async def on_start(self) -> None:
        """Listen; raises what ``HttpServer.open`` raises."""
        await self._server.open()
        self._owners.url = self._store.advertised_url = self._api.advertised_url or reachable(self.url)
        log.info("query API up", extra={"url": self.url, "advertised": self._owners.url})

    async def on_stop(self) -> None:
        """Close the port."""
        await self._server.close()

    def _respond(self, route: Route) -> Respond:
        """What answers on ``route``."""
        if route.answer is None:

            async def tell(request: web.Request) -> web.Response:
                request[ROUTE] = route.name
                return web.Response(body=openapi.document(), content_type=JSON)

            return tell
        answer: Callable[..., Awaitable[Any]] = getattr(self._questions, route.name)

        async def respond(request: web.Request) -> web.Response:
            request[ROUTE] = route.name
            values = route.read(request)
            try:
                async with asyncio.timeout(self._api.timeout_s):
                    return web.Response(body=answers.encode(await answer(**values)), content_type=JSON)
            except ElsewhereError as elsewhere:
                location = route.url(elsewhere.url, values | {"asked": ",".join(elsewhere.asked)})
                return web.Response(status=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": location})
            except TimeoutError:
                raise not_ready(
                    f"no answer within api.timeout_s = {self._api.timeout_s:g} s: the shard is at work, or the brokers"
                    " take nothing; ask again"
                ) from None

        return respond

    @web.middleware
    async def _around(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        started = time.perf_counter()
        response = await self._answered(request, handler)
        self._metrics.observe(request.get(ROUTE, ""), response.status, time.perf_counter() - started)
        return response

    async def _answered(self, request: web.Request, handler: Respond) -> web.StreamResponse:
        """The answer to a request, or the problem with it."""
        try:
            self._let_in(request)
            with self._room():
                return _as_problem(await handler(request))
        except ProblemError as problem:
            return problem.response()
        except web.HTTPException as error:
            return _as_problem(error)
        except UnreachableError as error:
            log.warning("a query needs the store: %s", error)
            return not_ready("the store does not say who owns the partition: ask again").response()
        except Exception:
            log.exception("a query failed", extra={"route": request.get(ROUTE, "")})
            return ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "The worker's log says what went wrong.").response()

    def _let_in(self, request: web.Request) -> None:
        if not self._tokens.admit(request.headers.get("Authorization", "")):
            raise ProblemError(HTTPStatus.UNAUTHORIZED, "Send 'Authorization: Bearer TOKEN'.", CHALLENGE)

    @contextmanager
    def _room(self) -> Any:
        if self._at_work >= self._api.max_requests:
            raise not_ready(f"{self._at_work} requests are being answered (api.max_requests): ask again")
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1


def _as_problem(response: web.StreamResponse) -> web.StreamResponse:
    """A refusal of the server's own (no such page, no such method, no name of ours) as a problem."""
    if response.status < HTTPStatus.BAD_REQUEST:
        return response
    status = HTTPStatus(response.status)
    text = response.text if isinstance(response, web.Response) else None
    said = {
        HTTPStatus.NOT_FOUND: "There is no such page: /v1/openapi.json lists all.",
        HTTPStatus.METHOD_NOT_ALLOWED: "It can only be read: GET.",
    }
    kept = {name: value for name, value in response.headers.items() if name == "Allow"}
    return ProblemError(status, said.get(status, (text or status.phrase).strip()), kept).response()


def reachable(url: str) -> str:
    """``url``, at which we listen, as others may reach it: by this machine's name where it is any address."""
    where = urlsplit(url)
    host = where.hostname or ""
    return f"{where.scheme}://{socket.gethostname()}:{where.port}" if host in ANY_ADDRESS else url
