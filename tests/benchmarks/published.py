"""What a contestant has published, read after its run: when the broker got it, and whether anything is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from aiokafka import AIOKafkaConsumer, TopicPartition

from sie_online.settings import Settings
from sie_online.unpacking import from_message
from tests.support.topic_io import ends

OFFSET_BITS = 40
FETCH_BYTES = 8 << 20


@dataclass
class Messages:
    """Appending times (ms since 1970, the broker's clock) of every message, and how many events each tells of first.

    ``events`` is the identity of every event that has a first statement, ``rows`` and ``final`` count statements.
    """

    appended_ms: list[int] = field(default_factory=list)
    n_events: list[int] = field(default_factory=list)
    events: list[np.ndarray] = field(default_factory=list)
    rows: int = 0
    final: int = 0

    @property
    def first_ms(self) -> int:
        """When the first message was appended."""
        return min(self.appended_ms)

    @property
    def last_ms(self) -> int:
        """When the last message was appended."""
        return max(self.appended_ms)

    def events_after_first(self) -> int:
        """Events told of in messages that came after the first one: what the time from first to last was spent on."""
        first = self.first_ms
        return sum(n for n, at in zip(self.n_events, self.appended_ms, strict=True) if at > first)

    def distinct_events(self) -> int:
        """Different events that have a first statement."""
        return len(np.unique(np.concatenate(self.events))) if self.events else 0


def topic_bytes(folder: Path, topic: str) -> int:
    """Bytes of a topic's log on the disk of the one broker, which keeps its data under ``folder``."""
    return sum(log.stat().st_size for log in folder.glob(f"broker/**/{topic}-[0-9]*/*.log"))


def read_plain(settings: Settings, topic: str) -> Messages:
    """A topic with one message per event."""
    found = Messages()
    asyncio.run(_read(settings, topic, lambda at, _value: _add_plain(found, at)))
    return found


def read_weights(settings: Settings) -> Messages:
    """The worker's weights and samples."""
    found = Messages()
    asyncio.run(_read(settings, settings.topics.weights, lambda at, value: _add_weights(found, at, value)))
    asyncio.run(_read(settings, settings.topics.samples, lambda at, _value: _add_time(found, at)))
    return found


def _add_plain(found: Messages, at: int) -> None:
    found.appended_ms.append(at)
    found.n_events.append(1)
    found.rows += 1


def _add_time(found: Messages, at: int) -> None:
    found.appended_ms.append(at)
    found.n_events.append(0)


def _add_weights(found: Messages, at: int, value: bytes) -> None:
    table = from_message(value)
    first = table.filter(pc.equal(table["revision"], 0))
    identity = (first["partition"].to_numpy().astype(np.int64) << OFFSET_BITS) | first["offset"].to_numpy()
    found.appended_ms.append(at)
    found.n_events.append(len(first))
    found.events.append(identity)
    found.rows += len(table)
    found.final += int(pc.sum(table["final"]).as_py() or 0)


async def _read(settings: Settings, topic: str, take: Callable[[int, bytes], None]) -> None:
    last = {TopicPartition(topic, p): end for p, end in (await asyncio.to_thread(ends, settings, topic)).items()}
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker, max_partition_fetch_bytes=FETCH_BYTES)
    await consumer.start()
    try:
        consumer.assign(list(last))
        await consumer.seek_to_beginning(*last)
        while any([await consumer.position(tp) < end for tp, end in last.items()]):
            for records in (await consumer.getmany(timeout_ms=200, max_records=500)).values():
                for record in records:
                    take(record.timestamp, record.value)
    finally:
        await consumer.stop()
