"""What becomes of shards in a rebalance: saved, kept, restored, or the end of the process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from tests.support.worker_bench import EPOCH, Bench, Died, batch, in_loop


class Severed:
    """A transport thread whose connection is gone; ``first`` happens before that is noticed."""

    def __init__(self, first: Callable[[], None] = lambda: None) -> None:
        self.first = first

    async def ask(self, _what: object, *_args: object) -> None:
        self.first()
        raise RuntimeError("not connected")

    log_range = committed = partition_count = None


@in_loop
async def test_a_lost_shard_is_saved_before_the_group_goes_on(bench: Bench) -> None:
    await bench.worker.processing.process(batch(100, 110))
    bench.publisher.confirm()
    bench.consumer.positions.end()
    await bench.worker.assignment.release()

    assert bench.store.written == [(EPOCH, 110)]
    assert bench.worker.leases.holds(bench.lease), "it may come back"


@in_loop
async def test_a_shard_assigned_elsewhere_is_forgotten(bench: Bench) -> None:
    bench.worker.assignment.keep({1, 2})

    assert not bench.worker.leases.holds(bench.lease)
    assert bench.shard.closed


@in_loop
async def test_a_restore_that_fails_ends_the_process(bench: Bench) -> None:
    bench.consumer.thread = cast(Any, Severed())
    with pytest.raises(Died, match="restore failed"):
        await bench.worker.assignment.acquire({1}, EPOCH)


@in_loop
async def test_a_restore_that_fails_because_the_worker_stops_is_given_up(bench: Bench) -> None:
    bench.consumer.thread = cast(Any, Severed(bench.worker.leases.freeze))
    assert await bench.worker.assignment.acquire({1}, EPOCH) == {}
