"""What every sink must do: see `streams.sinks.port`. A new one is one more ``Place`` in ``test_sink``.

Each check takes a fresh, empty place. What is *durable* is what ``read`` finds, as if the process had been killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

from sie_online.errors import SieError
from streams.sinks import SAMPLES, WEIGHTS, Rows, Sink
from tests.support.rows import sample_batch, weight_batch, weight_row

Row = Mapping[str, Any]
IDENTITY = ("partition", "offset", "revision")


class Place(NamedTuple):
    """Where a sink's rows end up.

    Attributes:
        open: the sink as a new process would make it, before ``start``.
        read: the durable rows of a stream.
        fail: makes the place fail from now on; None where it cannot.
        goes_on: whether a sink that is opened later adds to what is there, or begins it anew.
        streams: whether streams are kept apart, or the sink is for one alone.
    """

    open: Callable[[], Sink]
    read: Callable[[str], Sequence[Row]]
    fail: Callable[[], None] | None = None
    goes_on: bool = True
    streams: bool = True


def weights(offsets: Iterable[int], partition: int = 0, generation: int = 1) -> Rows:
    rows = (weight_row(offset, partition=partition, generation=generation, weight=offset / 7) for offset in offsets)
    return Rows(WEIGHTS, partition, weight_batch(*rows))


async def check_what_was_flushed_is_there_whole(place: Place) -> None:
    sink = await _started(place)
    added = [weights(range(100)), weights(range(100, 5_000)), weights([]), weights(range(5_000, 5_001))]
    for rows in added:
        await sink.add(rows)
    await sink.flush(0)
    found = place.read(WEIGHTS)
    expected = pa.Table.from_batches([rows.batch for rows in added]).to_pylist()
    assert sorted(map(_identity, found)) == sorted(map(_identity, expected))
    by_identity = {_identity(row): row for row in found}
    for row in expected[::501]:
        assert {name: by_identity[_identity(row)][name] for name in row} == row


async def check_flushing_again_changes_nothing(place: Place) -> None:
    sink = await _started(place)
    await sink.flush(0)
    await sink.add(weights(range(10)))
    for partition in (0, 0, 1, None):
        await sink.flush(partition)
    assert _offsets(place) == list(range(10))


async def check_a_flush_of_nothing_named_is_of_everything(place: Place) -> None:
    sink = await _started(place)
    for partition in (0, 1, 5):
        await sink.add(weights(range(3), partition))
    await sink.flush()
    assert sorted(row["partition"] for row in place.read(WEIGHTS)) == [0, 0, 0, 1, 1, 1, 5, 5, 5]


async def check_partitions_do_not_wait_for_each_other(place: Place) -> None:
    sink = await _started(place)
    await sink.add(weights(range(5), 0))
    await sink.add(weights(range(5), 1))
    await sink.flush(1)
    assert len([row for row in place.read(WEIGHTS) if row["partition"] == 1]) == 5


async def check_rows_that_come_during_a_flush_are_not_lost(place: Place) -> None:
    sink = await _started(place)
    for n in range(20):
        await sink.add(weights([2 * n]))
        await asyncio.gather(sink.flush(0), sink.add(weights([2 * n + 1])))
        assert set(_offsets(place)) >= {*range(0, 2 * n + 1)}
    await sink.flush(0)
    assert _offsets(place) == list(range(40))


async def check_streams_are_kept_apart(place: Place) -> None:
    if not place.streams:
        return
    sink = await _started(place)
    await sink.add(weights(range(3)))
    await sink.add(Rows(SAMPLES, 0, sample_batch(7, 8)))
    await sink.flush(0)
    assert _offsets(place) == [0, 1, 2]
    assert [row["offset"] for row in place.read(SAMPLES)] == [7, 8]


async def check_what_comes_again_after_a_kill_loses_nothing(place: Place) -> None:
    """The first process is killed with rows that it had not flushed, the next says them again."""
    if not place.goes_on:
        return
    sink = await _started(place)
    await sink.add(weights(range(10)))
    await sink.flush(0)
    await sink.add(weights(range(10, 15)))
    again = await _started(place)
    await again.add(weights(range(5, 20), generation=2))
    await again.flush(0)
    await again.close()
    newest = {_identity(row): 0 for row in place.read(WEIGHTS)}
    for row in place.read(WEIGHTS):
        newest[_identity(row)] = max(newest[_identity(row)], row["generation"])
    assert sorted(offset for _, offset, _ in newest) == list(range(20))
    assert [newest[0, offset, 0] for offset in (0, 4, 5, 9, 10, 19)] == [1, 1, 2, 2, 2, 2]


async def check_a_place_that_fails_is_said_so(place: Place) -> None:
    if place.fail is None:
        return
    sink = await _started(place)
    await sink.add(weights(range(3)))
    place.fail()
    with pytest.raises(SieError):
        await sink.add(weights(range(3, 6)))
        await sink.flush(0)


CHECKS: dict[str, Callable[[Place], Awaitable[None]]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}


async def _started(place: Place) -> Sink:
    sink = place.open()
    await sink.start()
    return sink


def _identity(row: Row) -> tuple[int, ...]:
    return tuple(int(row[name]) for name in IDENTITY)


def _offsets(place: Place) -> list[int]:
    return sorted(row["offset"] for row in place.read(WEIGHTS))
