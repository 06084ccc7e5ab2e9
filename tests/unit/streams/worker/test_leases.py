"""The registry of shards: what is in memory, what of it is owned, and who lets go of what is given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from streams.transport import Claim, ConsumerHandle, Positions
from streams.worker.leases import ShardLease, ShardLeases
from streams.worker.watchdog import Vitals

EPOCH = 7


class LeasedShard:
    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.next_offset = 100
        self.closed = False

    def close(self) -> None:
        self.closed = True


class _IgnoresAll:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def lease_of(partition: int) -> ShardLease:
    return ShardLease(shard=cast(Any, LeasedShard(partition)), epoch=EPOCH, saved=None, n_partitions=3, begin=100)


def is_closed(lease: ShardLease) -> bool:
    return cast(LeasedShard, lease.shard).closed


@pytest.fixture
def positions() -> Positions:
    positions = Positions()
    positions.begin(0, {partition: Claim(EPOCH, 100, 100) for partition in range(3)})
    return positions


@pytest.fixture
def leases(positions: Positions) -> ShardLeases:
    """Three shards, all of them owned."""
    handle = ConsumerHandle()
    handle.attach(cast(Any, SimpleNamespace(positions=positions)))
    leases = ShardLeases(handle, cast(Any, _IgnoresAll()), Vitals())
    for partition in range(3):
        leases.add(lease_of(partition))
    return leases


def test_before_there_is_a_consumer_nothing_is_owned() -> None:
    assert ShardLeases(ConsumerHandle(), cast(Any, _IgnoresAll()), Vitals()).partitions == set()


def test_a_shard_is_owned_under_exactly_its_epoch(leases: ShardLeases) -> None:
    assert leases.owns(0, EPOCH)
    assert not leases.owns(0, EPOCH - 1)


def test_lost_partitions_stay_in_memory_and_are_not_owned(leases: ShardLeases, positions: Positions) -> None:
    positions.end()

    assert not leases.owns(0, EPOCH)
    assert [lease.partition for lease in leases] == [0, 1, 2]


def test_a_frozen_registry_owns_nothing_and_forgets_nothing(leases: ShardLeases) -> None:
    leases.freeze()

    assert not leases.owns(0, EPOCH)
    assert leases.partitions == set()
    assert [lease.partition for lease in leases] == [0, 1, 2], "they are still to be saved"


def test_keeping_some_forgets_and_closes_the_others(leases: ShardLeases) -> None:
    before = list(leases)
    leases.keep({1, 5})

    assert [lease.partition for lease in leases] == [1]
    assert [is_closed(lease) for lease in before] == [True, False, True]


@pytest.mark.parametrize("use", ["processing", "saving"])
def test_a_shard_in_use_is_left_to_whoever_uses_it(leases: ShardLeases, use: str) -> None:
    async def forget_in_use(lease: ShardLease) -> None:
        async with getattr(lease, use):
            leases.forget(lease.partition)

    lease = next(iter(leases))
    asyncio.run(forget_in_use(lease))

    assert not leases.holds(lease)
    assert not is_closed(lease)


def test_a_successor_under_the_same_number_is_another_shard(leases: ShardLeases) -> None:
    former = leases.take_out(0)
    assert former is not None
    leases.add(lease_of(0))

    assert not leases.holds(former)
    assert leases.get(0) is not None


def test_the_list_may_change_while_it_is_walked(leases: ShardLeases) -> None:
    seen = []
    for lease in leases:
        seen.append(lease.partition)
        leases.take_out(2)

    assert seen == [0, 1, 2]
