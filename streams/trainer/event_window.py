"""The newest events of ``sie.events`` as columns, of all partitions together: what a noise model is fitted on.

Owns their order: that of time, with what came late where it came, as its shard met it. Events that come again under
the same id are left out, as shards leave them out.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.client.reader import Message, TopicReader
from sie_online.contracts import HEARTBEAT_CODE
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import EVENT
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from streams.model_registry.event_log import Growth

Columns = NDArray[np.void]
POLL_S = 1.0


class _Part(NamedTuple):
    partition: int
    columns: Columns


class EventWindow:
    """At most the newest ``trainer.noise.window_events``.

    Attributes:
        heard: events that were added so far.
    """

    def __init__(self, settings: Settings) -> None:
        self.heard = 0
        self._decoder = Decoder(settings)
        self._limit = settings.trainer.noise.window_events
        self._parts: deque[_Part] = deque()
        self._held = 0

    def add(self, batch: RecordBatch) -> None:
        """Decode a partition's next records, as its shard does."""
        columns = self._decoder.decode(batch)[0].columns
        columns = columns[columns["etype"] < HEARTBEAT_CODE]
        self.heard += len(columns)
        self._held += len(columns)
        self._parts.append(_Part(batch.partition, columns))
        while self._held - len(self._parts[0].columns) >= self._limit:
            self._held -= len(self._parts.popleft().columns)

    def columns(self) -> Columns:
        """The events, dtype `EVENT`."""
        by_partition = [np.concatenate(columns) for columns in self._by_partition().values()]
        if not by_partition:
            return np.zeros(0, EVENT)
        known_since = np.concatenate([np.maximum.accumulate(columns["time_ms"]) for columns in by_partition])
        newest = np.argsort(known_since, kind="stable")[-self._limit :]
        found = np.concatenate(by_partition)[newest]
        first = np.unique(found["event_key"], return_index=True)[1]
        return found[np.sort(first)]

    def spans(self) -> dict[str, tuple[int, int]]:
        """First and last offset by partition, as manifests say what was trained on."""
        found = {number: np.concatenate(columns)["offset"] for number, columns in self._by_partition().items()}
        return {str(number): (int(at.min()), int(at.max())) for number, at in sorted(found.items()) if len(at)}

    def _by_partition(self) -> dict[int, list[Columns]]:
        found: dict[int, list[Columns]] = {}
        for partition, columns in self._parts:
            found.setdefault(partition, []).append(columns)
        return dict(sorted(found.items()))


async def read_window(settings: Settings, growth: Mapping[int, Growth]) -> EventWindow:
    """The newest events of the topic up to the ends in ``growth``, of every partition in proportion to what it holds.

    Raises:
        UnreachableError: no broker answers. DecisionError: records went meanwhile.
    """
    held = {number: grown.end - grown.first for number, grown in growth.items()}
    share = min(1.0, settings.trainer.noise.window_events / max(1, sum(held.values())))
    begin = {number: grown.end - math.ceil(share * held[number]) for number, grown in growth.items()}
    topic, window = settings.topics.events, EventWindow(settings)
    async with TopicReader(settings, topic, {"topic": topic, "positions": begin}) as reader:
        ends = {number: span for number, span in (await reader.spans()).items() if number in growth}
        while not reader.reached(ends):
            for batch in _batches(await reader.poll(POLL_S)):
                window.add(batch)
    return window


def _batches(messages: Iterable[Message]) -> Iterable[RecordBatch]:
    by_partition = groupby(
        sorted(messages, key=lambda each: (each.partition, each.offset)), lambda each: each.partition
    )
    for partition, rows in by_partition:
        records = list(rows)
        start, end = records[0].offset, records[-1].offset + 1
        yield RecordBatch.of(records, topic=records[0].topic, partition=partition, epoch=0, start=start, end=end)
