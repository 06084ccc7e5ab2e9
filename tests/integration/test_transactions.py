"""Offsets are not records: what transactions leave in the log beside records, on real Apache Kafka."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from sie_online.client.reader import TopicReader
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.events import event
from tests.support.workers import SIE_WORKER, WorkerProcess, worker_pool

pytestmark = pytest.mark.kafka
SettingsFactory = Callable[..., Settings]

PROGRESS_S = 5.0
"""The watchdog's patience here; a transaction stays open for longer."""


@pytest.fixture
def made(settings: SettingsFactory, kafka: Broker) -> Settings:
    """One partition, and fetches so small that a marker comes in one of its own."""
    made = settings(
        broker=kafka.address,
        topics={"partitions": 1},
        kafka={"fetch_max_bytes": 1024},
        checkpoint={"interval_s": 0.5},
        watchdog={"progress_s": PROGRESS_S, "checkpoint_s": 5},
    )
    topic_io.make_topics(made)
    return made


def _wire(events: Iterable[dict[str, Any]]) -> list[WireRecord]:
    return [WireRecord(str(one["user_id"]).encode(), json.dumps(one).encode(), 0) for one in events]


def _views(numbers: Iterable[int]) -> list[WireRecord]:
    return _wire(event(n, "view", n, user=f"u{n}", query="q" * 300) for n in numbers)


def _purchases(numbers: Iterable[int]) -> list[WireRecord]:
    return _wire(event(1000 + n, "purchase", 100 + n, user=f"u{n}") for n in numbers)


async def _write(settings: Settings, rows: list[WireRecord], *, commit: bool) -> None:
    async with topic_io.transactions(settings) as producer:
        await producer.begin_transaction()
        await topic_io.send_all(producer, settings, rows)
        await (producer.commit_transaction() if commit else producer.abort_transaction())


def _wait_for_the_end(settings: Settings, worker: WorkerProcess) -> int:
    """The log's end, once a checkpoint there is durable and committed."""
    end = topic_io.ends(settings, settings.topics.events)[0]
    worker.until(lambda: topic_io.committed(settings).get(0) == end, f"commit at {end}", 60)
    newest = CheckpointStore(settings, settings.topics.events).newest(0)
    assert newest is not None
    assert newest.offset == end
    return end


def _lag(worker: WorkerProcess) -> float | None:
    """As the metrics say; None before the log's end was first asked for."""
    site = worker.wait_for(r"web site up url=(\S+)")[1]
    with urllib.request.urlopen(f"{site}/metrics", timeout=10) as answer:  # noqa: S310 - the worker's own
        text = answer.read().decode()
    found = re.search(r"^sie_lag_records\{[^}]*\} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else None


def _said(settings: Settings) -> list[tuple[str, int, int | None]]:
    """(event, revision, label) of every row, without a replay's repetitions."""
    rows = topic_io.read_rows(settings, settings.topics.weights).to_pylist()
    return sorted({(row["event_id"], row["revision"], row["label"]) for row in rows})


def test_a_worker_sees_what_was_committed_and_passes_what_was_not(made: Settings, tmp_path: Path) -> None:
    async def story(start: Callable[[], WorkerProcess]) -> None:
        worker = start()
        await asyncio.to_thread(worker.wait_ready, 300)  # its kernels may have to be compiled
        await _write(made, _views(range(5)), commit=True)
        await _write(made, _purchases(range(3)), commit=False)
        end = await asyncio.to_thread(_wait_for_the_end, made, worker)
        assert end == 10, "five views, three purchases, two markers"
        await asyncio.to_thread(worker.until, lambda: _lag(worker) == 0, "lag 0", 20)
        open_views = await asyncio.to_thread(_said, made)
        assert open_views == [(f"e{n}", 0, None) for n in range(5)], "nobody has bought anything"

        async with topic_io.transactions(made) as shop:
            await shop.begin_transaction()
            await topic_io.send_all(shop, made, _purchases(range(2)))
            await asyncio.sleep(1.3 * PROGRESS_S)  # a slow transaction is one that takes its time
            assert worker.running, worker.text()  # nothing can be delivered, so nothing is late
            assert await asyncio.to_thread(_lag, worker) == 0
            assert await asyncio.to_thread(_said, made) == open_views
            assert worker.stop() == 0
            worker = start()
            await asyncio.to_thread(worker.wait_ready)
            await shop.commit_transaction()
        assert await asyncio.to_thread(_wait_for_the_end, made, worker) == end + 3
        said = await asyncio.to_thread(_said, made)
        assert [(name, label) for name, revision, label in said if revision == 1] == [("e0", 1), ("e1", 1)]
        assert worker.stop() == 0

    with worker_pool(made, tmp_path, SIE_WORKER) as start:
        asyncio.run(story(start))


def test_a_reader_of_committed_records_comes_to_the_end_of_what_can_be_read(made: Settings) -> None:
    async def read(settings: Settings) -> tuple[list[int], dict[int, int]]:
        async with TopicReader(settings, settings.topics.events) as reader:
            offsets = []
            while records := await reader.read_on(0.1):
                offsets += [record.offset for record in records]
            return offsets, reader.positions

    async def story() -> None:
        await _write(made, _views(range(2)), commit=True)  # offsets 0 and 1, marker 2
        await _write(made, _views(range(2, 4)), commit=False)  # 3 and 4, marker 5
        assert await read(made) == ([0, 1], {0: 6}), "an aborted transaction at the end is no end that is never reached"
        async with topic_io.transactions(made) as shop:
            await shop.begin_transaction()
            await topic_io.send_all(shop, made, _views([4]))  # 6
            await topic_io.publish(made, made.topics.events, b"outside", partition=0)  # 7
            assert await read(made) == ([0, 1], {0: 6}), "what comes behind an open transaction waits with it"
            await shop.commit_transaction()  # marker 8
        assert await read(made) == ([0, 1, 6, 7], {0: 9})

        everything = {"isolation_level": "read_uncommitted"}
        careless = made.model_copy(update={"kafka": made.kafka.model_copy(update=everything)})
        assert await read(careless) == ([0, 1, 3, 4, 6, 7], {0: 9})

    asyncio.run(story())
