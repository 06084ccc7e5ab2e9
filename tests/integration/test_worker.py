"""One worker process: what it opens, how it ends, and what it refuses."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlparse

import psutil
import pytest

from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from tests.support import topic_io
from tests.support.brokers import Broker, free_ports
from tests.support.workers import (
    FAUST_WORKER,
    RECORDING_WORKER,
    SIE_WORKER,
    WorkerProcess,
    wait_until_read,
    worker_pool,
)

pytestmark = pytest.mark.embedded
SettingsFactory = Callable[..., Settings]


@pytest.fixture
def made(settings: SettingsFactory, broker: Broker) -> Settings:
    """Settings whose topics exist, and frequent checkpoints."""
    made = settings(broker=broker.address, checkpoint={"interval_s": 0.5}, topics={"partitions": 2})
    topic_io.make_topics(made)
    return made


def _write(settings: Settings, n: int = 1_000) -> None:
    topic_io.write(settings, [WireRecord(None, f"record {i}".encode(), i % 2) for i in range(n)])


def _store(settings: Settings) -> Path:
    return Path(urlparse(settings.store).path)


def _listening(worker: WorkerProcess) -> list[tuple[str, int]]:
    connections = psutil.Process(worker.pid).net_connections("inet")
    return [tuple(one.laddr) for one in connections if one.status == psutil.CONN_LISTEN]


def test_a_restarted_worker_goes_on_where_it_stopped(made: Settings, tmp_path: Path) -> None:
    with worker_pool(made, tmp_path, RECORDING_WORKER) as start:
        for _ in range(3):
            _write(made)
            worker = start()
            wait_until_read(made, worker)
            assert worker.stop() == 0

    rows = topic_io.read_rows(made, made.topics.weights).to_pylist()
    assert [row["nth"] for row in rows if row["partition"] == 1] == list(range(1, 1_501))
    assert len({row["generation"] for row in rows}) == 3


@pytest.mark.slow
@pytest.mark.parametrize("command", [SIE_WORKER, FAUST_WORKER], ids=["sie", "faust"])
def test_a_worker_opens_its_own_site_on_loopback_and_no_other_port(
    made: Settings, tmp_path: Path, command: Sequence[str]
) -> None:
    with worker_pool(made, tmp_path, command) as start:
        worker = start()
        worker.wait_ready(300)  # its kernels may have to be compiled
        ((host, port),) = _listening(worker)
        assert host == "127.0.0.1"
        with urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=10) as answer:
            assert answer.status == 200
        assert worker.stop() == 0


def test_a_worker_makes_no_topic(made: Settings, tmp_path: Path) -> None:
    before = topic_io.topics(made)
    with worker_pool(made, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        worker.wait_ready()
        assert worker.stop() == 0

    assert topic_io.topics(made) == before


def test_missing_topics_end_it_with_2_and_the_line_that_makes_them(
    settings: SettingsFactory, broker: Broker, tmp_path: Path
) -> None:
    with worker_pool(settings(broker=broker.address), tmp_path, RECORDING_WORKER) as start:
        worker = start()
        assert worker.exit_code() == 2
    assert "sie topics create" in worker.text()


def test_a_taken_port_ends_it_with_2(made: Settings, settings: SettingsFactory, broker: Broker, tmp_path: Path) -> None:
    port = int(broker.address.rpartition(":")[2])
    taken = made.model_copy(update={"web": made.web.model_copy(update={"port": port})})
    with worker_pool(taken, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        assert worker.exit_code() == 2
    assert "SIE_WEB__PORT" in worker.text()


def test_an_unreachable_broker_ends_it_with_3(settings: SettingsFactory, tmp_path: Path) -> None:
    nobody = settings(broker=f"127.0.0.1:{free_ports()[0]}")
    with worker_pool(nobody, tmp_path, RECORDING_WORKER) as start:
        assert start().exit_code() == 3


def test_an_unreachable_store_ends_it_with_3(settings: SettingsFactory, broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    nowhere = settings(broker=broker.address, store=(tmp_path / "file" / "store").as_uri())
    with worker_pool(nowhere, tmp_path, RECORDING_WORKER) as start:
        assert start().exit_code() == 3


def test_an_emptied_store_ends_it_with_78_and_fresh_decides(made: Settings, tmp_path: Path) -> None:
    for partition in range(2):
        CheckpointStore(made, made.topics.events).claim(partition, 50)  # far above any generation of Kafka's
    _write(made)
    with worker_pool(made, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        wait_until_read(made, worker)
        assert worker.stop() == 0
        shutil.rmtree(_store(made))
        refused = start()
        assert refused.exit_code() == 78
        assert "--fresh" in refused.text()
    highest = max(topic_io.read_rows(made, made.topics.weights)["generation"].to_pylist())
    with worker_pool(made, tmp_path, (*RECORDING_WORKER, "--fresh")) as start:
        fresh = start()
        _write(made, 2)
        wait_until_read(made, fresh)
        assert fresh.stop() == 0

    rows = topic_io.read_rows(made, made.topics.weights).to_pylist()
    assert highest == 51
    said_anew = [row for row in rows if row["generation"] > highest]
    assert sum(row["offset"] == 0 for row in said_anew) == 2, "from the log's begin, above every former generation"


def test_other_settings_end_it_with_78(made: Settings, tmp_path: Path) -> None:
    _write(made)
    with worker_pool(made, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        wait_until_read(made, worker)
        assert worker.stop() == 0
    other = made.model_copy(update={"labels": made.labels.model_copy(update={"window_s": 7.0})})
    with worker_pool(other, tmp_path, RECORDING_WORKER) as start:
        refused = start()
        assert refused.exit_code() == 78
    assert "--accept-changed-settings" in refused.text()


def test_a_fault_in_a_shard_ends_it_with_70_and_names_the_place(made: Settings, tmp_path: Path) -> None:
    with worker_pool(made, tmp_path, (*RECORDING_WORKER, "--fail-at", "137")) as start:
        _write(made)
        worker = start()
        assert worker.exit_code() == 70
    assert "partition=" in worker.text()
    assert "start=" in worker.text()
    assert topic_io.committed(made).keys() <= {0, 1}
    assert all(offset < 500 for offset in topic_io.committed(made).values())


def test_a_shard_that_never_returns_is_ended_by_the_watchdog(
    settings: SettingsFactory, broker: Broker, tmp_path: Path
) -> None:
    impatient = settings(
        broker=broker.address,
        topics={"partitions": 2},
        checkpoint={"interval_s": 0.5},
        watchdog={"progress_s": 3, "checkpoint_s": 3},
    )
    topic_io.make_topics(impatient)
    _write(impatient)
    with worker_pool(impatient, tmp_path, (*RECORDING_WORKER, "--stall-at", "137")) as start:
        worker = start()
        assert worker.exit_code() == 70
    assert "500 records wait, none was processed" in worker.text()


def test_the_narrowest_bounds_on_memory_let_everything_through(
    settings: SettingsFactory, broker: Broker, tmp_path: Path
) -> None:
    narrow = settings(
        broker=broker.address,
        topics={"partitions": 2},
        checkpoint={"interval_s": 0.5},
        kafka={"max_in_flight_bytes": 1 << 20, "max_unacked_bytes": 1 << 20, "max_message_bytes": 10_000},
    )
    topic_io.make_topics(narrow)
    topic_io.write(narrow, [WireRecord(None, bytes(20_000), i % 2) for i in range(1_000)])
    with worker_pool(narrow, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        wait_until_read(narrow, worker)
        assert worker.stop() == 0

    rows = topic_io.read_rows(narrow, narrow.topics.weights).to_pylist()
    assert sorted((row["partition"], row["nth"]) for row in rows) == [(p, n) for p in range(2) for n in range(1, 501)]
