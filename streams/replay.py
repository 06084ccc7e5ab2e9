"""Replaying a log: its records into ``sie.events`` at a chosen pace, then heartbeats that let every window mature.

Heartbeats are for a log that is all there is: on a topic that held other records they would settle the views of
people who are still shopping. Pace and heartbeats go by the clock of the records that a worker will accept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from sie_online.client.connection import connection
from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from sie_online.source_clock import SourceClock
from sie_online.wire import Chunk, final_heartbeats
from streams.pacing import Pacer, Rate
from streams.writer import EventWriter, open_writer

Progress = Callable[[int, float], None]
"""Told after every slice: records written so far, and the share of the source in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay has written. ``disorder_ms`` is how far event time ever ran backwards; ``flushed``: with
    heartbeats at the end."""

    records: int
    heartbeats: int
    partitions: int
    seconds: float
    last_event_ms: int
    disorder_ms: int
    flushed: bool

    @property
    def events_per_s(self) -> float:
        """Records written per second, waiting included."""
        return self.records / max(self.seconds, 1e-9)


async def replay(
    settings: Settings,
    chunks: Iterable[Chunk],
    rate: Rate,
    *,
    flush: bool | None = None,
    on_progress: Progress | None = None,
) -> Replayed:
    """Write ``chunks``; with ``flush``, end with a heartbeat to every partition at
    ``sie_online.wire.maturity_ms``. ``flush`` None: if nothing was ever written to the topic before.

    Raises:
        UnreachableError: no broker answers, or one stopped answering.
        TopicError: the input topic does not exist.
        UsageError: the source has a bad row, or a record is too large for the topic.
    """
    async with open_writer(settings) as writer:
        if flush is None:
            flush = await _is_untouched(settings, writer.partitions)
        return await _write(writer, settings, chunks, rate, flush, on_progress or (lambda _records, _share: None))


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


async def _write(
    writer: EventWriter, settings: Settings, chunks: Iterable[Chunk], rate: Rate, flush: bool, on_progress: Progress
) -> Replayed:
    begin = time.monotonic()
    pacer, source_clock = Pacer(rate), SourceClock(settings)
    written, before, clock_ms, disorder_ms = 0, 0.0, 0, 0
    for chunk in (source_clock.told(chunk, int(time.time() * 1_000)) for chunk in chunks):
        async for part in pacer.slices(chunk):
            await writer.write(chunk.records[part])
            if rate != Rate():
                await writer.flush()
            share = before + (chunk.progress - before) * part.stop / len(chunk)
            on_progress(written + part.stop, share)
        if len(chunk):
            clock = np.maximum.accumulate(np.maximum(chunk.times_ms, clock_ms))
            clock_ms, disorder_ms = int(clock[-1]), max(disorder_ms, int((clock - chunk.times_ms).max()))
        written, before = written + len(chunk), chunk.progress
    last_ms = source_clock.end_ms
    beats = final_heartbeats(settings, last_ms, writer.partitions) if flush else []
    await writer.write(beats)
    await writer.delivered()
    seconds = time.monotonic() - begin
    return Replayed(written, len(beats), writer.partitions, seconds, last_ms, disorder_ms, flush)
