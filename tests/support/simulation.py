"""Settled samples of a generated stream, as a worker would publish them: the simulator through one shard."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from sie_online.ingest.headers import Headers
from sie_online.ingest.records import RecordBatch
from sie_online.ingest.wire import final_heartbeats
from sie_online.settings import load
from sie_online.shard import Shard
from sie_online.simulator import Scenario, Simulation, simulate

KAFKA_MS = 1_900_000_000_000  # later than every generated event


class _LogRecord(NamedTuple):
    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int = KAFKA_MS
    headers: Headers = ()


def generated_samples(events: int, *, seed: int = 0, window_s: float = 6 * 3_600.0) -> list[pa.RecordBatch]:
    """The samples of two days with about ``events`` events, in the batches in which they settle."""
    return samples_of(simulate(Scenario(events=events, seed=seed)), window_s=window_s)


def samples_of(stream: Simulation, *, window_s: float) -> list[pa.RecordBatch]:
    """The samples of a generated stream, in the batches in which they settle."""
    settings = load({"labels": {"window_s": window_s}})
    wire = [*stream.records(), *final_heartbeats(settings, stream.last_event_ms, 1)]
    records = [_LogRecord(offset, record.value, record.key) for offset, record in enumerate(wire)]
    shard = Shard(settings, 0)
    batch = RecordBatch.of(records, topic=settings.topics.events, partition=0, epoch=0, start=0, end=len(records))
    batches = [output.gathered.samples for output in shard.process(batch)]
    shard.close()
    return [samples for samples in batches if len(samples)]
