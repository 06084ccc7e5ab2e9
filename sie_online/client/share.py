"""One of several readers of the samples: the partitions that fall to it, message by message.

Owns how partitions are divided, which samples count as repetitions, and the thread on which a synchronous caller's
reading runs. The position of what was handed on is the caller's.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from aiokafka import TopicPartition

from sie_online.client.reader import TopicReader
from sie_online.client.revisions import STATEMENT, LatestRevisions, Mask, Statements
from sie_online.client.rows import SAMPLES, Source
from sie_online.client.subscriber import SampleSubscriber
from sie_online.errors import UnreachableError
from sie_online.settings import Settings

PARENT_CHECK_S = 1.0  # a worker that waits for samples sees within it that the process it works for is gone

_NOTHING = pa.RecordBatch.from_pylist([], schema=SAMPLES)

T = TypeVar("T")

Run = Callable[[Coroutine[Any, Any, T]], T]


@dataclass(frozen=True, slots=True)
class Share:
    """What the ``number``-th (from 0) of ``readers`` reads: every ``readers``-th partition."""

    number: int = 0
    readers: int = 1

    def holds(self, partition: int) -> bool:
        """Whether ``partition`` falls to this reader."""
        return partition % self.readers == self.number

    def divided(self, number: int, readers: int) -> Share:
        """The ``number``-th of ``readers`` parts of this share.

        Neighbouring partitions go to different shares first, and to different parts of one share only then.
        """
        return Share(number * self.readers + self.number, readers * self.readers)


class News(NamedTuple):
    """The samples of one message that are new, maybe none, and where the message lies."""

    batch: pa.RecordBatch
    source: Source


class FirstOfEach(LatestRevisions):
    """Of each event the first sample is news: one that was trained on cannot be taken back, whatever later ones say."""

    def admit(self, statements: Statements) -> Mask:
        """Which of ``statements`` (shape (n,)) are about events not heard of before; remembers them."""
        rows = np.zeros(len(statements), STATEMENT)
        rows["key"], rows["final"] = statements["key"], True
        return super().admit(rows)


class ShareReader(TopicReader):
    """The partitions of a topic that fall to one reader; raises what ``TopicReader`` raises.

    ``start`` is a saved position; it may name partitions of other readers.
    """

    def __init__(self, settings: Settings, topic: str, share: Share, start: Mapping[str, Any]) -> None:
        ours = {number: offset for number, offset in start["positions"].items() if share.holds(int(number))}
        super().__init__(settings, topic, {"topic": start["topic"], "positions": ours})
        self._share = share

    def _partitions(self) -> list[TopicPartition]:
        return [at for at in super()._partitions() if self._share.holds(at.partition)]


class ShareSubscriber(SampleSubscriber):
    """One reader's samples, each event's once within the last ``settled_events``; ``next_news`` until it is None.

    ``options`` are those of ``BatchSubscriber``.
    """

    memory_type = FirstOfEach

    def __init__(self, settings: Settings, share: Share, start: Mapping[str, Any], **options: Any) -> None:
        super().__init__(settings, topic=start["topic"], **options)
        self._reader = ShareReader(settings, self.topic, share, start)

    @property
    def positions(self) -> dict[int, int]:
        """Next offset to be fetched, by partition of this reader; none before it has started, or without a share."""
        return self._reader.positions

    async def next_news(self) -> News | None:
        """The next message, also one without news or that cannot be read; None when idle for too long."""
        record = await self._next_record()
        if record is None:
            return None
        source = Source(record.topic, record.partition, record.offset)
        batch = self._news(record.value, source, record.headers)
        return News(_NOTHING if batch is None else batch, source)


class SampleBuffer:
    """What was read and not yet handed on, in order."""

    def __init__(self) -> None:
        self.rows = 0
        self._messages: deque[News] = deque()

    def add(self, news: News) -> None:
        """Put ``news`` at the end."""
        self.rows += len(news.batch)
        self._messages.append(news)

    def take(self, rows: int) -> tuple[list[pa.RecordBatch], dict[int, int]]:
        """The first ``rows`` rows, or all there are, in parts without copies.

        With them the next offset of each partition of which messages have now been handed on to their last row.
        """
        parts, covered, left = [], {}, rows
        while self._messages and len(self._messages[0].batch) <= left:
            batch, source = self._messages.popleft()
            left -= len(batch)
            covered[source.partition] = source.offset + 1
            parts.append(batch)
        if self._messages and left:
            batch, source = self._messages.popleft()
            self._messages.appendleft(News(batch.slice(left), source))
            parts.append(batch.slice(0, left))
            left = 0
        self.rows -= rows - left
        return [part for part in parts if len(part)], covered


@contextmanager
def loop_thread() -> Iterator[Run[Any]]:
    """What runs coroutines on an event loop in a thread of its own, which begins here and so after any fork.

    The client goes on fetching while the caller works, and a caller with an event loop of its own (a notebook's) is no
    problem.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sie-samples", daemon=True)
    thread.start()
    try:
        yield lambda work: _result(asyncio.run_coroutine_threadsafe(work, loop))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _result(future: Future[T]) -> T:
    try:
        while not wait([future], PARENT_CHECK_S).done:
            _require_parent()
        return future.result()
    finally:
        future.cancel()  # changes nothing once it is done


def _require_parent() -> None:
    """A waiting worker whose parent was killed would otherwise wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None and not parent.is_alive():
        raise UnreachableError("the process that these samples are read for has ended")
