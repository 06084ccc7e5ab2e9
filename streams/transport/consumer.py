"""The Faust consumer that delivers one message per fetch and leaves its place in the log to the worker.

A message is a *turn*: what one fetch brought, a batch per partition. Faust's path from here to the agent costs the same
for a message of one record as for one of thousands.

The listener (the worker) is asked where to begin at every assignment, is told of every loss, and alone decides what is
committed. What Faust would do of its own accord (seek to committed offsets, drop what it believes was read) is off.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol, cast

from faust.types import TP, ConsumerMessage

from sie_online.ingest.records import FetchedBatches, RecordBatch
from streams.transport.fetcher import FetchThread
from streams.transport.positions import Claim, batch_bytes
from streams.transport.single_topic import SingleTopicConsumer


class RebalanceListener(Protocol):
    """Who decides where consumption begins; the app offers one as ``app.rebalance_listener``."""

    async def acquire(self, partitions: set[int], generation: int) -> Mapping[int, Claim]:
        """Prepare everything to process ``partitions``: claim an epoch for each, load its state, say where to begin."""

    async def release(self) -> None:
        """All partitions are lost: save what can be saved. ``acquire`` follows, perhaps with the same ones."""

    def keep(self, partitions: set[int]) -> None:
        """These alone are assigned now: forget the state of all others."""


class Consumer(SingleTopicConsumer):
    """Delivers turns while there is room for them, and asks the listener at every rebalance."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._room = asyncio.Event()
        self._room.set()
        super().__init__(*args, **kwargs)
        self._read_offset = _Forgetful()

    @property
    def listener(self) -> RebalanceListener:
        """Who decides."""
        return cast(RebalanceListener, cast(Any, self.app).rebalance_listener)

    @property
    def thread(self) -> FetchThread:
        """The fetching thread."""
        return cast(FetchThread, self._thread)

    def _new_consumer_thread(self) -> FetchThread:
        return FetchThread(self, loop=self.loop, beacon=self.beacon)

    # -- delivery

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's
        """What was fetched, as one message. Returns nothing while the flow is stopped (stock would seek)."""
        await self._room.wait()
        batches, _ = await self._wait_next_records(timeout)
        if not batches or self.should_stop or not self.flow_active:
            return
        self._note_room()
        turn = tuple(cast(Mapping[TP, RecordBatch], batches).values())
        tp = next(iter(batches))
        yield tp, self._message(tp, turn)

    def _message(self, tp: TP, turn: FetchedBatches) -> ConsumerMessage:
        """``turn`` under the name of one of its partitions: Faust wants one, and nobody asks for it afterwards."""
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            turn[0].end - 1,
            0.0,
            0,
            {},
            None,
            cast(Any, turn),
            None,
            0,
            sum(len(batch.buffer) for batch in turn),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def done(self, batch: RecordBatch) -> None:
        """The worker has processed or dropped ``batch``: make room for others."""
        self.positions.released(batch.partition, batch.epoch, batch_bytes(batch))
        self._note_room()

    def _note_room(self) -> None:
        if self.positions.in_flight() < self.settings.kafka.max_in_flight_bytes:
            self._room.set()
        else:
            self._room.clear()

    # -- rebalance

    async def perform_seek(self) -> None:
        """Faust calls this after every assignment, before records flow again."""
        partitions = {tp.partition for tp in self.assignment() if tp.topic == self.topic}
        term = self.positions.term
        claims = await self.listener.acquire(partitions, self.app.consumer_generation_id)
        await self.thread.call_thread(self.thread.begin, term, claims)
        self._note_room()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """End ownership, stop the flow and empty the queues, then let the listener save."""
        self.positions.end()
        await super().on_partitions_revoked(revoked)
        self._note_room()
        await self.listener.release()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Forget what went elsewhere; ``perform_seek`` follows."""
        self.listener.keep({tp.partition for tp in assigned if tp.topic == self.topic})
        await super().on_partitions_assigned(assigned, generation_id)

    def close(self) -> None:
        """Nothing: see ``FetchThread.close``."""


class _Forgetful(defaultdict[TP, int | None]):
    """Faust's "last offset read", which it sets too late around a seek and then drops records by: never known here."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass

    def __missing__(self, tp: TP) -> None:
        return None
