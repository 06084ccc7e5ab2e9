"""What the worker makes of a batch: it is run through the shard, dropped, or the end of the process."""

from __future__ import annotations

import asyncio

import pytest

from sie_online.errors import StaleEpochError, UnreachableError
from tests.support.waiting import awaited
from tests.support.worker_bench import EPOCH, Bench, Died, batch, in_loop


@in_loop
async def test_a_batch_of_another_epoch_is_dropped(bench: Bench) -> None:
    stale = batch(100, 110, epoch=EPOCH - 1)
    await bench.worker.processing.process(stale)

    assert bench.shard.next_offset == 100
    assert bench.publisher.open == []
    assert bench.consumer.done_with == [stale], "its bytes are given back all the same"


@in_loop
async def test_a_batch_that_does_not_continue_the_shard_ends_the_process(bench: Bench) -> None:
    with pytest.raises(Died, match="begins at 105, the shard expects 100"):
        await bench.worker.processing.process(batch(105, 110))


@in_loop
async def test_a_fault_while_processing_ends_the_process(bench: Bench) -> None:
    bench.shard.process = lambda batch, gather: iter([None, 1 / 0])  # type: ignore[method-assign]
    with pytest.raises(Died, match=r"t\[0\] 100..110"):
        await bench.worker.processing.process(batch(100, 110))


@in_loop
async def test_a_superseded_owner_ends_before_it_publishes_anything_more(bench: Bench) -> None:
    bench.store.error = StaleEpochError("epoch 4 has been claimed")
    with pytest.raises(Died, match="epoch 4 has been claimed"):
        await bench.worker.processing.process(batch(100, 110))
    assert bench.publisher.open == []


@in_loop
async def test_nor_does_it_publish_what_was_gathered_before(bench: Bench) -> None:
    await bench.worker.processing.process(batch(100, 110))
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
    await bench.worker.processing.process(batch(100, 110))
    assert bench.publisher.open == []


@in_loop
async def test_a_store_that_goes_away_while_it_is_asked_is_no_fault_of_ours(bench: Bench) -> None:
    bench.store.error = UnreachableError("the store fails at /mnt: Input/output error")
    with pytest.raises(Died, match=r"\(3, .*Input/output error"):
        await bench.worker.processing.process(batch(100, 110))
    assert bench.publisher.open == []


@in_loop
async def test_a_shard_that_was_given_up_in_the_midst_of_a_batch_says_nothing_more(bench: Bench) -> None:
    bench.publisher.room.clear()
    processing = asyncio.create_task(bench.worker.processing.process(batch(100, 110)))
    await awaited(lambda: bench.publisher.asked, "output that waits for room")
    bench.consumer.positions.end()
    bench.worker.assignment.keep(set())
    bench.publisher.room.set()
    await processing

    assert len(bench.publisher.open) == 1, "the one that waited for room"
    assert not bench.shard.closed, "not while its batch was being processed"


@in_loop
async def test_after_the_end_has_begun_nothing_more_is_processed(bench: Bench) -> None:
    bench.worker.leases.freeze()
    await bench.worker.processing.process(batch(100, 110))

    assert bench.shard.next_offset == 100
