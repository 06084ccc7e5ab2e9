"""What an announcement must know of the input: where each partition's log begins and ends, and how fast it grows."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from sie_online.client.access import topic_failure
from sie_online.client.reader import TopicReader
from sie_online.settings import Settings

RATE_S = 60.0
"""Besides the last moments, the rate of so many seconds counts: a short lull is no slow stream."""


class Growth(NamedTuple):
    """Of one partition: its first offset, its end, and how many records ``ahead_s`` seconds bring at most lately."""

    first: int
    end: int
    ahead: int

    @property
    def applies_from(self) -> int:
        """First offset of a version announced now."""
        return self.end + max(1, self.ahead)


class EventLog(TopicReader):
    """The input topic's spans and rates; reads no record."""

    operations = ("Describe",)

    async def growth(self, ahead_s: float) -> dict[int, Growth]:
        """Every partition's, now. Rates are of Kafka timestamps, which producers set to the time of writing.

        Raises:
            UnreachableError: the broker does not answer.
        """
        now_ms = time.time() * 1000
        recent = await self._written_since(round(now_ms - ahead_s * 1000))
        longer = await self._written_since(round(now_ms - RATE_S * 1000))
        spans = await self.spans()
        found = {}
        for partition, span in spans.items():
            lately, before = (since.get(partition, span.end) for since in (recent, longer))
            ahead = max(span.end - lately, math.ceil((span.end - before) * ahead_s / RATE_S))
            found[partition] = Growth(span.first, span.end, ahead)
        return found

    async def _written_since(self, time_ms: int) -> dict[int, int]:
        """Offset of the first record of each partition written at ``time_ms`` or later, where there is one."""
        partitions: list[TopicPartition] = self._partitions()
        try:
            found = await self._connected.offsets_for_times(dict.fromkeys(partitions, time_ms))
        except KafkaError as error:
            raise topic_failure(error, self._settings, self.topic) from error
        return {at.partition: hit.offset for at, hit in found.items() if hit is not None}


async def growth(settings: Settings) -> dict[int, Growth]:
    """``EventLog.growth`` of the input topic over ``trainer.ahead_s``.

    Raises:
        UnreachableError: the broker does not answer. TopicError: there is no such topic.
    """
    async with EventLog(settings, settings.topics.events, "latest") as events:
        return await events.growth(settings.trainer.ahead_s)
