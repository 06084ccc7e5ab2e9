"""A bucket over a network that fails: what was promised is kept, and what cannot be done is said in time, with why."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from sie_online.errors import UnreachableError
from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from streams.model_registry import artifacts
from streams.store import Part, Store, bucket, open_store
from streams.store.probe import check_store
from tests.conftest import SettingsFactory
from tests.support import topic_io
from tests.support.brokers import Broker
from tests.support.buckets import (
    LOST_ANSWER,
    LOST_REQUEST,
    NONE,
    PAGE,
    UNCONDITIONAL,
    Asked,
    Fault,
    Network,
    always,
    once,
    refused,
    slow,
)
from tests.support.checkpoints import FakeState, whole
from tests.support.claims import claimed_by_one
from tests.support.recorded import assert_every_record_once_and_in_order, assert_no_commit_ahead_of_a_checkpoint
from tests.support.versions import made_version
from tests.support.workers import RECORDING_WORKER, WorkerProcess, wait_until_read, worker_pool

RIVALS = 6


@pytest.fixture
def store(bucket: str) -> Store:
    return open_store(f"{bucket}/sie")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tried for 15 s in production is tried for less than one."""
    for name, seconds in (("RETRIED_S", 0.4), ("STALLED_S", 0.3), ("REQUEST_S", 0.5)):
        monkeypatch.setattr(bucket, name, seconds)


OPERATIONS: dict[str, Callable[[Store], object]] = {
    "create": lambda store: store.create("epochs/2", b"x"),
    "put": lambda store: store.put("packs/a", [Part.of(b"x")]),
    "read": lambda store: store.read("packs/a"),
    "list": lambda store: store.list("packs"),
    "delete": lambda store: store.delete("packs/a"),
}


# -- claims


@pytest.mark.parametrize(
    "fault",
    [
        LOST_ANSWER,
        LOST_REQUEST,
        Fault(status=500, code="InternalError"),
        refused(500, "InternalError"),
        refused(409, "ConditionalRequestConflict"),
    ],
    ids=["answer-lost", "request-lost", "error-though-made", "error", "conflict"],
)
def test_a_claim_is_its_callers_whatever_became_of_the_answer(store: Store, network: Network, fault: Fault) -> None:
    with network.befallen(once("CREATE", fault)):
        assert store.create("epochs/1", b"mine") is True
    assert network.counts()["CREATE"] > 1, "it was tried again"
    assert store.create("epochs/1", b"theirs") is False
    assert store.read("epochs/1") == b"mine"


def test_a_claim_that_another_made_meanwhile_is_not_the_callers(store: Store, network: Network) -> None:
    rival = open_store(store._url)  # type: ignore[attr-defined]
    outcomes: list[bool] = []

    def rival_first(asked: Asked) -> Fault:
        if asked.kind != "CREATE" or outcomes:
            return NONE
        outcomes.append(False)  # the rival's own request passes
        outcomes[0] = rival.create("epochs/1", b"theirs")
        return LOST_REQUEST

    with network.befallen(rival_first):
        assert store.create("epochs/1", b"mine") is False
    assert outcomes == [True]


def test_of_rivals_exactly_one_claims_though_the_winner_is_not_told(store: Store, network: Network) -> None:
    fates, lock = defaultdict(lambda: iter((LOST_ANSWER, LOST_REQUEST, LOST_ANSWER))), threading.Lock()

    def unlucky(asked: Asked) -> Fault:
        with lock:
            return next(fates[asked.path], NONE) if asked.kind == "CREATE" else NONE

    with network.befallen(unlucky), ThreadPoolExecutor(RIVALS) as pool:
        for turn in range(5):
            won = list(pool.map(store.create, [f"epochs/{turn}"] * RIVALS, [b"%d" % each for each in range(RIVALS)]))
            assert won.count(True) == 1
            assert store.read(f"epochs/{turn}") == b"%d" % won.index(True)


def test_of_rival_processes_exactly_one_claims(bucket: str) -> None:
    names = [f"epochs/{turn}" for turn in range(40)]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        won = [name for claimed in pool.map(claimed_by_one, [bucket] * 2, [names] * 2) for name in claimed]
    assert sorted(won) == sorted(names)


def test_a_service_that_knows_no_conditions_is_no_store(
    bucket: str, network: Network, settings: SettingsFactory
) -> None:
    check_store(settings(store=bucket))
    with network.befallen(always(UNCONDITIONAL)), pytest.raises(UnreachableError, match="ignores If-None-Match"):
        check_store(settings(store=bucket))
    assert list(open_store(bucket).list("")) == [], "the probe leaves nothing behind"


# -- contents


def test_a_large_object_arrives_in_parts_and_whole(store: Store, network: Network) -> None:
    content = random.Random(1).randbytes((20 << 20) + 7)
    parts = [Part.of(memoryview(content)[:100]), Part.of(b""), Part.of(memoryview(content)[100:])]
    store.put("packs/a", parts)
    assert network.counts()["PUT"] == 3, "8 MB each"
    assert store.read("packs/a", 1000, 9 << 20) == content[9 << 20 :][:1000]
    assert store.read("packs/a") == content


def test_an_upload_that_fails_leaves_what_was_there_and_no_parts(bucket: str, store: Store, network: Network) -> None:
    store.put("packs/a", [Part.of(b"old")])
    with network.befallen(once("PUT", refused(403, "ExpiredToken"), 2)), pytest.raises(UnreachableError):
        store.put("packs/a", [Part.of(bytes(20 << 20))])
    assert store.read("packs/a") == b"old"
    assert any(each.kind == "DELETE" and "uploadId=" in each.path for each in network.asked)
    assert "<UploadId>" not in network.uploads(bucket.removeprefix("s3://"))


def test_a_put_whose_answer_is_lost_is_made_all_the_same(store: Store, network: Network) -> None:
    with network.befallen(once("PUT", LOST_ANSWER)):
        store.put("packs/a", [Part.of(b"content")])
    assert store.read("packs/a") == b"content"


def test_more_names_than_a_page_has_are_all_listed(store: Store, network: Network) -> None:
    names = [f"{number:05d}" for number in range(2 * PAGE + 1)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: store.create(f"epochs/{name}", b""), names))
    network.asked.clear()
    assert sorted(store.list("epochs")) == names
    assert network.counts() == {"LIST": 3}


# -- failures


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (400, "ExpiredToken", "the credentials have expired"),
        (403, "AccessDenied", "the credentials lack a right"),
        (403, "RequestTimeTooSkewed", "clock"),
        (301, "PermanentRedirect", "AWS_REGION"),
        (503, "SlowDown", "fewer requests"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_what_s3_refuses_is_said_with_what_to_do(
    bucket: str, network: Network, operation: str, status: int, code: str, advice: str
) -> None:
    store = open_store(bucket)
    store.put("packs/a", [Part.of(b"x")])
    with network.befallen(always(refused(status, code))), pytest.raises(UnreachableError, match=advice):
        OPERATIONS[operation](store)
    assert store.read("packs/a") == b"x"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_bucket_that_is_gone_is_a_failure_and_no_missing_object(
    store: Store, network: Network, operation: str
) -> None:
    network.drop_everything()
    with pytest.raises(UnreachableError, match="there is no such bucket: create it, or mend the URL"):
        OPERATIONS[operation](store)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_server_that_is_away_for_a_moment_is_waited_for(store: Store, network: Network, operation: str) -> None:
    store.put("packs/a", [Part.of(b"x")])
    back = time.monotonic() + 0.4

    def away(_: Asked) -> Fault:
        return LOST_REQUEST if time.monotonic() < back else NONE

    with network.befallen(away):
        OPERATIONS[operation](store)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("fault", [LOST_REQUEST, slow(30)], ids=["away", "stalled"])
@pytest.mark.usefixtures("impatient")
def test_a_server_that_does_not_answer_is_given_up_in_time(
    bucket: str, network: Network, operation: str, fault: Fault
) -> None:
    store, began = open_store(bucket), time.monotonic()
    with network.befallen(always(fault)), pytest.raises(UnreachableError, match="it does not answer"):
        OPERATIONS[operation](store)
    assert time.monotonic() - began < 15, "of 30 s that the answer takes"


def test_a_slow_listing_is_waited_for(store: Store, network: Network) -> None:
    store.put("packs/a", [Part.of(b"x")])
    with network.befallen(always(slow(0.5), "LIST")):
        assert list(store.list("packs")) == ["a"]


# -- what lies in it


def test_no_two_owners_ever_claim_one_epoch_though_answers_get_lost(
    bucket: str, network: Network, settings: SettingsFactory
) -> None:
    made = settings(store=f"{bucket}/sie")
    rng = random.Random(3)

    def unlucky(asked: Asked) -> Fault:
        return LOST_ANSWER if asked.kind == "CREATE" and rng.random() < 0.3 else NONE

    def claim(_: int) -> int:
        return CheckpointStore(made, made.topics.events).claim(0, 1)

    with network.befallen(unlucky), ThreadPoolExecutor(4) as pool:
        epochs = list(pool.map(claim, range(12)))
    assert len(set(epochs)) == len(epochs)


def test_a_checkpoint_asks_the_bucket_for_little(bucket: str, network: Network, settings: SettingsFactory) -> None:
    made = settings(store=f"{bucket}/sie")
    store, state = CheckpointStore(made, made.topics.events, input_partitions=1), FakeState()
    epoch = store.claim(0, 1)
    for _ in range(6):  # the newest, two before it, and one to be swept
        state.step()
        store.write(0, epoch, state.snapshot())
    network.asked.clear()
    store.check_current(0, epoch)
    assert network.counts() == {"LIST": 1}
    state.step()
    store.write(0, epoch, state.snapshot())
    counts = network.counts()
    assert counts["LIST"] == 1 + 4, "epochs twice, manifests, packs"
    assert counts["PUT"] == 2, "a pack and a manifest"
    assert counts["GET"] <= 6, "both read back, and what manifests stand before"


def test_a_folder_that_was_copied_into_a_bucket_goes_on_there(
    bucket: str, settings: SettingsFactory, tmp_path: Path
) -> None:
    state, folder = FakeState(), settings(group="../a b%2F")
    before = CheckpointStore(folder, folder.topics.events, input_partitions=1)
    before.write(0, before.claim(0, 1), state.snapshot())
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    copy = open_store(f"{bucket}/sie")
    for file in files:
        copy.put(str(file.relative_to(tmp_path / "store")), [Part.of(file.read_bytes())])

    moved = settings(group="../a b%2F", store=f"{bucket}/sie")
    after = CheckpointStore(moved, moved.topics.events, input_partitions=1)
    assert whole(after.load(0)) == state.whole()
    assert after.claim(0, 1) == 2


def test_a_model_kept_in_a_bucket_is_listed_verified_and_removed(bucket: str) -> None:
    trainers, workers = open_store(f"{bucket}/sie"), open_store(f"{bucket}/sie")
    data, manifest = made_version(seed=1)
    artifacts.keep(trainers, data, manifest)
    assert artifacts.stored(workers) == [manifest.version]
    assert artifacts.read_manifest(workers, manifest.version) == manifest
    artifacts.verify(workers, manifest)
    artifacts.delete(trainers, manifest.version)
    assert artifacts.stored(workers) == []


def _wait_for_a_commit(settings: Settings, worker: WorkerProcess) -> None:
    before = topic_io.committed(settings)
    worker.until(lambda: topic_io.committed(settings) != before, "commit of this worker", 60)


@pytest.mark.embedded
@pytest.mark.slow
def test_a_worker_killed_under_load_goes_on_from_its_checkpoint_in_the_bucket(
    bucket: str, settings: SettingsFactory, broker: Broker, tmp_path: Path
) -> None:
    made = settings(
        broker=broker.address,
        store=f"{bucket}/sie",
        checkpoint={"interval_s": 0.5},
        topics={"partitions": 2},
        kafka={"max_poll_records": 300},
        instance_id="one",  # the embedded broker does not forget a dynamic member that was killed
    )
    topic_io.make_topics(made)
    inputs = (WireRecord(None, f"record {n}".encode(), n % 2) for n in itertools.count())
    with worker_pool(made, tmp_path, RECORDING_WORKER) as start, topic_io.writing(made, inputs, 1_000) as writer:
        worker = start()
        worker.wait_ready()
        _wait_for_a_commit(made, worker)
        assert_no_commit_ahead_of_a_checkpoint(made)
        worker.kill()
        assert writer.writing, "it was killed under load"
        writer.finish()
        last = start()
        wait_until_read(made, last)
        assert last.stop() == 0
    rows = assert_every_record_once_and_in_order(made)
    assert len(set(rows["generation"].to_pylist())) == 2
