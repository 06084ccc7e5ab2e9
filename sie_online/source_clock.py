"""What time the records of a source tell, read as a shard reads them, in which no refused row has a say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sie_online.clock import belief_of, end_ms, follow, new_clock
from sie_online.decoder import Decoder
from sie_online.records import LogRecord, RecordBatch
from sie_online.settings import Settings
from sie_online.settings.rows import Privacy
from sie_online.wire import Chunk


class SourceClock:
    """Goes by the records of one source, all partitions together (`sie_online.clock`)."""

    def __init__(self, settings: Settings) -> None:
        self._decoder = Decoder(settings.model_copy(update={"privacy": Privacy()}))  # ids stay in here
        self._belief = belief_of(settings)
        self._clock = new_clock()
        self._ordinal = 0
        self.told(Chunk([], np.empty(0, np.int64), 0.0), 0)  # compiles here, not at the first record

    @property
    def end_ms(self) -> int:
        """Latest event time, should the source end here, ms since 1970; 0 before the first event."""
        return int(end_ms(self._belief, self._clock[0]))

    def told(self, chunk: Chunk, stamp_ms: int) -> Chunk:
        """``chunk``, written at ``stamp_ms``, with the time at which each record counts; a refused one's predecessor's.

        Chunks are to come in order.
        """
        before = self.end_ms
        records = [LogRecord(at, stamp_ms, key, value) for at, (key, value, _) in enumerate(chunk.records)]
        batch = RecordBatch.of(records, topic="", partition=0, epoch=0, start=0, end=len(records))
        events, _ = self._decoder.decode(batch)
        self._ordinal = follow(self._belief, self._clock[0], events.columns, self._ordinal)
        times_ms, latest = np.zeros(len(chunk), np.int64), np.full(len(chunk), -1)
        times_ms[events.columns["offset"]] = events.columns["now_ms"]
        latest[events.columns["offset"]] = events.columns["offset"]
        latest = np.maximum.accumulate(latest)
        return replace(chunk, times_ms=np.where(latest >= 0, times_ms[latest], before))
