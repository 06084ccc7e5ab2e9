"""The examples on the embedded broker: what they read there is what they read from a file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaProducer

from sie_online.client.connection import connection
from sie_online.contracts import to_message
from sie_online.settings import Settings
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.examples import LIBRARIES, OWN, SAMPLES, example, options
from tests.support.simulation import generated_samples

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning"),  # the loader's, in a process with threads
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples as a file, and a table beside it with their items."""
    folder, table = tmp_path_factory.mktemp("samples"), pa.Table.from_batches(generated_samples(6_000))
    pq.write_table(table, folder / SAMPLES)
    pq.write_table(pa.table({"event_id": table["event_id"], "item_id": table["item_hash"]}), folder / OWN)
    return folder


async def _publish(settings: Settings, folder: Path) -> None:
    producer = AIOKafkaProducer(**connection(settings))
    await producer.start()
    try:
        for batch in pq.read_table(folder / SAMPLES).to_batches(2_000):
            await producer.send_and_wait(settings.topics.samples, to_message(batch), partition=0)
    finally:
        await producer.stop()


def test_every_example_reads_from_a_broker_what_it_reads_from_a_file(
    broker: Broker, settings: Callable[..., Settings], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    online = settings(broker=broker.address)
    topic_io.make_topics(online)
    asyncio.run(_publish(online, folder))
    source = ["--broker", online.broker, "--topic", online.topics.samples, "--idle", "0.5"]
    samples = str(folder / SAMPLES)
    for name in LIBRARIES:
        workers = ["--workers", "0"] if name == "pytorch" else []
        given = [*options(name, folder), *workers, "--noise-below", "0.5", "--json"]
        from_topic, from_file = (_told(name, [*read, *given], capsys) for read in (source, ["--file", samples]))
        for count in ("learned", "unsettled", "scored", "positives", "users"):
            assert from_topic[count] == from_file[count] > 50, (name, count)
        for arm in ("unweighted", "weighted"):  # tensors have float32 weights
            assert from_topic[arm] == pytest.approx(from_file[arm], abs=2e-3), (name, arm)


def _told(name: str, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert example(name).main(arguments) == 0, name
    return json.loads(capsys.readouterr().out)


def test_tensors_carry_no_ids_and_the_example_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert example("pytorch").main(["--broker", "127.0.0.1:1", "--truth", str(folder / OWN)]) == 2
    assert "give --file" in capsys.readouterr().err


def test_a_broker_that_is_not_there_is_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert example("sklearn").main(["--broker", "127.0.0.1:1", "--idle", "0.1"]) == 3
    assert "127.0.0.1:1" in capsys.readouterr().err
