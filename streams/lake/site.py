"""The site of ``sie sink``: ``/healthz``, ``/readyz`` and ``/metrics``, read-only, on ``web.host``.

Looks at the writers as often as Prometheus does, so that what a topic holds is known between commits, too, and while
there are none. Whatever goes wrong in that ends nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from sie_online.client.reader import Span
from sie_online.errors import SieError, UsageError
from sie_online.settings import Web
from streams.lake.metrics import SinkMetrics
from streams.lake.writer import TableWriter
from streams.observe.broker_metrics import watch_broker
from streams.observe.http import HttpServer, json_page, metrics_page, readiness_page

log = logging.getLogger(__name__)

LOOK_EVERY_S = 15.0
UNTIL_BEGUN_S = 1.0
STUCK_AFTER_S = 3_600.0
"""Messages wait for so long and none is read: nothing but a call that never returns. A merge of many files takes
minutes, and whoever ends it has it begun again."""


class SinkSite:
    """Answers on ``port`` of ``address`` while it is entered; ``url`` says where.

    Raises, when it is entered, ``UsageError``: the port is taken, or the address is none of this machine's.
    """

    def __init__(self, address: Web, port: int, metrics: SinkMetrics, writers: Sequence[TableWriter]) -> None:
        self._metrics = metrics
        self._standings = [Standing(writer) for writer in writers]
        self._port = port
        routes = {"/healthz": self._healthz, "/readyz": self._readyz, "/metrics": metrics_page(metrics.registry)}
        self._server = HttpServer("web", address.model_copy(update={"port": port}), routes)
        watch_broker(metrics.registry, *(writer.availability for writer in writers))

    @property
    def url(self) -> str:
        """Where it listens; empty before it does."""
        return self._server.url

    async def __aenter__(self) -> Self:
        try:
            await self._server.open()
        except UsageError as error:
            if isinstance(cause := error.__cause__, OSError):
                raise UsageError(f"--metrics-port {self._port}: cannot listen: {cause.strerror or cause}") from None
            raise
        log.info("sink's web site up", extra={"url": self.url})
        self._looking = asyncio.create_task(self._look_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._looking.cancel()
        await asyncio.wait([self._looking])
        await self._server.close()

    async def _look_on(self) -> None:
        while True:
            begun = [standing for standing in self._standings if standing.writer.has_begun]
            for standing in begun:
                try:
                    await self._look(standing)
                except Exception:
                    log.exception("what the topic of %s holds is not known", standing.writer.stream)
            await asyncio.sleep(LOOK_EVERY_S if len(begun) == len(self._standings) else UNTIL_BEGUN_S)

    async def _look(self, standing: Standing) -> None:
        try:
            spans = await standing.writer.look()
        except SieError:  # which its own reading meets, too, and tells; or it has ended
            spans = None
        standing.take(spans)
        self._metrics.has_looked(standing.writer, spans)

    async def _healthz(self, _: web.Request) -> web.Response:
        alive = all(standing.stalled_s <= STUCK_AFTER_S for standing in self._standings)
        return json_page({"alive": alive, "limit_s": STUCK_AFTER_S}, ok=alive)

    async def _readyz(self, _: web.Request) -> web.Response:
        writers = [standing.writer for standing in self._standings]
        reasons = [writer.availability.reason for writer in writers if writer.availability.reason]
        return readiness_page({writer.stream: writer.has_begun for writer in writers}, " ".join(reasons[:1]))


class Standing:
    """Whether one writer moves, from look to look."""

    def __init__(self, writer: TableWriter, clock: Callable[[], float] = time.monotonic) -> None:
        self.writer = writer
        self._clock = clock
        self._positions: Mapping[int, int] = {}
        self._moved_at = clock()

    def take(self, spans: Mapping[int, Span] | None) -> None:
        """What the topic holds now; None where no broker says, and then nobody can say that messages wait."""
        positions = self.writer.positions
        waits = spans is not None and any(positions.get(number, 0) < span.end for number, span in spans.items())
        if not waits or positions != self._positions:
            self._moved_at = self._clock()
        self._positions = positions

    @property
    def stalled_s(self) -> float:
        """For how many seconds none of the messages that wait was read; 0 where none wait, as of the last look."""
        return self._clock() - self._moved_at if self._positions else 0.0
