"""``sie sink``: what the topics hold comes to be in the lake, whatever becomes of the sink and the topics."""

from __future__ import annotations

import asyncio
import random
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic, RecordsToDelete

from sie_online import contracts
from sie_online.client.connection import connection
from sie_online.client.lakes import manifest_files
from sie_online.settings import Settings
from streams.cli.root import run
from streams.lake import writer
from tests.support.brokers import Broker, free_ports
from tests.support.environment import as_environment
from tests.support.lakes import FORMATS, Said, arrow_table, by_duckdb, expected, message, replayed_topic, row, rows_of
from tests.support.rows import sample_batch
from tests.support.topic_io import administrate, publish
from tests.support.waiting import until
from tests.support.workers import SIE_WORKER, worker_pool

SettingsFactory = Callable[..., Settings]
SIE_SINK = (*SIE_WORKER[:-1], "sink", "--to")
PARTITIONS = 2


def _create(settings: Settings) -> None:
    names = [settings.topics.weights, settings.topics.samples]
    topics = [NewTopic(name, PARTITIONS, 1) for name in names]
    asyncio.run(administrate(settings, lambda admin: admin.create_topics(topics)))


def _publish(settings: Settings, said: Sequence[Said]) -> None:
    asyncio.run(_send(settings, said))


async def _send(settings: Settings, said: Sequence[Said], pause_s: float = 0.0) -> None:
    async with AIOKafkaProducer(**connection(settings)) as producer:
        for each in said:
            value = contracts.to_message(each.batch)
            await producer.send_and_wait(settings.topics.weights, value, partition=each.partition)
            await asyncio.sleep(pause_s)


@pytest.fixture
def online(broker: Broker, settings: SettingsFactory) -> Settings:
    """Settings for the embedded broker, whose topics are there, and empty."""
    made = settings(broker=broker.address)
    _create(made)
    return made


@pytest.fixture
def sie(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``sie`` as a function of settings and arguments, within this process: its exit code, and what it said."""

    def call(settings: Settings, *arguments: str) -> tuple[int, str]:
        for name, value in as_environment(settings).items():
            monkeypatch.setenv(name, value)
        code = run(arguments)
        return code, capsys.readouterr().err

    return call


@pytest.mark.parametrize("format_name", FORMATS)
def test_it_writes_what_there_is_and_goes_on_there(
    online: Settings, sie: Callable[..., tuple[int, str]], tmp_path: Path, format_name: str
) -> None:
    said, lake = replayed_topic(), tmp_path.as_uri()
    call = ("sink", "--to", f"{format_name}+{lake}", "--until-idle", "0.5")
    _publish(online, said[:4])
    asyncio.run(publish(online, online.topics.samples, contracts.to_message(sample_batch(0, 1))))
    code, text = sie(online, *call)
    assert code == 0, text
    assert rows_of(format_name, f"{lake}/weights") == expected(said[:4])
    assert arrow_table(format_name, f"{lake}/samples")["offset"].to_pylist() == [0, 1]
    _publish(online, said[4:])
    code, text = sie(online, *call)
    assert code == 0, text
    assert rows_of(format_name, f"{lake}/weights") == expected(said)
    assert "samples: 0 rows of 0 read" in text, "nothing was read again"
    code, text = sie(online, "sink", "--to", f"{format_name}+{lake}", "--compact")
    assert code == 0, text
    assert by_duckdb(format_name, f"{lake}/weights") == expected(said)


def test_of_weights_final_rows_or_all_revisions(
    online: Settings, sie: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    _publish(online, [message(0, row(0, final=False), row(0, revision=1), row(1))])
    options = ("--topics", "weights", "--until-idle", "0.5")
    for choice, want in (("--final-only", [(0, 1), (1, 0)]), ("--all-revisions", [(0, 0), (0, 1), (1, 0)])):
        lake = (tmp_path / choice).as_uri()
        assert sie(online, "sink", "--to", lake, "--format", "delta", choice, *options)[0] == 0
        assert [(offset, revision) for _, offset, revision, *_ in rows_of("delta", f"{lake}/weights")] == want
    lake = (tmp_path / "--final-only").as_uri()
    code, text = sie(online, "sink", "--to", f"delta+{lake}", "--all-revisions", *options)
    assert (code, "--final-only" in text) == (2, True)


def test_a_message_that_cannot_be_read_is_counted_and_passed_over(
    online: Settings, sie: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    asyncio.run(publish(online, online.topics.weights, b"hello"))
    _publish(online, [message(1, row(1))])
    options = ("--topics", "weights", "--until-idle", "0.5")
    code, text = sie(online, "sink", "--to", f"delta+{tmp_path.as_uri()}", *options)
    assert code == 0
    assert "1 unreadable messages passed over" in text
    assert rows_of("delta", f"{tmp_path.as_uri()}/weights") == expected([message(1, row(1))])
    code, text = sie(online, "sink", "--to", f"parquet+{tmp_path.as_uri()}/2", "--strict", *options)
    assert (code, "offset 0" in text) == (2, True)


def test_small_files_are_merged_as_time_goes_by(
    online: Settings, sie: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOOK_EVERY_S", 0.0)
    call = ("sink", "--to", f"parquet+{tmp_path.as_uri()}", "--topics", "weights", "--until-idle", "0.5")
    said = [message(at, row(at)) for at in range(4)]  # of one hour
    for at, after_h, files in ((0, "1", 1), (1, "1", 2), (2, "0", 3), (3, "0.0000001", 1)):
        _publish(online, said[at : at + 1])
        assert sie(online, *call, "--compact-after-h", after_h)[0] == 0
        assert len(manifest_files(f"{tmp_path.as_uri()}/weights")) == files
    assert rows_of("parquet", f"{tmp_path.as_uri()}/weights") == expected(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "file:///x"], "of which format"),
        (["--to", "delta+file:///x", "--format", "parquet"], "leave one out"),
        (["--to", "iceberg+file:///x"], "not known"),
        (["--to", "delta+ftp://x/y"], "not supported"),
        (["--to", "delta+file:///x", "--topics", "entities"], "'entities' is none of"),
        (["--to", "delta+file:///x", "--every", "soon"], "60s, 5m or 1h"),
        (["--to", "delta+file:///nowhere/to/be/found", "--compact"], "there is no table"),
    ],
)
def test_what_makes_no_sense_is_refused(
    settings: SettingsFactory, sie: Callable[..., tuple[int, str]], arguments: list[str], said: str
) -> None:
    code, text = sie(settings(), "sink", *arguments)
    assert (code, said in text) == (2, True), text


def test_without_the_extra_it_says_what_to_install(
    settings: SettingsFactory, sie: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.extras.find_spec", lambda _: None)
    code, text = sie(settings(), "sink", "--to", "delta+file:///x")
    assert (code, "deltalake" in text, "[worker,lake]" in text) == (2, True, True)


def _metric(port: int, name: str) -> float:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
    except OSError:
        return 0.0
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name}{{"))


def test_sigterm_has_it_commit_what_it_has_read_and_end_with_0(online: Settings, tmp_path: Path) -> None:
    said, lake, port = replayed_topic(), tmp_path.as_uri(), free_ports()[0]
    rows = sum(len(each.batch) for each in said)
    command = (*SIE_SINK, f"delta+{lake}", "--every", "1h", "--all-revisions", "--metrics-port", str(port))
    _publish(online, said)
    with worker_pool(online, tmp_path, command) as start:
        sink = start()
        until(lambda: _metric(port, "sie_sink_waiting_rows") == rows, "all rows read", 60)
        until(lambda: _metric(port, "sie_sink_lag_messages") == len(said), "what the table lacks", 60)
        assert _metric(port, "sie_sink_rows_total") == 0
        for page in ("healthz", "readyz"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
                assert answer.status == 200
        assert sink.stop() == 0, sink.text()
    assert rows_of("delta", f"{lake}/weights") == expected(said)


def _said_by(generation: int) -> Iterator[Said]:
    """What an owner of all partitions says: of each the former owner's last fifteen statements, and forty more."""
    for at in range(max(0, 40 * (generation - 1) - 15), 40 * generation, 5):
        for partition in range(PARTITIONS):
            offsets = range(at, at + 5)
            yield message(0, *(row(offset, generation=generation, partition=partition) for offset in offsets))


@pytest.mark.kafka
@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_kill_9_again_and_again_while_rows_are_published_loses_and_doubles_none(
    kafka: Broker, settings: SettingsFactory, tmp_path: Path, format_name: str
) -> None:
    """On real Kafka, with owners of shards that replace each other and repeat what the last one said."""
    made, lake, chance = settings(broker=kafka.address), tmp_path.as_uri(), random.Random(5)
    _create(made)
    said: list[Said] = []
    command = (*SIE_SINK, f"{format_name}+{lake}", "--every", "0.1s", "--topics", "weights")
    with worker_pool(made, tmp_path, command) as start:
        for generation in range(1, 4):
            sink = start()
            until(lambda sink=sink: "sink goes on" in sink.text(), "start of the sink", 60)  # type: ignore[misc]
            said += (news := list(_said_by(generation)))
            asyncio.run(_send(made, news, pause_s=0.04))
            time.sleep(chance.uniform(0.0, 0.3))  # the moment of death is the test's input
            sink.kill()
    with worker_pool(made, tmp_path, (*command, "--until-idle", "1")) as start:
        assert start().exit_code() == 0
    assert rows_of(format_name, f"{lake}/weights") == expected(said)
    assert len(expected(said)) == 120 * PARTITIONS


@pytest.mark.kafka
def test_what_a_person_must_decide_ends_it_with_78(
    kafka: Broker, settings: SettingsFactory, sie: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    made, lake = settings(broker=kafka.address), tmp_path.as_uri()
    _create(made)
    call = ("sink", "--to", f"delta+{lake}", "--topics", "weights", "--until-idle", "0.5")
    said = [message(at, row(at)) for at in range(4)]
    _publish(made, said[:1])
    assert sie(made, *call)[0] == 0
    _publish(made, said[1:])
    cut = {TopicPartition(made.topics.weights, 0): RecordsToDelete(before_offset=2)}
    asyncio.run(administrate(made, lambda admin: admin.delete_records(cut)))
    code, text = sie(made, *call)
    assert (code, "deleted 1 messages" in text, "--accept-gap" in text) == (78, True, True)
    assert sie(made, *call, "--accept-gap")[0] == 0
    assert rows_of("delta", f"{lake}/weights") == expected([said[0], *said[2:]])
    asyncio.run(administrate(made, lambda admin: admin.delete_topics([made.topics.weights])))
    until(lambda: _created_anew(made), "the topic anew")
    _publish(made, said)
    code, text = sie(made, *call)
    assert (code, "deleted and made again" in text) == (78, True), text


def _created_anew(settings: Settings) -> bool:
    async def create(admin: Any) -> bool:
        response = await admin.create_topics([NewTopic(settings.topics.weights, PARTITIONS, 1)])
        return response.topic_errors[0][1] == 0

    try:
        return bool(asyncio.run(administrate(settings, create)))
    except Exception:  # noqa: BLE001 - it is still being deleted
        return False
