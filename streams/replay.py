"""Replaying a log: its records into ``sie.events`` at a chosen pace, then heartbeats that let every window mature."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sie_online.settings import Settings
from sie_online.wire import Chunk, final_heartbeats
from streams.pacing import Pacer, Rate
from streams.writer import EventWriter, open_writer

Progress = Callable[[int, float], None]
"""Told after every slice: records written so far, and the share of the source in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay has written. ``disorder_ms`` is how far event time ever ran backwards."""

    records: int
    heartbeats: int
    partitions: int
    seconds: float
    last_event_ms: int
    disorder_ms: int

    @property
    def events_per_s(self) -> float:
        """Records written per second, waiting included."""
        return self.records / max(self.seconds, 1e-9)


async def replay(
    settings: Settings, chunks: Iterable[Chunk], rate: Rate, *, flush: bool = True, on_progress: Progress | None = None
) -> Replayed:
    """Write ``chunks``; with ``flush``, end with a heartbeat to every partition at
    ``sie_online.wire.maturity_ms``.

    Raises:
        UnreachableError: no broker answers, or one stopped answering.
        TopicError: the input topic does not exist.
        UsageError: the source has a bad row, or a record is too large for the topic.
    """
    async with open_writer(settings) as writer:
        return await _write(writer, settings, chunks, rate, flush, on_progress or (lambda _records, _share: None))


async def _write(
    writer: EventWriter, settings: Settings, chunks: Iterable[Chunk], rate: Rate, flush: bool, on_progress: Progress
) -> Replayed:
    begin = time.monotonic()
    pacer, written, before, clock_ms, disorder_ms = Pacer(rate), 0, 0.0, 0, 0
    for chunk in chunks:
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
    beats = final_heartbeats(settings, clock_ms, writer.partitions) if flush and written else []
    await writer.write(beats)
    await writer.delivered()
    return Replayed(written, len(beats), writer.partitions, time.monotonic() - begin, clock_ms, disorder_ms)
