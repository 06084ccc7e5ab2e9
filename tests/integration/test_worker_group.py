"""Workers that come and go share the partitions without losing, repeating or reordering anything."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from tests.support import topic_io
from tests.support.brokers import Broker, apache_kafka
from tests.support.recorded import assert_every_record_once_and_in_order, assert_no_commit_ahead_of_a_checkpoint
from tests.support.workers import READY, RECORDING_WORKER, WorkerProcess, wait_until_read, worker_pool

PARTITIONS = 4
PER_S = 1_500
pytestmark = [pytest.mark.kafka, pytest.mark.slow]


@pytest.fixture
def quick(settings: Callable[..., Settings], kafka: Broker) -> Settings:
    """Settings with topics made, and checkpoints twice a second."""
    made = settings(
        broker=kafka.address,
        checkpoint={"interval_s": 0.5},
        topics={"partitions": PARTITIONS},
        kafka={"max_poll_records": 300},
    )
    topic_io.make_topics(made)
    return made


def _inputs() -> Iterator[WireRecord]:
    """Records for all partitions, without end."""
    return (WireRecord(None, f"record {n}".encode(), n * 7 % PARTITIONS) for n in itertools.count())


def test_a_worker_that_joins_and_leaves_under_load_costs_no_record(quick: Settings, tmp_path: Path) -> None:
    with worker_pool(quick, tmp_path, RECORDING_WORKER) as start:
        first = start()
        first.wait_ready()
        with topic_io.writing(quick, _inputs(), PER_S) as writer:
            first.until(lambda: topic_io.committed(quick), "commit", 20)
            second = start()
            second.wait_ready()
            _wait_until_takes(first, 2)
            assert_no_commit_ahead_of_a_checkpoint(quick)
            assert second.stop() == 0
            _wait_until_takes(first, 4)
            assert_no_commit_ahead_of_a_checkpoint(quick)
            assert writer.writing, "there was load all the time"
        wait_until_read(quick, first)
        assert first.stop() == 0

    rows = assert_every_record_once_and_in_order(quick)
    assert len(set(rows["generation"].to_pylist())) > 1
    n_written = sum(topic_io.ends(quick, quick.topics.events).values())
    assert rows.num_rows == n_written, "whoever leaves in peace leaves nothing to repeat"


def test_a_killed_workers_partitions_are_served_again_within_15_seconds(quick: Settings, tmp_path: Path) -> None:
    with worker_pool(quick, tmp_path, RECORDING_WORKER) as start:
        first, second = start(), start()
        first.wait_ready()
        second.wait_ready()
        _wait_until_takes(first, 2)
        _wait_until_takes(second, 2)
        with topic_io.writing(quick, _inputs(), PER_S):
            first.until(lambda: len(topic_io.committed(quick)) == PARTITIONS, "commits", 20)
            first.kill()
            _wait_until_takes(second, 4, within_s=15)
            assert_no_commit_ahead_of_a_checkpoint(quick)
        wait_until_read(quick, second)
        assert second.stop() == 0

    assert_every_record_once_and_in_order(quick)


def test_a_suspended_worker_that_wakes_up_superseded_does_no_harm(quick: Settings, tmp_path: Path) -> None:
    with worker_pool(quick, tmp_path, RECORDING_WORKER) as start:
        zombie = start()
        zombie.wait_ready()
        with topic_io.writing(quick, _inputs(), PER_S):
            zombie.until(lambda: topic_io.committed(quick), "commit", 20)
            zombie.pause()
            heir = start()
            _wait_until_takes(heir, 4)
            before = topic_io.committed(quick)
            heir.until(lambda: topic_io.committed(quick) != before, "commits of the heir", 20)
            zombie.resume()
            # it either joins again as anybody may, or has learned that it is superseded and ended itself
            heir.until(lambda: not zombie.running or _takes(zombie) > 1, "the zombie's answer", 30)
        survivor = heir if heir.running else zombie
        wait_until_read(quick, survivor)
        assert_no_commit_ahead_of_a_checkpoint(quick)

    assert_every_record_once_and_in_order(quick)


def _takes(worker: WorkerProcess) -> int:
    return len(re.findall(READY, worker.text()))


def _wait_until_takes(worker: WorkerProcess, n_partitions: int, within_s: float = 60) -> None:
    """Return when the worker's latest assignment has so many partitions."""

    def look() -> bool | None:
        taken = re.findall(r"partitions (taken|lost) partitions=(\S+)", worker.text())
        return (taken and taken[-1][0] == "taken" and len(taken[-1][1].split(",")) == n_partitions) or None

    worker.until(look, f"assignment of {n_partitions} partitions", within_s)


def test_more_input_partitions_end_the_workers_with_78_until_a_person_decides(quick: Settings, tmp_path: Path) -> None:
    with worker_pool(quick, tmp_path, RECORDING_WORKER) as start, topic_io.writing(quick, _inputs(), PER_S):
        worker = start()
        worker.until(lambda: len(topic_io.committed(quick)) == PARTITIONS, "commits", 60)
        topic_io.grow(quick, PARTITIONS + 2)
        assert worker.exit_code(60) == 78
    assert "--accept-repartition" in worker.text()

    topic_io.write(quick, [WireRecord(None, b"more", partition) for partition in range(PARTITIONS + 2)])
    with worker_pool(quick, tmp_path, (*RECORDING_WORKER, "--accept-repartition")) as start:
        worker = start()
        wait_until_read(quick, worker)
        assert worker.stop() == 0
    assert_every_record_once_and_in_order(quick)


def test_a_static_member_that_is_killed_goes_on_without_a_rebalance(quick: Settings, tmp_path: Path) -> None:
    static = quick.model_copy(update={"instance_id": "worker-0"})
    with worker_pool(static, tmp_path, RECORDING_WORKER) as start:
        first = start()
        first.wait_ready()
        with topic_io.writing(static, _inputs(), PER_S):
            first.until(lambda: len(topic_io.committed(static)) == PARTITIONS, "commits", 20)
            first.kill()
            second = start()
            _wait_until_takes(second, PARTITIONS)
        wait_until_read(static, second)
        assert second.stop() == 0

    assert_every_record_once_and_in_order(static)


def test_a_shutdown_while_the_broker_is_away_ends_in_time(
    settings: Callable[..., Settings], kafka: Broker, tmp_path: Path
) -> None:
    with apache_kafka(tmp_path / "broker") as broker:
        alone = settings(broker=broker.address, watchdog={"shutdown_s": 8}, topics={"partitions": PARTITIONS})
        topic_io.make_topics(alone)
        with worker_pool(alone, tmp_path, RECORDING_WORKER) as start:
            worker = start()
            worker.wait_ready()
            with topic_io.writing(alone, _inputs(), PER_S) as writer:
                worker.wait_for("partitions taken")
                writer.finish()
            broker.kill()
            began = time.monotonic()
            assert worker.stop(30) in (0, 70)
            assert time.monotonic() - began < 12
