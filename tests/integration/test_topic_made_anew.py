"""An input topic that is deleted and made again is another log, whatever its name and offsets say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.workers import RECORDING_WORKER, wait_until_read, worker_pool

pytestmark = pytest.mark.kafka

N = 100


def _write(settings: Settings, n: int) -> None:
    topic_io.write(settings, [WireRecord(None, f"record {i}".encode(), i % 2) for i in range(n)])


def test_it_ends_the_worker_with_78_until_a_person_decides(
    settings: Callable[..., Settings], kafka: Broker, tmp_path: Path
) -> None:
    made = settings(broker=kafka.address, checkpoint={"interval_s": 0.5}, topics={"partitions": 2})
    topic_io.make_topics(made)
    _write(made, N)
    with worker_pool(made, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        wait_until_read(made, worker)
        asyncio.run(topic_io.make_anew(made))
        _write(made, 2 * N)  # so that the checkpoint's offset lies within the new log, too
        assert worker.exit_code() == 78, worker.text()
        assert "--accept-new-topic" in worker.text()
        refused = start()
        assert refused.exit_code() == 78
        assert "--accept-new-topic" in refused.text()
    before = max(topic_io.read_rows(made, made.topics.weights)["generation"].to_pylist())

    with worker_pool(made, tmp_path, (*RECORDING_WORKER, "--accept-new-topic")) as start:
        worker = start()
        wait_until_read(made, worker)
        assert worker.stop() == 0
    rows = [r for r in topic_io.read_rows(made, made.topics.weights).to_pylist() if r["generation"] > before]
    assert sorted((r["partition"], r["offset"], r["nth"]) for r in rows) == [
        (partition, n, n + 1) for partition in range(2) for n in range(N)
    ], "all of the new log, from its begin, on a state that knows nothing of the old one"

    with worker_pool(made, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        _write(made, 2)
        wait_until_read(made, worker)
        assert worker.stop() == 0, "decided once and for all"
