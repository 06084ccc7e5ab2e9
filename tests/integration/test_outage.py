"""Brokers that go away and come back, on Apache Kafka: what is told meanwhile, and that nothing is lost."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sie_online.client.folding import DIGITS
from sie_online.client.reader import TopicReader
from sie_online.errors import UnreachableError
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from tests.support import topic_io
from tests.support.brokers import Broker, apache_kafka
from tests.support.waiting import until
from tests.support.workers import RECORDING_WORKER, WorkerProcess, wait_until_read, worker_pool

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

SettingsFactory = Callable[..., Settings]
PARTITIONS = 2
NOT_READY_S = 15
IMPATIENT = {"progress_s": 6, "checkpoint_s": 6, "restore_s": 20}
"""Limits of a watchdog that the outage exceeds."""
OUTAGE_S = 18
PER_S = 2_000


class WorkerPages:
    """A worker's pages."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._url = worker.wait_for(r"web site up url=(\S+)").group(1)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page."""
        try:
            with urllib.request.urlopen(f"{self._url}{path}", timeout=10) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def readiness(self) -> dict[str, Any]:
        """What ``/readyz`` says."""
        return dict(json.loads(self.get("/readyz")[1]))


@pytest.fixture(scope="module")
def _own_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with apache_kafka(tmp_path_factory.mktemp("mortal")) as broker:
        yield broker


@pytest.fixture
def mortal(_own_kafka: Broker) -> Broker:
    """A broker that this module's tests may kill."""
    if _own_kafka.pid is None:
        _own_kafka.start()
    return _own_kafka


@contextmanager
def _killed(broker: Broker) -> Iterator[None]:
    """Kill -9 for as long as the block lasts."""
    broker.kill()
    try:
        yield
    finally:
        broker.start()  # or whoever waits for it would do so for ever


def _assert_told(site: WorkerPages, settings: Settings, killed: float) -> None:
    """Every page says that the broker is away, and since when."""
    assert site.get("/readyz")[0] == 503
    assert f"broker {settings.broker} has not answered since 2" in site.readiness()["reason"]
    assert site.get("/healthz")[0] == 200
    assert json.loads(site.get("/status.json")[1])["lag"] is None
    metrics = site.get("/metrics")[1]
    assert "sie_broker_up 0.0" in metrics
    assert "sie_lag_records{" not in metrics
    assert "sie_lag_seconds{" not in metrics
    (since,) = re.findall(r"^sie_broker_last_answer_timestamp_seconds (\S+)", metrics, re.MULTILINE)
    assert killed - 10 < float(since) < killed + 5


class Subscriber(threading.Thread):
    """Reads rows of weights through whatever happens, until it has ``expected`` messages' worth of offsets."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(daemon=True)
        self._settings = settings
        self.offsets: set[tuple[int, int]] = set()
        self.error: BaseException | None = None
        self.stop = threading.Event()

    def run(self) -> None:
        try:
            asyncio.run(self._read())
        except BaseException as error:  # noqa: BLE001 - asserted by the test
            self.error = error

    async def _read(self) -> None:
        async with TopicReader(self._settings, self._settings.topics.weights) as reader:
            while not self.stop.is_set():
                self.offsets |= {(message.partition, message.offset) for message in await reader.poll(0.2)}


def _endless() -> Iterator[WireRecord]:
    return (WireRecord(None, f"busy {n}".encode(), n % PARTITIONS) for n in itertools.count())


def _write(settings: Settings, n: int = 1_000) -> None:
    topic_io.write(settings, [WireRecord(None, f"record {i}".encode(), i % PARTITIONS) for i in range(n)])


def _causes(text: str) -> Counter[str]:
    """Warnings and errors of a log, without times and numbers."""
    lines = re.findall(r"^\S+Z (?:WARNING|ERROR) (.*)$", text, re.MULTILINE)
    return Counter(DIGITS.sub("#", re.sub(r" \[and \d+ more like it\]", "", line)) for line in lines)


def test_an_outage_is_told_everywhere_waited_for_and_costs_nothing(
    settings: SettingsFactory, mortal: Broker, tmp_path: Path
) -> None:
    made = settings(
        broker=mortal.address,
        checkpoint={"interval_s": 0.5},
        topics={"partitions": PARTITIONS},
        watchdog=IMPATIENT,
    )
    topic_io.make_topics(made)
    subscriber = Subscriber(made)
    with worker_pool(made, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        worker.wait_ready()
        site = WorkerPages(worker)
        subscriber.start()
        _write(made)
        wait_until_read(made, worker)
        assert site.get("/readyz")[0] == 200
        assert "sie_broker_up 1.0" in site.get("/metrics")[1]
        with topic_io.writing(made, _endless(), PER_S) as writer:
            worker.until(lambda: topic_io.committed(made).get(0, 0) > 1_000, "work under way", 30)
            killed = time.time()
            with _killed(mortal):
                worker.until(lambda: site.readiness().get("reason"), "reason in /readyz", NOT_READY_S)
                _assert_told(site, made, killed)
                worker.until(lambda: time.time() > killed + OUTAGE_S, "time", OUTAGE_S)
                assert site.get("/healthz")[0] == 200, "nothing but the broker is at fault"
            worker.until(lambda: site.readiness()["ready"], "readiness", 60)
            writer.finish()
        wait_until_read(made, worker)
        assert re.search(r"sie_lag_records\{partition=\"0\"\} \d", site.get("/metrics")[1])
        assert worker.stop() == 0

    minutes = int((time.time() - killed) / 60)
    assert max(_causes(worker.text()).values()) <= 2 + minutes, "a line a minute for each cause"
    assert "broker answers again" in worker.text()
    rows = topic_io.read_rows(made, made.topics.weights).to_pylist()
    for partition, end in topic_io.ends(made, made.topics.events).items():
        said = {(row["offset"], row["nth"], row["digest"]) for row in rows if row["partition"] == partition}
        assert sorted(offset for offset, _, _ in said) == list(range(end))
    read = {(record.partition, record.offset) for record in topic_io.read(made, made.topics.weights)}
    until(lambda: subscriber.offsets == read, "reading on by itself", hopeless=lambda: not subscriber.is_alive())
    assert subscriber.error is None
    subscriber.stop.set()
    subscriber.join()


def test_an_outage_past_its_limit_ends_worker_and_subscriber_with_3(
    settings: SettingsFactory, mortal: Broker, tmp_path: Path
) -> None:
    made = settings(broker=mortal.address, topics={"partitions": PARTITIONS}, kafka={"outage_limit_s": 3})
    topic_io.make_topics(made)
    with worker_pool(made, tmp_path, RECORDING_WORKER) as start:
        worker = start()
        worker.wait_ready()
        subscriber = Subscriber(made)
        subscriber.start()
        _write(made)
        wait_until_read(made, worker)
        mortal.kill()
        assert worker.exit_code(40) == 3
        subscriber.join(40)
    assert "longer than kafka.outage_limit_s = 3 s" in worker.text()
    assert isinstance(subscriber.error, UnreachableError)
