"""The sink that is a Kafka topic: rows as Arrow messages of a bounded size, durable when the brokers have confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import pyarrow as pa

from sie_online.contracts import to_message
from streams.sinks.port import Rows, Sink


class Deliveries:
    """Messages of one shard that the brokers have not confirmed yet."""

    def __init__(self) -> None:
        self._open: set[asyncio.Future[Any]] = set()

    def add(self, delivery: asyncio.Future[Any]) -> None:
        """Watch ``delivery`` until it is confirmed."""
        self._open.add(delivery)
        delivery.add_done_callback(self._open.discard)

    def open(self) -> frozenset[asyncio.Future[Any]]:
        """Those that are not confirmed at this moment."""
        return frozenset(self._open)


async def confirmed(deliveries: frozenset[asyncio.Future[Any]]) -> None:
    """Return when all are confirmed; raises what one failed with. Cancelling this cancels none of them."""
    if deliveries:
        done, _ = await asyncio.wait(deliveries)
        for delivery in done:
            delivery.result()


class Send(Protocol):
    """Hands one message to a producer, as soon as there is room, and watches its delivery."""

    async def __call__(
        self, deliveries: Deliveries, topic: str, value: bytes, *, partition: int | None
    ) -> asyncio.Future[Any]: ...


class TopicSink(Sink):
    """Rows of one shard, each stream on its topic, to the shard's own partition number."""

    def __init__(self, send: Send, topics: Mapping[str, str], max_message_bytes: int, deliveries: Deliveries) -> None:
        self._send = send
        self._topics = topics
        self._limit = max_message_bytes
        self._deliveries = deliveries
        self.last: asyncio.Future[Any] | None = None
        """Delivery of the last message."""

    async def add(self, rows: Rows) -> None:
        """Send ``rows`` in layout 1; returns when they are under way."""
        await self.send(rows.stream, rows.partition, messages(rows.batch, self._limit))

    async def send(self, stream: str, partition: int | None, framed: Iterable[bytes]) -> None:
        """Send messages of rows; returns when they are under way."""
        for message in framed:
            self.last = await self._send(self._deliveries, self._topics[stream], message, partition=partition)

    async def flush(self, partition: int | None = None) -> None:
        """Wait until the brokers have confirmed what is under way."""
        await confirmed(self._deliveries.open())


def messages(rows: pa.RecordBatch, limit: int) -> Iterator[bytes]:
    """``rows`` as messages of layout 1, of at most ``limit`` bytes each, in order; none where there are no rows."""
    if not rows.num_rows:
        return
    message = to_message(rows)
    if len(message) <= limit or rows.num_rows == 1:
        yield message
        return
    half = rows.num_rows // 2
    yield from messages(rows.slice(0, half), limit)
    yield from messages(rows.slice(half), limit)
