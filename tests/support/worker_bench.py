"""A worker that owns one partition, with everything around it replaced: its rules can be tried one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa

from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Snapshot
from streams.checkpoint import Written
from streams.observe.page.showcase import Showcase
from streams.sinks.topic import confirmed
from streams.transport import Claim, Positions
from streams.worker.leases import ShardLease
from streams.worker.service import Worker
from streams.worker.watchdog import Vitals
from tests.support.waiting import awaited

EPOCH = 3
ROWS = pa.RecordBatch.from_pydict({"partition": [0], "published_ms": [0]})


class Died(BaseException):
    """Raised where the process would end."""


class FakeShard:
    """One output per record; counts what it has seen."""

    partition = 0

    def __init__(self) -> None:
        self.next_offset = 100
        self.generation = EPOCH
        self.closed = False
        self.copied_at: list[int] = []
        self.more_to_copy = False
        self.snapshot_at = -1

    def process(self, batch: RecordBatch, *, gather: bool) -> Iterator[Any]:
        for at in range(batch.start, batch.end):
            last = at + 1 == batch.end
            if last:
                self.next_offset = batch.end
            judged = SimpleNamespace(positive=())
            figures = SimpleNamespace(known_ms=0, counts=None, judged=judged, noise=None, lists=0)
            yield SimpleNamespace(framed=ROWS, dead_letters=[], last=last, **vars(figures))

    def gathered(self) -> str:
        return f"gathered up to {self.next_offset}"

    def copy_ahead(self) -> bool:
        self.copied_at.append(self.next_offset)
        return self.more_to_copy

    def snapshot(self) -> Snapshot:
        self.snapshot_at = self.next_offset
        return Snapshot(self.next_offset, {}, {}, frozenset())

    def stats(self) -> None:
        return None

    def announced(self, model: str) -> int:
        return 0

    def close(self) -> None:
        self.closed = True


class FakePublisher:
    """Keeps the deliveries open until the test confirms them."""

    def __init__(self) -> None:
        self.open: list[asyncio.Future[None]] = []
        self.gathered: list[Any] = []
        self.asked = 0
        self.room = asyncio.Event()
        self.room.set()
        self.durable = asyncio.Event()
        self.durable.set()
        self.flushing = asyncio.Event()

    async def publish(self, partition: int, output: Any, deliveries: Any) -> asyncio.Future[None]:
        self.asked += 1
        await self.room.wait()
        delivery = asyncio.get_running_loop().create_future()
        deliveries.add(delivery)
        self.open.append(delivery)
        return delivery

    async def publish_gathered(self, partition: int, gathered: Any, deliveries: Any) -> None:
        self.gathered.append(gathered)

    async def flush(self, partition: int, said: frozenset[asyncio.Future[None]]) -> None:
        await confirmed(said)
        self.flushing.set()
        await self.durable.wait()

    def confirm(self) -> None:
        """Let every open delivery succeed."""
        for delivery in self.open:
            delivery.set_result(None)
        self.open.clear()


class FakeStore:
    """Remembers what was written; ``error`` is raised instead if set."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int]] = []
        self.error: Exception | None = None
        self.input_partitions = 1

    def check_current(self, partition: int, epoch: int) -> None:
        if self.error:
            raise self.error

    def write(self, partition: int, epoch: int, snapshot: Snapshot) -> Written:
        if self.error:
            raise self.error
        self.written.append((epoch, snapshot.next_offset))
        return Written(1, 0.0, 0)


class NoAdoptions:
    """Nothing is announced."""

    async def adopt_late(self, lease: ShardLease) -> None:
        pass


class FakeConsumer:
    """The transport: real bookkeeping, recorded commits."""

    def __init__(self) -> None:
        self.positions = Positions()
        self.thread = self
        self.commits: list[dict[int, int]] = []
        self.done_with: list[RecordBatch] = []

    def commit_soon(self, offsets: dict[int, int]) -> None:
        self.commits.append(self.positions.committable(offsets))

    def done(self, batch: RecordBatch) -> None:
        self.done_with.append(batch)


class Bench:
    """A worker that owns partition 0 under ``EPOCH``, at offset 100."""

    def __init__(self, settings: Settings) -> None:
        self.consumer, self.publisher, self.store, self.shard = (
            FakeConsumer(),
            FakePublisher(),
            FakeStore(),
            FakeShard(),
        )
        self.metrics = _Stages()
        self.worker = Worker(
            settings,
            store=cast(Any, self.store),
            ownership=cast(Any, None),
            publisher=cast(Any, self.publisher),
            adoptions=cast(Any, NoAdoptions()),
            metrics=cast(Any, self.metrics),
            showcase=Showcase(ids=True),
            vitals=Vitals(),
        )
        self.worker.consumer.attach(cast(Any, self.consumer))
        self.lease = ShardLease(shard=cast(Any, self.shard), epoch=EPOCH, saved=None, n_partitions=1, begin=100)
        self.worker.leases.add(self.lease)
        assert self.consumer.positions.begin(0, {0: Claim(EPOCH, 100, 100)})

    async def checkpoint(self) -> None:
        """Checkpoint the shard."""
        await self.worker.checkpointer.checkpoint(self.lease)

    async def snapshot_taken(self) -> None:
        """The checkpoint that was begun has its snapshot, and waits for deliveries."""
        lease, shard = self.lease, self.shard
        await awaited(lambda: shard.snapshot_at == shard.next_offset and not lease.processing.locked(), "snapshot")


class _Stages:
    """Notes which stages were observed, and for how long; hears nothing else."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def observe_stage(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = seconds

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def batch(start: int, end: int, epoch: int = EPOCH) -> RecordBatch:
    """A batch of partition 0, without records."""
    return RecordBatch.of([], topic="t", partition=0, epoch=epoch, start=start, end=end)


def in_loop(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> Callable[[Callable[[], Bench]], None]:
    """Run an async test; its bench is made within the loop."""

    def run(bench: Callable[[], Bench]) -> None:
        async def in_its_loop() -> None:
            await test(bench())

        asyncio.run(in_its_loop())

    run.__name__ = test.__name__
    return run
