"""Replaying a log: its records into ``sie.events`` at a chosen pace, then heartbeats that let every window mature.

Heartbeats are for a log that is all there is: on a topic that held other records they would settle the views of
people who are still shopping. Pace and heartbeats go by the clock of the records that a worker will accept; what it
will not accept is written as well, and becomes a dead letter there.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from sie_online.client.connection import connection
from sie_online.errors import SieError, UnreachableError
from sie_online.evaluation.inspection import Inspected, Inspector, SourceFindings
from sie_online.ingest.wire import Chunk, Origin, final_heartbeats
from sie_online.settings import Settings
from streams.tools.pacing import Pacer, ReplayRate
from streams.tools.writer import EventWriter, open_writer

FLUSH_EVERY = 64
"""Chunks from one flush to the next, at any rate: a partition that gets few records shall not hide how far we are."""

LAST_WORDS_S = 5.0
"""How long what was written before an early end may take to be acknowledged."""

Progress = Callable[[int, float], None]
"""Told after every slice: records written so far, and the share of the source in [0, 1]."""

Stopped = Callable[[int, str], None]
"""Told of an early end: how many records the broker has acknowledged, and the place up to which it has all of them
("" where that is not known)."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay has written, and what it was found to be. ``flushed``: with heartbeats at the end."""

    records: int
    heartbeats: int
    partitions: int
    seconds: float
    last_event_ms: int
    flushed: bool
    source: SourceFindings

    @property
    def events_per_s(self) -> float:
        """Records written per second, waiting included."""
        return self.records / max(self.seconds, 1e-9)


async def replay(
    settings: Settings,
    chunks: Iterable[Chunk],
    rate: ReplayRate,
    *,
    flush: bool | None = None,
    strict: bool = False,
    on_progress: Progress | None = None,
    on_stop: Stopped | None = None,
) -> Replayed:
    """Write ``chunks``; with ``flush``, end with a heartbeat to every partition at
    ``sie_online.ingest.wire.maturity_ms``. ``flush`` None: if nothing was ever written to the topic before.

    Whatever ends it early once the topic is open, an error or Ctrl-C, ``on_stop`` is told what has been written.

    Raises:
        UnreachableError: no broker answers, or one stopped answering.
        TopicError: the input topic does not exist.
        UsageError: the source has no valid event or cannot be read on, a record is too large for the topic, or there
            is a dead letter and we are ``strict``: then nothing of its chunk is written.
    """
    async with open_writer(settings) as writer:
        if flush is None:
            flush = await _is_untouched(settings, writer.partitions)
        writing = _Replay(writer, settings, rate, strict)
        try:
            return await writing.run(chunks, flush, on_progress or (lambda _records, _share: None))
        except BaseException as error:
            if on_stop:
                on_stop(*await writing.stopped(isinstance(error, UnreachableError)))
            raise


async def _is_untouched(settings: Settings, partitions: int) -> bool:
    """Whether nothing was ever written to the input topic: open views outlive the records that opened them."""
    reader = AIOKafkaConsumer(**connection(settings))
    try:
        await reader.start()
        ends = await reader.end_offsets([TopicPartition(settings.topics.events, n) for n in range(partitions)])
    except KafkaError as error:
        raise UnreachableError(f"looking at {settings.topics.events} failed: {error!r}") from None
    finally:
        await reader.stop()
    return not any(ends.values())


class _Replay:
    """One replay under way, and the marks by which it knows how far it has come."""

    def __init__(self, writer: EventWriter, settings: Settings, rate: ReplayRate, strict: bool) -> None:
        self._writer = writer
        self._settings = settings
        self._rate = rate
        self._inspector = Inspector(settings, strict=strict)
        self._written = self._chunks = 0
        self._marks: deque[tuple[int, Origin | None]] = deque()
        """Of each chunk that was begun and may not have been acknowledged, the number of its first record."""

    async def run(self, chunks: Iterable[Chunk], flush: bool, on_progress: Progress) -> Replayed:
        """Write everything; returns when all is acknowledged."""
        begin, pacer, before = time.monotonic(), Pacer(self._rate), 0.0
        for inspected in _inspected(chunks, self._inspector):
            chunk = inspected.chunk
            await self._mark(chunk)
            async for part in pacer.slices(inspected.times_ms):
                await self._writer.write(chunk.records[part])
                if self._rate != ReplayRate():
                    await self._writer.flush()
                share = before + (chunk.progress - before) * part.stop / len(chunk)
                on_progress(self._written + part.stop, share)
            self._written, before = self._written + len(chunk), chunk.progress
        last_ms = self._inspector.end_ms
        beats = final_heartbeats(self._settings, last_ms, self._writer.partitions) if flush else []
        await self._writer.write(beats)
        await self._writer.delivered()
        seconds, found = time.monotonic() - begin, self._inspector.findings
        return Replayed(self._written, len(beats), self._writer.partitions, seconds, last_ms, flush, found)

    async def stopped(self, broker_is_away: bool) -> tuple[int, str]:
        """How many records are acknowledged in the end, and up to which place all of them are."""
        if not broker_is_away:
            with suppress(SieError, TimeoutError):
                await asyncio.wait_for(self._writer.delivered(), LAST_WORDS_S)
        count, all_before = self._writer.acknowledged()
        for first, origin in reversed(self._marks):
            if first < all_before and origin is not None:
                return count, origin.place(min(all_before - first, len(origin.lines)) - 1)
        return count, ""

    async def _mark(self, chunk: Chunk) -> None:
        """Note that ``chunk`` is begun, and forget those whose last record is known to be acknowledged."""
        self._chunks += 1
        if self._chunks % FLUSH_EVERY == 0:
            await self._writer.flush()
        _, all_before = self._writer.acknowledged()
        while len(self._marks) > 1 and self._marks[1][0] < all_before:
            self._marks.popleft()
        self._marks.append((self._written, chunk.origin))


def _inspected(chunks: Iterable[Chunk], inspector: Inspector) -> Iterator[Inspected]:
    """The chunks that hold records, looked through. While no event was found, each waits for the next one: of a small
    file that is wrong altogether nothing is written."""
    waiting: list[Inspected] = []
    for chunk in _interruptible(chunks):
        inspected = inspector.inspect(chunk, int(time.time() * 1_000))
        if len(chunk):
            yield from waiting
            waiting = [inspected]
        if inspector.found_events:
            yield from waiting
            waiting = []
    inspector.require_events()


def _interruptible(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """``chunks``, of which none is waited for in vain: Ctrl-C ends the reading of a pipe that is silent."""
    source = iter(chunks)
    while True:
        with _interrupted_at_once():
            chunk = next(source, None)
        if chunk is None:
            return
        yield chunk


@contextmanager
def _interrupted_at_once() -> Iterator[None]:
    """Have Ctrl-C raise where we are; asyncio only takes note of it until somebody awaits."""
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
