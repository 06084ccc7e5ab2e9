"""Keeping the clocks of silent partitions running: a shard's time is event time, and no event means no time.

A partition whose log does not grow for a while gets a heartbeat. Off by default: it writes to the input topic.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from sie_online.client.access import failure
from sie_online.client.consumer import PatientConsumer
from sie_online.ingest.wire import heartbeat
from sie_online.settings import Settings
from streams.tools.writer import EventWriter, open_writer


class Silence:
    """How long each partition's log has not grown. Times are seconds of a monotonic clock."""

    def __init__(self, silent_s: float) -> None:
        self._silent_s = silent_s
        self._ends: dict[int, int] = {}
        self._since: dict[int, float] = {}

    def observe(self, ends: dict[int, int], now: float) -> list[int]:
        """Partitions silent for ``silent_s`` or longer, given every partition's end offset now.

        The heartbeat that such a partition then gets makes its log grow, so its silence starts anew.
        """
        silent = []
        for partition, end in ends.items():
            if self._ends.get(partition) != end:
                self._ends[partition], self._since[partition] = end, now
            elif now - self._since[partition] >= self._silent_s:
                silent.append(partition)
        return silent


async def keep_beating(
    settings: Settings, *, silent_s: float, behind_s: float, on_beat: Callable[[int, int], None]
) -> None:
    """Until cancelled, send each partition silent for ``silent_s`` a heartbeat at now − ``behind_s``.

    ``on_beat(partition, timestamp_ms)`` is told of each. Meant for live streams, whose event time is the wall clock.

    Raises:
        UnreachableError: no broker answers, or one stopped answering.
        TopicError: the input topic does not exist.
    """
    async with open_writer(settings) as writer:
        watcher = PatientConsumer(settings)
        try:
            await watcher.start()
            await _watch(settings, writer, watcher, Silence(silent_s), silent_s, behind_s, on_beat)
        except KafkaError as error:
            raise failure(error, f"watching {settings.topics.events} failed: {error!r}") from None
        finally:
            await watcher.stop()


async def _watch(
    settings: Settings,
    writer: EventWriter,
    watcher: PatientConsumer,
    silence: Silence,
    silent_s: float,
    behind_s: float,
    on_beat: Callable[[int, int], None],
) -> None:
    partitions = [TopicPartition(settings.topics.events, number) for number in range(writer.partitions)]
    while True:
        ends = {place.partition: end for place, end in (await watcher.high_watermarks(partitions)).items()}
        timestamp_ms = int((time.time() - behind_s) * 1_000)
        for partition in silence.observe(ends, time.monotonic()):
            await writer.write([heartbeat(timestamp_ms, partition)])
            on_beat(partition, timestamp_ms)
        await writer.delivered()
        await asyncio.sleep(min(1.0, silent_s / 4))
