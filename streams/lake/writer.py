"""From a topic into its table, message by message, commit by commit. Owns the order in which the two are asked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from sie_online.client.availability import Availability
from sie_online.client.reader import Message, Span
from sie_online.client.rows import read_batch
from sie_online.client.unreadable import Unreadable
from sie_online.contracts import FINGERPRINT_HEADER
from sie_online.errors import DecisionError, MessageError
from sie_online.settings import Settings
from streams.lake.decisions import check_same, check_topic, positions
from streams.lake.layout import SCHEMAS, lake_schema
from streams.lake.marks import settings_number
from streams.lake.places import Place
from streams.lake.port import FINAL, About, Flush, Held, LakeTable
from streams.lake.reading import LakeReader
from streams.lake.waiting import Limits, WaitingRows
from streams.threads import in_thread

log = logging.getLogger(__name__)

LOOK_EVERY_S = 300.0
"""How often files are looked through for some to merge."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a sink is told. ``compact_after_h``: an hour of events that got no file for so long is merged; 0: never."""

    place: Place
    rows: str = FINAL
    limits: Limits = field(default_factory=Limits)
    compact_after_h: float = 2.0
    idle_s: float | None = None
    accept_gap: bool = False
    strict: bool = False


class Watch(Protocol):
    """Is told what writers do."""

    def has_read(self, writer: TableWriter) -> None:
        """Some more messages are read."""

    def has_committed(self, writer: TableWriter, flush: Flush, took_s: float, lag: int | None) -> None:
        """Rows are in the table; ``lag`` messages of the topic are not yet, None where no broker says."""


class TableWriter:
    """Writes ``stream`` (weights or samples) to its table until told to stop, or idle for long enough."""

    def __init__(self, settings: Settings, stream: str, order: Order, watch: Watch) -> None:
        self.stream = stream
        self.topic = str(getattr(settings.topics, stream))
        self.url = order.place.table_url(stream)
        self.unreadable = Unreadable(strict=order.strict)
        self.rows_read = 0
        self.rows = 0
        """Rows committed."""
        self.begins: Mapping[int, int] = {}
        self.spans: Mapping[int, Span] = {}
        """Where this writer began in each partition, and what the log held then."""
        self.held: Mapping[int, int] = {}
        """The first offset that the table lacks, by partition."""
        self._order = order
        self._watch = watch
        self._reader = LakeReader(settings, self.topic)
        self._table: LakeTable = order.place.table(stream)
        self._waiting: WaitingRows | None = None
        self._held: Held | None = None
        self._looked = time.monotonic()

    @property
    def rows_waiting(self) -> int:
        """Rows read that wait for the next commit."""
        return self._waiting.rows if self._waiting else 0

    @property
    def has_begun(self) -> bool:
        """Whether the table is taken up, and what it lacks is being read."""
        return self._waiting is not None

    @property
    def availability(self) -> Availability:
        """Of the brokers, as this writer's reading finds them."""
        return self._reader.availability

    async def look(self) -> Mapping[int, Span] | None:
        """What the topic's log holds now; None where no broker says.

        Raises what ``TopicReader.poll`` raises.
        """
        return await self._reader.look()

    @property
    def positions(self) -> dict[int, int]:
        """Next offset to be read, by partition."""
        return self._reader.positions

    async def run(self, stop: asyncio.Event) -> None:
        """Read and commit until ``stop`` is set or nothing came for ``idle_s``; what was read is committed at the end.

        Raises:
            DecisionError: table and topic disagree, another sink writes the table, or retention was faster.
            UsageError: the table holds something else.
            UnreachableError: broker or store are away, or fail. What was read since the last commit is read again.
        """
        stopping = asyncio.create_task(stop.wait())
        try:
            async with self._reader:
                waiting = await self._take_up()
                while not stop.is_set() and (messages := await self._next(waiting, stopping)) is not None:
                    for message in messages:
                        self._take(waiting, message)
                        if waiting.due_s <= 0:  # of many messages that came at once, not all may wait together
                            await self._commit(waiting)
                    self._watch.has_read(self)
                    if waiting.due_s <= 0:
                        await self._commit(waiting)
                await self._commit(waiting)
        finally:
            stopping.cancel()

    async def _take_up(self) -> WaitingRows:
        """Take the table over, and go to where it ends."""
        rows = self._order.rows if "final" in SCHEMAS[self.stream].names else FINAL
        about = About(self.topic, await self._reader.topic_id(), rows, lake_schema(self.stream))
        held = await in_thread(None, self._table.resume, about)
        check_same(held, about, self.url)
        self._held = held
        self.spans = await self._reader.spans()
        self.begins = positions(held, self.spans, self.url, accept_gap=self._order.accept_gap)
        self.held = self.begins
        self._reader.go_to(self.begins)
        log.info("sink goes on", extra={"table": self.url, "topic": self.topic, "offsets": dict(self.begins)})
        self._waiting = WaitingRows(self.stream, rows, held.marks, self._order.limits)
        return self._waiting

    async def _next(self, waiting: WaitingRows, stopping: asyncio.Task[bool]) -> list[Message] | None:
        try:
            found = await self._reader.read_within(waiting.due_s, self._order.idle_s, stopping)
        except DecisionError as error:
            raise DecisionError(
                f"{error}; what was read before is in {self.url}, up to its last commit. Go on behind the gap with"
                " --accept-gap"
            ) from None
        return None if found is None else list(found)

    def _take(self, waiting: WaitingRows, message: Message) -> None:
        try:
            batch = read_batch(message.value, message, SCHEMAS[self.stream])
        except MessageError as error:
            self.unreadable.pass_over(error)
            waiting.pass_over(message.partition, message.offset)
            return
        waiting.add(message.partition, message.offset, batch, settings_number(_fingerprint(message)))
        self.rows_read += len(batch)

    async def _commit(self, waiting: WaitingRows) -> None:
        if (flush := waiting.take()) is not None:
            await self._check_topic()
            begun = time.monotonic()
            await in_thread(None, self._table.commit, flush)
            took_s = time.monotonic() - begun
            self.rows += len(flush.table)
            self.held = {**self.held, **{number: mark.next_offset for number, mark in flush.marks.items()}}
            self._watch.has_committed(self, flush, took_s, await self._reader.lag(waiting.marks))
        await self._compact()

    async def _check_topic(self) -> None:
        """What was read since the last commit must be of the same topic still, not of one made anew meanwhile."""
        if self._held is not None:
            check_topic(self._held, await self._reader.topic_id(), self.url)

    async def _compact(self) -> None:
        """Now and then."""
        if self._order.compact_after_h and time.monotonic() - self._looked > LOOK_EVERY_S:
            quiet_ms = int((time.time() - self._order.compact_after_h * 3600) * 1000)
            if merged := await in_thread(None, self._table.compact, quiet_ms):
                log.info("files merged", extra={"table": self.url, "files": merged})
            self._looked = time.monotonic()


def _fingerprint(message: Message) -> bytes | None:
    return next((value for name, value in message.headers if name == FINGERPRINT_HEADER), None)
