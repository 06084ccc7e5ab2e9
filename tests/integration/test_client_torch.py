"""The PyTorch dataset on the embedded broker: ``DataLoader`` workers, forked and spawned, and a saved position."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from torch.utils.data import DataLoader

from sie_online import contracts
from sie_online.client.connection import connection
from sie_online.client.torch import SampleDataset
from sie_online.errors import TopicError
from sie_online.settings import Settings
from tests.support.brokers import Broker
from tests.support.rows import sample_batch

PARTITIONS = 3
MESSAGES = 12  # per partition
ROWS = 5  # per message

# Not ours to mend: a loader forks, and the process that runs the tests has threads; one test wants too many workers.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture
def online(broker: Broker, settings: Callable[..., Settings]) -> Settings:
    """Settings of the embedded broker with an empty topic of samples."""
    made: Settings = settings(broker=broker.address)

    async def create() -> None:
        admin = AIOKafkaAdminClient(**connection(made))
        await admin.start()
        try:
            await admin.create_topics([NewTopic(made.topics.samples, PARTITIONS, 1)])
        finally:
            await admin.close()

    asyncio.run(create())
    return made


def publish(settings: Settings, messages: dict[int, list[bytes]]) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(**connection(settings))
        await producer.start()
        try:
            for partition, values in messages.items():
                for value in values:
                    await producer.send_and_wait(settings.topics.samples, value, partition=partition)
        finally:
            await producer.stop()

    asyncio.run(send())


def message(partition: int, first: int, rows: int = ROWS) -> bytes:
    batch = sample_batch(*range(first, first + rows))
    at = batch.schema.get_field_index("partition")
    numbers = pa.array([partition] * rows, pa.int32())
    return contracts.to_message(batch.set_column(at, batch.schema.field(at), numbers))


def fill(settings: Settings, *, first: int = 0) -> set[tuple[int, int]]:
    """Publish samples, every message twice as after a crash; their identities."""
    starts = range(first, first + MESSAGES * ROWS, ROWS)
    publish(
        settings,
        {number: [message(number, start) for start in starts for _ in range(2)] for number in range(PARTITIONS)},
    )
    return {(number, start + row) for number in range(PARTITIONS) for start in starts for row in range(ROWS)}


def identities(batch: Any) -> list[tuple[int, int]]:
    return list(zip(batch["partition"].tolist(), batch["offset"].tolist(), strict=True))


def loader(dataset: SampleDataset, **options: Any) -> DataLoader[Any]:
    return DataLoader(dataset, batch_size=None, **{"num_workers": 2, "in_order": False} | options)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_two_workers_bring_every_sample_once(online: Settings, method: str) -> None:
    published = fill(online)
    dataset = SampleDataset(online, idle_s=0.5, batch_size=8)
    batches = list(loader(dataset, multiprocessing_context=method))
    found = [one for batch in batches for one in identities(batch)]
    assert len(found) == len(published)
    assert set(found) == published
    assert all({number for number, _ in identities(batch)} in ({0}, {1}, {2}, {0, 2}) for batch in batches)


def test_training_goes_on_where_it_was_left(online: Settings) -> None:
    published = fill(online)
    first = SampleDataset(online, idle_s=0.5, batch_size=8)
    trained: list[tuple[int, int]] = []
    for batch in loader(first):
        trained += identities(batch)
        first.handled(batch)
        if len(trained) > len(published) // 2:
            break  # the workers have read further than was trained on
    state = json.loads(json.dumps(first.state_dict()))

    published |= fill(online, first=1_000)
    second = SampleDataset(online, start=state, idle_s=0.5, batch_size=8)
    for workers in (2, 0):  # their number may change
        for batch in loader(second, num_workers=workers, in_order=True):
            trained += identities(batch)
            second.handled(batch)
    assert set(trained) == published
    assert len(trained) - len(published) < 2 * PARTITIONS * (8 + ROWS)  # what was held at the break comes again


def test_latest_is_looked_up_at_once(online: Settings) -> None:
    fill(online)
    dataset = SampleDataset(online, start="latest", idle_s=0.5)
    later = fill(online, first=1_000)
    found = [one for batch in loader(dataset) for one in identities(batch)]
    assert set(found) == later


def test_workers_without_partitions_end_at_once(online: Settings) -> None:
    published = fill(online)
    dataset = SampleDataset(online, idle_s=0.5)
    found = [one for batch in loader(dataset, num_workers=PARTITIONS + 1, in_order=True) for one in identities(batch)]
    assert set(found) == published


def test_what_a_worker_refuses_is_told_in_its_own_words(online: Settings) -> None:
    with pytest.raises(TopicError, match=r"no-such-topic does not exist"):
        list(loader(SampleDataset(online, topic="no-such-topic", idle_s=0.5)))
