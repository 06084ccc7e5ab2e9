"""The sink that is a Kafka topic: rows in messages of a bounded size, durable when the brokers have confirmed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa

from sie_online import content
from sie_online.content import Header, Layout
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
        self, deliveries: Deliveries, topic: str, value: bytes, *, partition: int | None, headers: Sequence[Header]
    ) -> asyncio.Future[Any]: ...


Frame = Callable[[pa.RecordBatch, int], Iterator[bytes]]
"""Makes messages of at most so many bytes of rows; none where there are no rows."""


class TopicSink(Sink):
    """Rows of one shard, each stream on its topic, to the shard's own partition number, in messages of ``layout``.

    What is added is framed by ``frame``, by default in layout 1.
    """

    def __init__(
        self,
        send: Send,
        topics: Mapping[str, str],
        max_message_bytes: int,
        deliveries: Deliveries,
        layout: Layout = "1",
        frame: Frame | None = None,
    ) -> None:
        self._send = send
        self._topics = topics
        self._limit = max_message_bytes
        self._deliveries = deliveries
        self._layout = layout
        self._frame = frame or messages
        self.last: asyncio.Future[Any] | None = None
        """Delivery of the last message."""

    async def add(self, rows: Rows) -> None:
        """Send ``rows``, framed; returns when they are under way."""
        is_json = self._layout == "json"  # which has no place for metadata
        metadata = content.of_metadata(rows.batch.schema.metadata or {}) if is_json else ()
        await self.send(rows.stream, rows.partition, self._frame(rows.batch, self._limit), metadata)

    async def send(
        self, stream: str, partition: int | None, framed: Iterable[bytes], metadata: Sequence[Header] = ()
    ) -> None:
        """Send messages of rows, all with ``metadata`` among their headers; returns when they are under way."""
        headers = (*content.of_rows(stream, self._layout).headers, *metadata)
        for message in framed:
            self.last = await self._send(
                self._deliveries, self._topics[stream], message, partition=partition, headers=headers
            )

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
