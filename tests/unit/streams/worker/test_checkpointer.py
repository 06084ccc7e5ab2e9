"""When a checkpoint is taken, what it waits for, and what fails it."""

from __future__ import annotations

import asyncio

import pytest

from sie_online.errors import UnreachableError
from tests.support.waiting import awaited
from tests.support.worker_bench import EPOCH, Bench, Died, batch, in_loop


@in_loop
async def test_nothing_is_stored_or_committed_before_every_output_is_confirmed(bench: Bench) -> None:
    await bench.worker.processing.process(batch(100, 110))
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
    await bench.worker.processing.process(batch(100, 110))
    bench.publisher.confirm()
    await bench.checkpoint()
    assert bench.publisher.gathered == ["gathered up to 110"]
    assert bench.store.written == [(EPOCH, 110)]


@in_loop
async def test_processing_goes_on_while_a_checkpoint_waits_and_is_not_part_of_it(bench: Bench) -> None:
    await bench.worker.processing.process(batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    before = list(bench.publisher.open)
    await bench.worker.processing.process(batch(110, 120))
    for delivery in before:
        delivery.set_result(None)
    await saving

    assert bench.store.written == [(EPOCH, 110)]
    assert bench.lease.unsaved


@in_loop
async def test_only_work_that_no_checkpoint_covers_has_an_age(bench: Bench) -> None:
    lease = bench.lease
    assert lease.unsaved_s() == 0
    await bench.worker.processing.process(batch(100, 110))
    first = lease.unsaved_since
    await bench.worker.processing.process(batch(110, 120))
    assert lease.unsaved_since == first, "the oldest counts"
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    await bench.worker.processing.process(batch(120, 130))
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
    await bench.worker.processing.process(batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await awaited(lambda: bool(shard.copied_at), "first part")
    await bench.worker.processing.process(batch(110, 120))
    shard.more_to_copy = False
    bench.publisher.confirm()
    await saving
    assert set(shard.copied_at) == {110, 120}
    assert bench.store.written == [(EPOCH, 120)]


@in_loop
async def test_the_line_stands_still_for_the_snapshot_and_not_for_confirmations(bench: Bench) -> None:
    await bench.worker.processing.process(batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    assert "stall" in bench.metrics.seconds
    assert "confirm" not in bench.metrics.seconds
    bench.publisher.confirm()
    await saving
    assert bench.metrics.seconds["stall"] >= bench.metrics.seconds["snapshot"]


@in_loop
async def test_a_checkpoint_waits_until_every_sink_has_flushed(bench: Bench) -> None:
    await bench.worker.processing.process(batch(100, 110))
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
    await bench.worker.processing.process(batch(100, 110))
    bench.publisher.confirm()
    bench.store.error = UnreachableError("no space left")
    with pytest.raises(Died, match=r"\(3, .*no space left"):
        await bench.checkpoint()
    assert bench.consumer.commits == []


@in_loop
async def test_a_failed_delivery_means_no_checkpoint(bench: Bench) -> None:
    await bench.worker.processing.process(batch(100, 110))
    saving = asyncio.create_task(bench.checkpoint())
    await bench.snapshot_taken()
    for delivery in bench.publisher.open:
        delivery.set_exception(ConnectionError("gone"))
    with pytest.raises(ConnectionError):
        await saving
    assert bench.store.written == []


@in_loop
async def test_a_shard_that_cannot_be_saved_in_time_is_given_up(bench: Bench) -> None:
    await bench.worker.processing.process(batch(100, 110))
    bench.consumer.positions.end()
    failed = await bench.worker.checkpointer.save_all(0.01)

    assert failed == [0]
    assert bench.store.written == []
