"""A worker with a trainer beside it: from events to an announced net, and nothing that ends the one ends the other."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.trainers import registered_net
from tests.support.versions import LENIENT, TINY
from tests.support.waiting import until
from tests.support.workers import SIE_WORKER, WorkerProcess, wait_until_read, worker_pool

pytestmark = [pytest.mark.embedded, pytest.mark.slow]


def _renamed(record: WireRecord) -> WireRecord:
    """The same event under another id: no duplicate."""
    return record._replace(value=(record.value or b"").replace(b'"event_id":"', b'"event_id":"again-'))


def _trainers(worker: WorkerProcess, at_least: int) -> list[int]:
    """Process ids of the trainers started so far, once there are so many."""

    def look() -> list[int] | None:
        found = [int(pid) for pid in re.findall(r"trainer started pid=(\d+)", worker.text())]
        return found if len(found) >= at_least else None

    return worker.until(look, f"{at_least} trainers", 60)


def test_events_become_a_net_and_a_dead_trainer_harms_no_worker(
    settings: Callable[..., Settings], broker: Broker, tmp_path: Path
) -> None:
    simulation = simulate(Scenario(events=6_000, seed=2))
    made = settings(
        broker=broker.address,
        checkpoint={"interval_s": 0.5},
        topics={"partitions": 2},
        trainer=TINY | LENIENT | {"every_samples": 1_000, "min_samples": 1_000, "ahead_s": 0.01},
    )
    topic_io.make_topics(made)
    with worker_pool(made, tmp_path, (*SIE_WORKER, "--with-trainer")) as start:
        worker = start()
        (first,) = _trainers(worker, 1)
        worker.wait_ready(600)  # its kernels may have to be compiled
        os.kill(first, signal.SIGKILL)
        asyncio.run(replay(made, simulation.chunks(), ReplayRate()))
        wait_until_read(made, worker)
        second = _trainers(worker, 2)[1]
        # a busy machine's trainer starts slowly
        worker.until(lambda: registered_net(made).newest, "announcement", 300)
        topic_io.write(made, [_renamed(record) for record in simulation.records()])  # as if a second day came
        wait_until_read(made, worker)
        assert worker.stop() == 0
        until(lambda: not Path(f"/proc/{second}").exists(), "end of its trainer", 10)
    announced = {said.version for said in registered_net(made).announcements.values()}
    versions = set(topic_io.read_rows(made, made.topics.weights)["model_version"].to_pylist())
    assert "builtin" in versions
    assert versions & announced
    assert versions <= announced | {"builtin"}
