"""Who has published on the output topics: generations and groups, as the newest rows tell.

Readers keep the highest generation of an event, whoever published it. So two groups cannot share output topics, and
whoever publishes anew must begin above what is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pyarrow as pa

from sie_online.client.reader import Message, TopicReader
from sie_online.contracts import FINGERPRINT_HEADER, GROUP_HEADER
from sie_online.settings import Settings
from sie_online.unpacking import from_message

ANEW_MESSAGES = 1_000
"""Generations rise along the log; only a superseded owner's last words may stand behind its successor's first."""


class Published(NamedTuple):
    """The highest generation among the newest rows of one partition; which group published it, under which settings
    (both empty where not known), and where.
    """

    generation: int
    group: str
    fingerprint: str
    topic: str


async def newest_published(settings: Settings, topic: str, messages: int = 1) -> dict[int, Published]:
    """What the last ``messages`` of each partition of ``topic`` tell; partitions without any are left out.

    Raises:
        UnreachableError: the broker does not answer.
    """
    found: dict[int, Published] = {}
    async with TopicReader(settings, topic, "latest") as reader:
        spans = await reader.spans()
        if all(span.first == span.end for span in spans.values()):
            return {}
        await reader.seek_before_end(messages)
        while not reader.reached(spans):
            for record in await reader.poll(0.5):
                newest = _published_by(record)
                found[record.partition] = max(found.get(record.partition, newest), newest)
    return {partition: newest for partition, newest in found.items() if newest.generation > 0}


async def highest_generation(settings: Settings, partition: int) -> int:
    """Highest generation in the end of the weights of ``partition``, 0 if there are none."""
    published = await newest_published(settings, settings.topics.weights, ANEW_MESSAGES)
    return published[partition].generation if partition in published else 0


def _published_by(record: Message) -> Published:
    """What one message says; generation 0 if it cannot be read."""
    try:
        generation = max(_generations(record), default=0)
    except (pa.ArrowException, KeyError, IndexError, ValueError):
        generation = 0
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    return Published(generation, headers.get(GROUP_HEADER, ""), headers.get(FINGERPRINT_HEADER, ""), record.topic)


def _generations(record: Message) -> Iterable[int]:
    column = from_message(record.value or b"", record.headers)["generation"].cast(pa.int64())
    generations: list[int] = column.drop_null().to_pylist()
    return generations
