"""The worker's rules, with everything around it replaced: what it processes, when it checkpoints, what ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from sie_online.errors import StaleEpochError, UnreachableError
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Snapshot
from streams.checkpoint import Written
from streams.observe.page.showcase import Showcase
from streams.sinks.topic import confirmed
from streams.transport import Claim, Positions
from streams.worker import assignment, checkpointer, current, processing
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


@pytest.fixture
def bench(settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Bench]:
    """Makes benches within a running loop, where dying raises ``Died``."""

    def die(code: int, reason: str) -> None:
        raise Died(code, reason)

    for module in (processing, assignment, checkpointer, current):
        monkeypatch.setattr(module, "die", die)
    return lambda: Bench(settings())


def _batch(start: int, end: int, epoch: int = EPOCH) -> RecordBatch:
    return RecordBatch.of([], topic="t", partition=0, epoch=epoch, start=start, end=end)


def in_loop(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> Callable[[Callable[[], Bench]], None]:
    """Run an async test; its bench is made within the loop."""

    def run(bench: Callable[[], Bench]) -> None:
        async def in_its_loop() -> None:
            await test(bench())

        asyncio.run(in_its_loop())

    run.__name__ = test.__name__
    return run


@in_loop
async def test_a_batch_of_another_epoch_is_dropped(bench: Bench) -> None:
    stale = _batch(100, 110, epoch=EPOCH - 1)
    await bench.worker.processing.process(stale)

    assert bench.shard.next_offset == 100
    assert bench.publisher.open == []
    assert bench.consumer.done_with == [stale], "its bytes are given back all the same"


@in_loop
async def test_a_batch_that_does_not_continue_the_shard_ends_the_process(bench: Bench) -> None:
    with pytest.raises(Died, match="begins at 105, the shard expects 100"):
        await bench.worker.processing.process(_batch(105, 110))


@in_loop
async def test_a_fault_while_processing_ends_the_process(bench: Bench) -> None:
    bench.shard.process = lambda batch, gather: iter([None, 1 / 0])  # type: ignore[method-assign]
    with pytest.raises(Died, match=r"t\[0\] 100..110"):
        await bench.worker.processing.process(_batch(100, 110))


@in_loop
async def test_a_superseded_owner_ends_before_it_publishes_anything_more(bench: Bench) -> None:
    bench.store.error = StaleEpochError("epoch 4 has been claimed")
    with pytest.raises(Died, match="epoch 4 has been claimed"):
        await bench.worker.processing.process(_batch(100, 110))
    assert bench.publisher.open == []


@in_loop
async def test_nor_does_it_publish_what_was_gathered_before(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    bench.store.error, bench.lease.checked_at = StaleEpochError("epoch 4 has been claimed"), 0.0
    with pytest.raises(Died, match="epoch 4 has been claimed"):
        await bench.checkpoint()
    assert bench.publisher.gathered == []


@in_loop
async def test_a_shard_that_was_given_up_while_the_store_was_asked_ends_nothing(bench: Bench) -> None:
    def given_up(partition: int, epoch: int) -> None:
        bench.worker.leases.forget(partition)
        raise StaleEpochError("epoch 4 has been claimed")

    bench.store.check_current = given_up  # type: ignore[method-assign]
    await bench.worker.processing.process(_batch(100, 110))
    assert bench.publisher.open == []


@in_loop
async def test_a_store_that_goes_away_while_it_is_asked_is_no_fault_of_ours(bench: Bench) -> None:
    bench.store.error = UnreachableError("the store fails at /mnt: Input/output error")
    with pytest.raises(Died, match=r"\(3, .*Input/output error"):
        await bench.worker.processing.process(_batch(100, 110))
    assert bench.publisher.open == []


@in_loop
async def test_nothing_is_stored_or_committed_before_every_output_is_confirmed(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    await asyncio.wait([saving], timeout=0.05)  # long enough for it to store what it must not store yet
    assert len(bench.publisher.open) == 10
    assert bench.store.written == []

    bench.publisher.confirm()
    await saving

    assert bench.store.written == [(EPOCH, 110)]
    assert bench.consumer.commits == [{0: 110}]


@in_loop
async def test_what_was_gathered_is_said_before_a_snapshot(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    bench.publisher.confirm()
    await bench.checkpoint()
    assert bench.publisher.gathered == ["gathered up to 110"]
    assert bench.store.written == [(EPOCH, 110)]


@in_loop
async def test_processing_goes_on_while_a_checkpoint_waits_and_is_not_part_of_it(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    before = list(bench.publisher.open)
    await bench.worker.processing.process(_batch(110, 120))
    for delivery in before:
        delivery.set_result(None)
    await saving

    assert bench.store.written == [(EPOCH, 110)]
    assert bench.lease.unsaved


@in_loop
async def test_only_work_that_no_checkpoint_covers_has_an_age(bench: Bench) -> None:
    lease = bench.lease
    assert lease.unsaved_s() == 0
    await bench.worker.processing.process(_batch(100, 110))
    first = lease.unsaved_since
    await bench.worker.processing.process(_batch(110, 120))
    assert lease.unsaved_since == first, "the oldest counts"
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    await bench.worker.processing.process(_batch(120, 130))
    assert lease.unsaved_since == first, "a snapshot is no checkpoint yet"
    bench.publisher.confirm()
    await saving
    assert first is not None
    assert lease.unsaved_since is not None
    assert lease.unsaved_since > first, "what came after the snapshot is still open"

    await bench.checkpoint()
    assert lease.unsaved_s() == 0
    await bench.checkpoint()
    assert lease.unsaved_s() == 0, "a checkpoint with nothing to do changes nothing"


@in_loop
async def test_batches_are_processed_between_the_parts_of_a_first_snapshot(bench: Bench) -> None:
    shard = bench.shard
    shard.more_to_copy = True
    await bench.worker.processing.process(_batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await awaited(lambda: bool(shard.copied_at), "first part")
    await bench.worker.processing.process(_batch(110, 120))
    shard.more_to_copy = False
    bench.publisher.confirm()
    await saving
    assert set(shard.copied_at) == {110, 120}
    assert bench.store.written == [(EPOCH, 120)]


@in_loop
async def test_the_line_stands_still_for_the_snapshot_and_not_for_confirmations(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    assert "stall" in bench.metrics.seconds
    assert "confirm" not in bench.metrics.seconds
    bench.publisher.confirm()
    await saving
    assert bench.metrics.seconds["stall"] >= bench.metrics.seconds["snapshot"]


@in_loop
async def test_a_checkpoint_waits_until_every_sink_has_flushed(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    bench.publisher.confirm()
    bench.publisher.durable.clear()
    saving = asyncio.create_task(bench.checkpoint())
    await bench.publisher.flushing.wait()
    assert bench.store.written == []
    bench.publisher.durable.set()
    await saving
    assert bench.store.written == [(EPOCH, 110)]


@in_loop
async def test_nothing_new_means_no_checkpoint(bench: Bench) -> None:
    await bench.checkpoint()

    assert bench.store.written == []


@in_loop
async def test_a_checkpoint_that_cannot_be_written_ends_the_process(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    bench.publisher.confirm()
    bench.store.error = UnreachableError("no space left")
    with pytest.raises(Died, match=r"\(3, .*no space left"):
        await bench.checkpoint()
    assert bench.consumer.commits == []


@in_loop
async def test_a_failed_delivery_means_no_checkpoint(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    for delivery in bench.publisher.open:
        delivery.set_exception(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await saving
    assert bench.store.written == []


@in_loop
async def test_a_lost_shard_is_saved_before_the_group_goes_on(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    bench.publisher.confirm()
    bench.consumer.positions.end()
    await bench.worker.assignment.release()

    assert bench.store.written == [(EPOCH, 110)]
    assert bench.worker.leases.holds(bench.lease), "it may come back"


@in_loop
async def test_a_shard_that_cannot_be_saved_in_time_is_given_up(bench: Bench) -> None:
    await bench.worker.processing.process(_batch(100, 110))
    bench.consumer.positions.end()
    failed = await bench.worker.checkpointer.save_all(0.01)

    assert failed == [0]
    assert bench.store.written == []


@in_loop
async def test_a_shard_that_was_given_up_in_the_midst_of_a_batch_says_nothing_more(bench: Bench) -> None:
    bench.publisher.room.clear()
    processing = asyncio.create_task(bench.worker.processing.process(_batch(100, 110)))
    await awaited(lambda: bench.publisher.asked, "output that waits for room")
    bench.consumer.positions.end()
    bench.worker.assignment.keep(set())
    bench.publisher.room.set()
    await processing

    assert len(bench.publisher.open) == 1, "the one that waited for room"
    assert not bench.shard.closed, "not while its batch was being processed"


@in_loop
async def test_a_shard_assigned_elsewhere_is_forgotten(bench: Bench) -> None:
    bench.worker.assignment.keep({1, 2})

    assert not bench.worker.leases.holds(bench.lease)
    assert bench.shard.closed


@in_loop
async def test_after_the_end_has_begun_nothing_more_is_processed(bench: Bench) -> None:
    bench.worker.leases.freeze()
    await bench.worker.processing.process(_batch(100, 110))

    assert bench.shard.next_offset == 100


class _Severed:
    """A transport thread whose connection is gone; ``first`` happens before that is noticed."""

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self.first = first

    async def ask(self, _what: object, *_args: object) -> None:
        self.first()
        raise RuntimeError("not connected")

    log_range = committed = partition_count = None


@in_loop
async def test_a_restore_that_fails_ends_the_process(bench: Bench) -> None:
    bench.consumer.thread = cast(Any, _Severed())
    with pytest.raises(Died, match="restore failed"):
        await bench.worker.assignment.acquire({1}, EPOCH)


@in_loop
async def test_a_restore_that_fails_because_the_worker_stops_is_given_up(bench: Bench) -> None:
    bench.consumer.thread = cast(Any, _Severed(bench.worker.leases.freeze))
    assert await bench.worker.assignment.acquire({1}, EPOCH) == {}
