"""Subscribers without a broker: filtering, settling, counting and the position, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pytest

from sie_online import contracts, ndjson_text
from sie_online.client import subscriber as module
from sie_online.client.reader import saved_positions
from sie_online.client.rows import WeightRow
from sie_online.client.subsample import CORRECTION, Subsampler
from sie_online.client.subscriber import SampleSubscriber, WeightSubscriber
from sie_online.errors import MessageError, UsageError
from tests.support.rows import packed, sample_batch, weight_batch, weight_message, weight_row

SettingsFactory = Callable[..., Any]


@dataclass
class TopicRecord:
    """A consumer's record."""

    value: bytes
    offset: int
    partition: int = 0
    topic: str = "weights"
    headers: Sequence[tuple[str, bytes]] = ()


class FakeTopicReader:
    """Stands in for ``TopicReader``: hands over ``records`` one poll at a time, then is idle."""

    def __init__(self, records: Iterable[TopicRecord]) -> None:
        self.left = list(records)
        self.positions = {0: 0, 1: 0}

    def __call__(self, settings: Any, topic: str, start: Any) -> FakeTopicReader:
        return self

    async def start(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def read_on(self, idle_s: float | None) -> list[TopicRecord]:
        """The next record."""
        return [self.left.pop(0)] if self.left else []


@pytest.fixture
def subscribe(monkeypatch: pytest.MonkeyPatch, settings: SettingsFactory) -> Callable[..., Any]:
    """Factory: a subscriber (default: of weights) to the given messages of partition 0, or records."""

    def make(*messages: bytes | TopicRecord, kind: type = WeightSubscriber, **options: Any) -> Any:
        records = [one if isinstance(one, TopicRecord) else TopicRecord(one, at) for at, one in enumerate(messages)]
        monkeypatch.setattr(module, "TopicReader", FakeTopicReader(records))
        return kind(settings(), topic="weights", **options)

    return make


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(coroutine)


async def all_batches(subscriber: SampleSubscriber) -> list[pa.RecordBatch]:
    return [batch async for batch in subscriber.batches()]


async def rows(subscriber: WeightSubscriber) -> list[WeightRow]:
    return [row async for row in subscriber]


def test_repeated_and_stale_rows_are_held_back(subscribe: Callable[..., Any]) -> None:
    subscriber = subscribe(
        weight_message(weight_row(0), weight_row(1)),
        weight_message(weight_row(0, 1, label=1)),
        weight_message(weight_row(0, generation=2), weight_row(1, generation=2), weight_row(2, generation=2)),
    )
    assert [(row.offset, row.revision) for row in run(rows(subscriber))] == [(0, 0), (1, 0), (0, 1), (2, 0)]
    counts = subscriber.counts
    assert (counts.messages, counts.rows, counts.news) == (3, 6, 4)
    assert (counts.duplicates, counts.stale) == (1, 1)


@pytest.mark.parametrize(
    "difference",
    [
        {"weight": 1.5},
        {"label": 0},
        {"model_version": "other"},
        {"error": 0.0},
        {"final": True},
        {"f_noise": -0.5},
        {"published_ms": 5},
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_a_late_adoption_is_no_duplicate(subscribe: Callable[..., Any], difference: dict[str, Any]) -> None:
    first, second = weight_row(0), weight_row(0, generation=2, **difference)
    subscriber = subscribe(weight_message(first), weight_message(second))
    assert [row.generation for row in run(rows(subscriber))] == [1, 2]


def test_a_topic_may_hold_every_layout_and_a_repeat_is_one_in_any(subscribe: Callable[..., Any]) -> None:
    rows_of = [weight_row(offset, probability=0.1 + offset, label=offset, error=0.5) for offset in range(2)]
    batch = packed(weight_batch(*rows_of)).batch
    again = batch.set_column(batch.schema.get_field_index("generation"), "generation", pa.array([2, 2]))
    (first,) = packed(batch).messages
    (second,) = ndjson_text.messages(again.cast(batch.schema), 900_000)
    subscriber = subscribe(first, second, contracts.to_message(batch))
    assert [row.offset for row in run(rows(subscriber))] == [0, 1]
    assert (subscriber.counts.duplicates, subscriber.counts.stale, subscriber.counts.unreadable) == (4, 0, 0)


def test_settling_yields_final_rows_only_and_each_once(subscribe: Callable[..., Any]) -> None:
    final = weight_row(0, 2, final=True, label=1)
    subscriber = subscribe(
        weight_message(weight_row(0), weight_row(1), weight_row(2, final=True)),
        weight_message(weight_row(0, 1, label=1)),
        weight_message(final),
        weight_message(final | {"generation": 2}, weight_row(0, generation=2)),
        settle=True,
    )
    assert [(row.offset, row.revision) for row in run(rows(subscriber))] == [(2, 0), (0, 2)]
    counts = subscriber.counts
    assert counts.rows == counts.news + counts.provisional + counts.duplicates + counts.stale
    assert counts.provisional == 4
    assert subscriber.memory.open == 0


def test_the_position_covers_a_message_only_when_its_last_row_is_handed_on(subscribe: Callable[..., Any]) -> None:
    subscriber = subscribe(weight_message(weight_row(0), weight_row(1)), weight_message(weight_row(2)))

    async def positions() -> list[int]:
        return [subscriber.position()["positions"]["0"] async for _ in subscriber]

    assert run(positions()) == [0, 1, 2]


def test_the_position_passes_messages_without_news(subscribe: Callable[..., Any]) -> None:
    message = weight_message(weight_row(0))
    subscriber = subscribe(message, message, message)
    assert len(run(rows(subscriber))) == 1
    assert subscriber.position() == {"topic": "weights", "positions": {"0": 3, "1": 0}}


def test_batches_begin_with_the_rest_of_a_message_partly_taken_as_rows(subscribe: Callable[..., Any]) -> None:
    subscriber = subscribe(weight_message(*(weight_row(offset) for offset in range(5))), weight_message(weight_row(5)))

    async def mixed() -> list[list[int]]:
        taken = [(await anext(subscriber)).offset, (await anext(subscriber)).offset]
        return [taken, *[batch.column("offset").to_pylist() async for batch in subscriber.batches()]]

    assert run(mixed()) == [[0, 1], [2, 3, 4], [5]]
    assert subscriber.position()["positions"]["0"] == 2


def test_leaving_the_loop_and_coming_back_loses_no_row(subscribe: Callable[..., Any]) -> None:
    subscriber = subscribe(weight_message(*(weight_row(offset) for offset in range(4))), weight_message(weight_row(4)))

    async def twice() -> list[int]:
        first = []
        async for row in subscriber:
            first.append(row.offset)
            if row.offset == 1:
                break
        return first + [row.offset for row in await rows(subscriber)]

    assert run(twice()) == [0, 1, 2, 3, 4]


def test_a_foreign_message_is_named_and_then_passed(subscribe: Callable[..., Any]) -> None:
    subscriber = subscribe(weight_message(weight_row(0)), b"hello", weight_message(weight_row(1)), strict=True)

    async def read() -> list[int]:
        first = await anext(subscriber)
        with pytest.raises(MessageError, match="weights, partition 0, offset 1"):
            await anext(subscriber)
        assert subscriber.position()["positions"]["0"] == 2
        return [first.offset, *[row.offset for row in await rows(subscriber)]]

    assert run(read()) == [0, 1]
    assert subscriber.position()["positions"]["0"] == 3


def test_what_cannot_be_read_is_counted_passed_over_and_told_once(
    subscribe: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    readable = [weight_message(weight_row(offset)) for offset in range(2)]
    subscriber = subscribe(b"hello", readable[0], readable[1][:-50], readable[1], b"")
    assert [row.offset for row in run(rows(subscriber))] == [0, 1]
    assert (subscriber.counts.messages, subscriber.counts.unreadable, subscriber.counts.rows) == (5, 3, 2)
    assert subscriber.position()["positions"]["0"] == 5
    (said,) = caplog.messages
    assert "weights, partition 0, offset 0" in said


def test_batches_come_in_the_contracts_columns(subscribe: Callable[..., Any]) -> None:
    subscriber = subscribe(weight_message(weight_row(0), weight_row(1)))

    async def schemas() -> list[Any]:
        return [batch.schema async for batch in subscriber.batches()]

    (schema,) = run(schemas())
    assert schema.equals(contracts.WEIGHTS)
    assert schema.metadata[b"source_topic"] == b"sie.events"


def test_samples_come_once_whatever_is_replayed(subscribe: Callable[..., Any]) -> None:
    messages = [contracts.to_message(sample_batch(*offsets, generation=g)) for offsets, g in (((1, 2), 1), ((2, 3), 2))]
    subscriber = subscribe(*messages, kind=SampleSubscriber)

    async def offsets() -> list[list[int]]:
        return [batch.column("offset").to_pylist() async for batch in subscriber.batches()]

    assert run(offsets()) == [[1, 2], [3]]
    assert subscriber.counts.duplicates == 1


def test_memory_is_bounded_as_told(subscribe: Callable[..., Any]) -> None:
    subscriber = subscribe(weight_message(*(weight_row(offset) for offset in range(50))), open_events=10)
    assert len(run(rows(subscriber))) == 50
    assert subscriber.memory.open <= 10
    assert subscriber.memory.forgotten >= 40


@pytest.mark.parametrize("saved", [{}, {"topic": "weights"}, {"positions": {}}, {"topic": "weights", "positions": [1]}])
def test_what_is_no_saved_position_is_refused(saved: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"position\(\)"):
        saved_positions(saved, "weights")


def test_a_position_of_another_topic_is_refused() -> None:
    with pytest.raises(UsageError, match="other"):
        saved_positions({"topic": "other", "positions": {}}, "weights")


def test_a_budget_thins_each_partition_by_itself_and_counts_what_it_holds_back(
    subscribe: Callable[..., Any],
) -> None:
    halves = [(0, range(0, 200)), (1, range(200, 400)), (0, range(400, 600))]
    batches = [(partition, samples_of(partition, offsets)) for partition, offsets in halves]
    records = [TopicRecord(contracts.to_message(batch), at, number) for at, (number, batch) in enumerate(batches)]
    subscriber = subscribe(*records, kind=SampleSubscriber, budget=0.1)
    found = run(all_batches(subscriber))
    alone = {0: Subsampler(0.1), 1: Subsampler(0.1)}
    expected = [alone[partition].take(batch) for partition, batch in batches]
    assert [batch["event_id"].to_pylist() for batch in found] == [batch["event_id"].to_pylist() for batch in expected]
    assert [batch[CORRECTION].to_pylist() for batch in found] == [batch[CORRECTION].to_pylist() for batch in expected]
    counts = subscriber.counts
    assert counts.news == sum(map(len, expected)) < 400
    assert counts.rows == counts.provisional + counts.duplicates + counts.stale + counts.thinned + counts.news == 600
    assert subscriber.position()["positions"] == {"0": 3, "1": 2}


def test_the_position_moves_over_messages_of_which_nothing_is_kept(subscribe: Callable[..., Any]) -> None:
    first, *rest = (samples_of(0, range(at, at + 64)) for at in range(0, 640, 64))
    subscriber = subscribe(
        *(contracts.to_message(batch) for batch in (first, *rest)), kind=SampleSubscriber, budget=1e-6
    )
    assert sum(map(len, run(all_batches(subscriber)))) == subscriber.counts.news < 70
    assert subscriber.position()["positions"]["0"] == 10


def test_without_a_budget_samples_have_no_correction(subscribe: Callable[..., Any]) -> None:
    (batch,) = run(all_batches(subscribe(contracts.to_message(sample_batch(0, 1)), kind=SampleSubscriber)))
    assert CORRECTION not in batch.schema.names


@pytest.mark.parametrize("options", [{"budget": 0.0}, {"budget": 0.1, "salt": -1}], ids=str)
def test_what_is_no_budget_is_refused_at_once(subscribe: Callable[..., Any], options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"share of all rows|whole number"):
        subscribe(kind=SampleSubscriber, **options)


def samples_of(partition: int, offsets: range) -> pa.RecordBatch:
    """Samples of ``partition``, all of them negatives."""
    batch = sample_batch(*offsets)
    for name, values in (("partition", [partition] * len(batch)), ("label", [0] * len(batch))):
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, batch.schema.field(at), pa.array(values, batch.schema.field(at).type))
    return batch
