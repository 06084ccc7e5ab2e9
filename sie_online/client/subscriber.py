"""Subscribers of weights and samples: typed rows or Arrow batches, each statement once, resumable at least once."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, ClassVar, Self

import pyarrow as pa

from sie_online import contracts
from sie_online.client.connection import settings_at
from sie_online.client.reader import Message, Start, TopicReader
from sie_online.client.revisions import OPEN_EVENTS, SETTLED_EVENTS, LatestRevisions
from sie_online.client.rows import SAMPLES, Source, WeightRow, read_batch, statements, weight_rows
from sie_online.client.subsample import Subsampler, check_options
from sie_online.client.unreadable import Unreadable
from sie_online.errors import MessageError
from sie_online.ndjson import Headers
from sie_online.settings import Settings


@dataclass(slots=True)
class Counts:
    """What a subscriber has seen so far. In rows: ``rows = provisional + duplicates + stale + thinned + news``."""

    messages: int = 0
    """Read, those passed over included."""
    unreadable: int = 0
    """Messages passed over, whose rows are not counted; the log has the reason of the first."""
    rows: int = 0
    news: int = 0
    """Handed on (or about to be)."""
    duplicates: int = 0
    """Held back: repeated a statement already seen, value for value."""
    stale: int = 0
    """Held back: a higher (revision, generation) had been seen."""
    provisional: int = 0
    """Held back by ``settle=True``: not final."""
    thinned: int = 0
    """Held back by ``budget``: negatives, of which a few are enough."""


class BatchSubscriber:
    """What all subscribers share: options, fetching, filtering and the position. Iterate ``batches()``.

    Args:
        settings: broker, TLS and SASL as the worker's; default: environment and file (``sie_online.settings.load``).
        broker: bootstrap servers, instead of the setting.
        topic: topic to read, instead of the setting.
        settle: of weights the final rows only, one per event, when the truth is known. Samples are settled anyway.
        start: ``"earliest"``, ``"latest"``, or what ``position()`` returned.
        idle_s: end the iteration at the log's end, when no message came for so many seconds; None: never.
        open_events: bound on remembered events that await their final row (see ``LatestRevisions``).
        settled_events: bound on remembered final rows.
        strict: a message that cannot be read is a ``MessageError``; by default it is counted and passed over.
    """

    schema: ClassVar[pa.Schema]
    topic_setting: ClassVar[str]
    memory_type: ClassVar[type[LatestRevisions]] = LatestRevisions

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        broker: str | None = None,
        topic: str | None = None,
        settle: bool = False,
        start: Start = "earliest",
        idle_s: float | None = None,
        open_events: int = OPEN_EVENTS,
        settled_events: int = SETTLED_EVENTS,
        strict: bool = False,
    ) -> None:
        settings = settings_at(settings, broker)
        self.topic = topic or str(getattr(settings.topics, self.topic_setting))
        self.settle = settle
        self.memory = self.memory_type(open_events, settled_events)
        self._reader = TopicReader(settings, self.topic, start)
        self._idle_s = idle_s
        self._fetched: deque[Message] = deque()
        self._handed: dict[int, int] = {}
        self._counts = Counts()
        self._unreadable = Unreadable(strict=strict)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Connect; iterating does it too. Raises what ``TopicReader`` raises."""
        await self._reader.start()
        self._handed = self._reader.positions | self._handed

    async def stop(self) -> None:
        """Disconnect. What was fetched and not handed on is read again from ``position()``."""
        await self._reader.stop()

    @property
    def counts(self) -> Counts:
        """What was read, handed on, held back and passed over so far."""
        self._counts.unreadable = self._unreadable.count
        self._counts.duplicates = self.memory.dropped.duplicates
        self._counts.stale = self.memory.dropped.stale
        return self._counts

    def position(self) -> dict[str, Any]:
        """JSON-able; covers every message whose rows have all been handed on, and those that cannot be read.

        Save it after having handled them, and pass it as ``start``: nothing is lost, and at most the rows since
        then come again (at least once). The memory is not part of it: a replay that straddles the position may bring
        statements twice.
        """
        positions = {str(number): offset for number, offset in sorted(self._handed.items())}
        return {"topic": self.topic, "positions": positions}

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """News as Arrow batches in the topic's columns, one batch per message, never empty.

        Raises:
            MessageError: with ``strict``, a message cannot be read. Iterating again goes on behind it.
            DecisionError: records were deleted before they were read.
        """
        while (found := await self._next_batch()) is not None:
            batch, source = found
            self._mark(source)
            yield batch

    async def _next_batch(self) -> tuple[pa.RecordBatch, Source] | None:
        """The next batch that holds news, None when idle for too long; not yet part of the position."""
        await self.start()
        while record := await self._next_record():
            source = Source(record.topic, record.partition, record.offset)
            batch = self._news(record.value, source, record.headers)
            if batch is not None and len(batch):
                return batch, source
            self._mark(source)
        return None

    async def _next_record(self) -> Message | None:
        if not self._fetched:
            self._fetched.extend(await self._reader.read_on(self._idle_s))
        return self._fetched.popleft() if self._fetched else None

    def _news(self, message: bytes | None, source: Source, headers: Headers) -> pa.RecordBatch | None:
        """The rows that are news; None where the message cannot be read."""
        self._counts.messages += 1
        try:
            batch = read_batch(message, source, self.schema, headers)
        except MessageError as error:
            self._mark(source)
            self._unreadable.pass_over(error)
            return None
        self._counts.rows += len(batch)
        batch = self._select(batch)
        news = self.memory.admit(statements(batch))
        batch = self._thin(batch if news.all() else batch.filter(pa.array(news)), source)
        self._counts.news += len(batch)
        return batch

    def _select(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return batch

    def _thin(self, batch: pa.RecordBatch, source: Source) -> pa.RecordBatch:
        """Those of the news that are handed on."""
        return batch

    def _mark(self, source: Source) -> None:
        self._handed[source.partition] = source.offset + 1


@dataclass(slots=True)
class _OpenMessage:
    """The news of a message, never none, which are being handed on row by row."""

    batch: pa.RecordBatch
    source: Source
    rows: Iterator[WeightRow]
    taken: int = 0

    @classmethod
    def of(cls, batch: pa.RecordBatch, source: Source) -> Self:
        return cls(batch, source, weight_rows(batch))


class WeightSubscriber(BatchSubscriber):
    """Weights as they are published: ``async for row in subscriber`` or ``async for batch in subscriber.batches()``.

    A statement replaces the earlier ones about the same (partition, offset). A final row whose ``label`` is None
    belongs to a record that is no sample. Takes what ``BatchSubscriber`` takes.

    Example, the weights of a topic until no more come for five seconds::

        import asyncio
        from sie_online import WeightSubscriber

        async def main() -> None:
            async with WeightSubscriber(broker="127.0.0.1:9092", settle=True, idle_s=5) as weights:
                async for row in weights:
                    print(row.user_id, row.item_id, row.label, row.weight)
                print(weights.position())  # save it; WeightSubscriber(start=saved) goes on from there

        asyncio.run(main())
    """

    schema = contracts.WEIGHTS
    topic_setting = "weights"

    _open: _OpenMessage | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> WeightRow:
        if self._open is None:
            found = await self._next_batch()
            if found is None:
                raise StopAsyncIteration
            self._open = _OpenMessage.of(*found)
        return self._take(self._open)

    async def batches(self) -> AsyncIterator[pa.RecordBatch]:
        """See ``BatchSubscriber.batches``; begins with the rest of a message that was partly taken as rows."""
        if self._open is not None:
            rest = self._open.batch.slice(self._open.taken)
            self._close(self._open)
            yield rest
        async for batch in super().batches():
            yield batch

    def _select(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        if not self.settle:
            return batch
        final = batch.filter(batch.column("final"))
        self._counts.provisional += len(batch) - len(final)
        return final

    def _take(self, message: _OpenMessage) -> WeightRow:
        row = next(message.rows)
        message.taken += 1
        if message.taken == len(message.batch):
            self._close(message)
        return row

    def _close(self, message: _OpenMessage) -> None:
        """All rows of the message are handed on: it becomes part of the position."""
        self._mark(message.source)
        self._open = None


class SampleSubscriber(BatchSubscriber):
    """Settled samples, ready to train on: ``async for batch in subscriber.batches()``.

    One row per sample, at its final revision; ``features`` and ``dense`` are fixed-size lists, whose columns
    ``contracts.feature_names(batch.schema)`` and ``dense_names`` name; the schema's metadata also carries
    ``feature_schema_hash``. Takes what ``BatchSubscriber`` takes, and:

    Args:
        budget: share of the samples to hand on, all positives and a few of the negatives, each with a column
            ``log_odds_correction`` that the loss adds to the logit (``Subsampler``); None: all of them. Every
            partition is thinned by itself, from where reading starts.
        salt: of the choice of negatives.

    Raises:
        UsageError: there is no such budget or salt.
    """

    schema = SAMPLES
    topic_setting = "samples"

    def __init__(
        self, settings: Settings | None = None, *, budget: float | None = None, salt: int = 0, **options: Any
    ) -> None:
        super().__init__(settings, **options)
        if budget is not None:
            check_options(budget, salt)
        self._new_subsampler = None if budget is None else partial(Subsampler, budget, salt=salt)
        self._subsamplers: dict[int, Subsampler] = {}

    def _thin(self, batch: pa.RecordBatch, source: Source) -> pa.RecordBatch:
        if self._new_subsampler is None:
            return batch
        if source.partition not in self._subsamplers:
            self._subsamplers[source.partition] = self._new_subsampler()
        kept = self._subsamplers[source.partition].take(batch)
        self._counts.thinned += len(batch) - len(kept)
        return kept
