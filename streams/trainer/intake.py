"""``sie.samples.v1`` into the replay window: all partitions, no consumer group, repeats dropped by identity.

Owns the window and its place in the topic. On start it goes back by the window, so that a trainer is where its
predecessor was after seconds; a broker that is away is waited for (``kafka.outage_limit_s``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from models.errors import SampleError
from models.samples import SampleColumns, feature_schema_hash, from_table, joined
from sie_online.client.availability import Availability
from sie_online.client.reader import Message, TopicReader
from sie_online.client.rows import SAMPLES, place, read_batch
from sie_online.client.unreadable import Unreadable
from sie_online.errors import DecisionError, MessageError, SettingsError, SieError, UnreachableError
from sie_online.settings import Settings
from streams.trainer.metrics import TrainerMetrics
from streams.trainer.plan import reach_ms, window_of

log = logging.getLogger(__name__)

POLL_S = 0.5
RETRY_S = 2.0
PEEK_S = 5.0


class WindowView(NamedTuple):
    """The window at one moment: later additions do not change it. ``schema_hash`` is of its features."""

    samples: SampleColumns
    schema_hash: str


class Intake:
    """Keeps the window filled while ``run`` runs.

    Attributes:
        caught_up: set once everything that was there at the start has been read.
        fresh: newly settled samples since whoever counts last took some off.
        availability: whether the brokers answer.
        polled_at: when the topic was last asked, on the monotonic clock (seconds).
    """

    def __init__(self, settings: Settings, metrics: TrainerMetrics) -> None:
        self.caught_up = asyncio.Event()
        self.fresh = 0
        self.availability = Availability(settings)
        self.polled_at = time.monotonic()
        self._settings = settings
        self._metrics = metrics
        self._topic = settings.topics.samples
        self._window = window_of(settings)
        self._unreadable = Unreadable()
        self._schemas: list[str] = []
        self._widths: dict[str, tuple[int, int]] = {}
        self._settled_ms: dict[int, int] = {}
        self._positions: dict[int, int] | None = None
        self._busy = asyncio.Lock()

    async def run(self) -> None:
        """Read for ever.

        Raises:
            UnreachableError: the brokers are away for longer than ``kafka.outage_limit_s``.
        """
        while True:
            self.polled_at = time.monotonic()
            try:
                await self._read(only_to_the_end=False)
            except SieError as error:
                if isinstance(error, UnreachableError | SettingsError):  # no answer, or no login any more
                    self.availability.failed(error)
                log.warning("samples cannot be read; trying again: %s", error)
                self._metrics.intake_failed()
                if isinstance(error, DecisionError):
                    self._positions = None  # records went before we had them: go back by the window again
                await asyncio.sleep(RETRY_S)

    async def read_to_the_end(self) -> None:
        """Read what there is now.

        Raises:
            UnreachableError: no broker answers. TopicError: there is no such topic.
        """
        await self._read(only_to_the_end=True)

    async def view(self) -> WindowView | None:
        """What the window holds; None while that is nothing."""
        async with self._busy:
            samples = await asyncio.to_thread(self._window.samples)
        if samples is None or not len(samples):
            return None
        times = samples.event_time_ms[~samples.older]
        self._metrics.set_window(len(samples), int(samples.older.sum()), float(times[-1] - times[0]) / 1000)
        return WindowView(samples, self._schemas[-1])

    async def _read(self, *, only_to_the_end: bool) -> None:
        start = {"topic": self._topic, "positions": self._positions} if self._positions else "earliest"
        async with TopicReader(self._settings, self._topic, start, self.availability) as reader:  # type: ignore[arg-type]
            ends = await reader.spans()
            self.availability.answered()
            if self._positions is None:
                await reader.seek_to_time(max(0, await self._newest_ms() - reach_ms(self._settings)))
            while True:
                await self._take(await reader.poll(POLL_S))
                self._positions, self.polled_at = reader.positions, time.monotonic()
                if not self.caught_up.is_set() and reader.reached(ends):
                    self.caught_up.set()
                    log.info("samples read", extra={"fresh": self.fresh})
                if only_to_the_end and self.caught_up.is_set():
                    return

    async def _newest_ms(self) -> int:
        """When the newest record of the topic was written (Kafka timestamp); now where there is none."""
        async with TopicReader(self._settings, self._topic, "latest") as reader:
            spans = await reader.spans()
        if not any(span.end > span.first for span in spans.values()):
            return time.time_ns() // 1_000_000
        last = {partition: max(span.first, span.end - 1) for partition, span in spans.items()}
        newest, deadline = 0, time.monotonic() + PEEK_S
        async with TopicReader(self._settings, self._topic, {"topic": self._topic, "positions": last}) as reader:
            while time.monotonic() < deadline and not reader.reached(spans):
                newest = max([newest, *(message.timestamp for message in await reader.poll(POLL_S))])
        return newest

    async def _take(self, messages: Sequence[Message]) -> None:
        if messages:
            async with self._busy:
                self.fresh += await asyncio.to_thread(self._add, messages)

    def _add(self, messages: Sequence[Message]) -> int:
        """Rows into the window; how many of them are new."""
        parts: list[SampleColumns] = []
        fresh, passed_over = 0, self._unreadable.count
        for message, samples, schema_hash in self._unreadable.readable(messages, self._decoded):
            if not self._of_present_schema(schema_hash, parts, len(samples)):
                continue
            new = self._new(message.partition, samples)
            self._metrics.samples_read(new, len(samples) - new)
            parts.append(samples)
            fresh += new
        self._metrics.messages_refused(self._unreadable.count - passed_over)
        if parts:
            self._window.add(joined(parts))
        return fresh

    def _decoded(self, message: Message) -> tuple[Message, SampleColumns, str]:
        table = pa.Table.from_batches([read_batch(message.value, message, SAMPLES, message.headers)])
        try:
            samples, schema_hash = from_table(table), feature_schema_hash(table.schema)
        except SampleError as error:
            raise MessageError(f"{place(message)}: {error}") from None
        widths = samples.features.shape[1], samples.dense.shape[1]
        if self._widths.setdefault(schema_hash, widths) != widths:
            raise MessageError(f"{place(message)}: features of schema {schema_hash!r} had another length before")
        return message, samples, schema_hash

    def _of_present_schema(self, schema_hash: str, parts: list[SampleColumns], n: int) -> bool:
        """Samples of a schema never seen before begin a new window; those of an older one are left out."""
        if schema_hash in self._schemas[:-1]:
            self._metrics.samples_outdated(n)
            return False
        if schema_hash not in self._schemas:
            if self._schemas:
                log.warning("features mean something else now: the window begins anew")
                self._window = window_of(self._settings)
                parts.clear()
            self._schemas.append(schema_hash)
        return True

    def _new(self, partition: int, samples: SampleColumns) -> int:
        """Rows that settled no earlier than any seen of the partition: others were said before."""
        if not len(samples):
            return 0
        before = self._settled_ms.get(partition, 0)
        self._settled_ms[partition] = max(before, int(samples.settled_ms.max()))
        return int(np.count_nonzero(samples.settled_ms >= before))
