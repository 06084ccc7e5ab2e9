"""Reads one topic of ours without a consumer group: all partitions, from a given position, new partitions included.

Owns the connection and what has been fetched, not what has been handled: that is the subscriber's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import (
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)

from sie_online.client.access import Needs, Operation, refusal, require, topic_failure
from sie_online.client.availability import ANSWER_S, ASK_EVERY_S, Availability
from sie_online.client.consumer import PatientConsumer
from sie_online.client.login import require_login
from sie_online.errors import DecisionError, TopicError, UnreachableError, UsageError
from sie_online.settings import Settings

Start = Literal["earliest", "latest"] | Mapping[str, Any]
"""Where to begin: the log's start, its end, or what ``position()`` returned (JSON-able)."""

_POLL_MS = 200  # how long one poll waits; also how soon a new partition is looked for
_MAX_RECORDS = 500  # per poll; what is buffered is bounded by fetch_max_bytes per partition


class Message(Protocol):
    """The parts of an aiokafka ``ConsumerRecord`` that are read here."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


class Span(NamedTuple):
    """What can be read of one partition's log: offsets ``first`` up to, not including, ``end``.

    Where only committed records are read, the first transaction that is still open ends it.
    """

    first: int
    end: int


class TopicReader:
    """One topic, all partitions. Use as ``async with TopicReader(settings, topic) as reader``.

    Once it has begun, brokers that go away are waited for, by default for ever (``kafka.outage_limit_s``); whether they
    are away is told to ``availability``, for readers that follow each other the same one.

    Raises, on start:
        SettingsError: the brokers refuse the login.
        UnreachableError: no broker answers.
        AccessError: the topic may not be read.
        TopicError: there is no such topic.
        UsageError: ``start`` is no position of this topic.
        DecisionError: the log no longer holds the position.
    """

    operations: ClassVar[Sequence[Operation]] = ("Read",)
    """What a reader of this kind must be allowed."""

    def __init__(
        self, settings: Settings, topic: str, start: Start = "earliest", availability: Availability | None = None
    ) -> None:
        self.topic = topic
        self.availability = availability or Availability(settings)
        self._settings = settings
        self._start = start
        self._consumer: AIOKafkaConsumer | None = None
        self._next: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def positions(self) -> dict[int, int]:
        """Next offset to be fetched, by partition."""
        return dict(self._next)

    async def start(self) -> None:
        """Connect and seek; a second call does nothing."""
        if self._consumer is not None:
            return
        self._consumer = self._new_consumer()
        try:
            await self._consumer.start()
            await require(self._consumer._client, self._settings, Needs({self.topic: self.operations}))
            await self._require_topic()
            await self._learn_partitions()
            self._seek(await self._first_positions())
        except KafkaError as error:
            await self.stop()
            await require_login(self._settings)
            address = self._settings.broker
            raise UnreachableError(
                f"no broker at {address} lets us in: check SIE_BROKER and the SIE_KAFKA__… settings ({error!r})"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect; a second call does nothing."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def poll(self, timeout_s: float | None = None) -> list[Message]:
        """The next records, in offset order within each partition; empty once ``timeout_s`` is over (None: wait).

        Raises:
            DecisionError: retention has deleted records that were still to be read.
            UnreachableError: the brokers are away for longer than ``kafka.outage_limit_s``.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            await self._adopt_new_partitions()
            records = await self._fetch(deadline)
            if records:
                self.availability.answered()
                return records
            if self.availability.silent_s > ASK_EVERY_S:
                await self._look()
            if deadline is not None and time.monotonic() >= deadline:
                return []

    async def read_on(self, idle_s: float | None = None) -> list[Message]:
        """As ``poll``, but empty only if nothing came for ``idle_s`` *and* the broker says that there is nothing more.

        While the brokers are away nobody knows whether there is more: they are waited for.

        Raises:
            UnreachableError: the brokers are away for longer than ``kafka.outage_limit_s``.
        """
        while True:
            records = await self.poll(idle_s)
            if records:
                return records
            ends = await self._look()
            if ends is not None and self.reached(ends):
                return []

    async def _look(self) -> dict[int, Span] | None:
        """What each partition holds now; None where no broker says."""
        try:
            async with asyncio.timeout(ANSWER_S):
                spans = await self.spans()
        except (UnreachableError, OSError, TimeoutError) as error:
            self.availability.failed(error)
            return None
        self.availability.answered()
        return spans

    def reached(self, spans: Mapping[int, Span]) -> bool:
        """Whether everything up to the ends of ``spans`` has been handed over.

        Judged by position: offsets without a record for us (markers, aborted transactions, gaps of compaction) count
        as read once they have been passed.
        """
        return all(number in self._next and self._next[number] >= span.end for number, span in spans.items())

    async def spans(self) -> dict[int, Span]:
        """What can be read of each partition's log now.

        Raises:
            UnreachableError: the broker does not answer.
        """
        partitions = self._partitions()
        try:
            firsts = await self._connected.beginning_offsets(partitions)
            ends = await self._connected.end_offsets(partitions)
        except KafkaError as error:
            raise topic_failure(error, self._settings, self.topic) from error
        return {at.partition: Span(firsts[at], ends[at]) for at in partitions}

    async def seek_to_time(self, since_ms: int) -> None:
        """Go to the first record of each partition that was written at or after ``since_ms`` (Kafka timestamp)."""
        found = await self._connected.offsets_for_times(dict.fromkeys(self._partitions(), since_ms))
        ends = await self._connected.end_offsets(self._partitions())
        self._seek({at.partition: hit.offset if hit else ends[at] for at, hit in found.items()})

    async def seek_to(self, offset: int) -> None:
        """Go to ``offset`` in every partition, or to the log's start or end where it holds no such offset."""
        spans = await self.spans()
        self._seek({number: min(max(offset, span.first), span.end) for number, span in spans.items()})

    async def seek_before_end(self, records: int) -> None:
        """Go to the last ``records`` offsets of each partition."""
        spans = await self.spans()
        self._seek({number: max(span.first, span.end - records) for number, span in spans.items()})

    @property
    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise UsageError(f"the reader of {self.topic} is not started: use it with 'async with'")
        return self._consumer

    def _new_consumer(self) -> AIOKafkaConsumer:
        # deleted records must be an error, not a silent jump
        return PatientConsumer(self._settings, client_id="sie-reader", auto_offset_reset="none")

    async def _require_topic(self) -> None:
        if self.topic not in await self._connected.topics():  # asks for all: naming it could create it
            raise no_such_topic(self._settings, self.topic)

    async def _learn_partitions(self) -> None:
        """Have the client follow the topic's metadata, which an assignment does; paused, so that nothing is fetched."""
        first = TopicPartition(self.topic, 0)
        self._connected.assign([first])
        self._connected.pause(first)
        self._connected.seek(first, 0)
        await self._connected.beginning_offsets([first])

    def _partitions(self) -> list[TopicPartition]:
        numbers = self._connected.partitions_for_topic(self.topic) or set()
        return [TopicPartition(self.topic, number) for number in sorted(numbers)]

    async def _first_positions(self) -> dict[int, int]:
        spans = await self.spans()
        if self._start == "latest":
            return {number: span.end for number, span in spans.items()}
        saved = {} if isinstance(self._start, str) else saved_positions(self._start, self.topic)
        for number, offset in saved.items():
            _check_held(self.topic, number, offset, spans.get(number))
        return {number: saved.get(number, span.first) for number, span in spans.items()}

    def _seek(self, positions: dict[int, int]) -> None:
        """Assign and seek in one breath: a partition without a position would be an error at the next fetch."""
        self._next = positions
        self._connected.assign([TopicPartition(self.topic, number) for number in positions])
        for number, offset in positions.items():
            self._connected.seek(TopicPartition(self.topic, number), offset)

    async def _adopt_new_partitions(self) -> None:
        """All records of a partition that appeared just now are new: read it from its start."""
        if new := [at for at in self._partitions() if at.partition not in self._next]:
            firsts = await self._connected.beginning_offsets(new)
            self._seek(self._next | {at.partition: offset for at, offset in firsts.items()})

    async def _fetch(self, deadline: float | None) -> list[Message]:
        left_ms = _POLL_MS if deadline is None else min(_POLL_MS, max(0, int((deadline - time.monotonic()) * 1000)))
        try:
            fetched = await self._connected.getmany(timeout_ms=left_ms, max_records=_MAX_RECORDS)
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            raise DecisionError(
                f"{self.topic}: records were deleted before they were read ({error}); "
                "start again from 'earliest' to accept the gap, and raise the topic's retention"
            ) from None
        except TopicAuthorizationFailedError:  # since we began
            raise refusal(self._settings, "topic", self.topic, *self.operations) from None
        except KafkaError as error:
            raise topic_failure(error, self._settings, self.topic) from error
        for number in self._next:  # of a partition without a record, too: its position may have passed markers
            self._next[number] = await self._connected.position(TopicPartition(self.topic, number))
        return [record for records in fetched.values() for record in records]


def no_such_topic(settings: Settings, topic: str) -> TopicError:
    """The error that says how ``topic`` comes into being; recommendations have none until they are published."""
    how = "run 'sie topics create'"
    if topic == settings.topics.recs and not settings.recommend.publish:
        how = "set SIE_RECOMMEND__ENABLED=true and SIE_RECOMMEND__PUBLISH=true, for the workers too, and " + how
    return TopicError(f"topic {topic} does not exist at {settings.broker}: {how}")


def saved_positions(saved: Mapping[str, Any], topic: str) -> dict[int, int]:
    """Offsets by partition from what ``position()`` returned.

    Raises:
        UsageError: it is no such thing, or of another topic.
    """
    try:
        positions = {int(number): int(offset) for number, offset in saved["positions"].items()}
        of_topic = saved["topic"]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UsageError(f"{saved!r} is no saved position: pass what position() returned") from None
    if of_topic != topic:
        raise UsageError(f"the saved position is of topic {of_topic}, not of {topic}")
    return positions


def _check_held(topic: str, partition: int, offset: int, span: Span | None) -> None:
    if span is None:
        raise DecisionError(f"{topic} has no partition {partition}, but the saved position has: was it created anew?")
    if not span.first <= offset <= span.end:
        raise DecisionError(
            f"{topic}, partition {partition}: the log holds offsets {span.first} to {span.end}, "
            f"the saved position is {offset}; start from 'earliest' to accept the gap"
        )
