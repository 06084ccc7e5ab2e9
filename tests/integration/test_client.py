"""The client on brokers: publish, subscribe, save the position, resume; and the commands that read topics."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from sie_online import EntityName, EntityReader, WeightSubscriber, contracts, statements
from sie_online.client.connection import connection
from sie_online.client.reader import TopicReader
from sie_online.errors import DecisionError, MessageError, TopicError, UnreachableError
from sie_online.events import DeadLetter, Reason
from sie_online.settings import Settings
from streams.cli.root import run
from streams.publisher import dead_letter
from tests.brokers import ROOT, Broker, free_ports
from tests.environment import as_environment
from tests.published import sample_batch, weight_message, weight_row

SettingsFactory = Callable[..., Settings]

WAIT_S = 30


@pytest.fixture(
    params=[pytest.param("broker", marks=pytest.mark.embedded), pytest.param("kafka", marks=pytest.mark.kafka)]
)
def online(request: pytest.FixtureRequest, settings: SettingsFactory) -> Settings:
    """Settings of a broker with this test's own topics of two partitions: embedded, and real Apache Kafka."""
    running: Broker = request.getfixturevalue(request.param)
    made = settings(broker=running.address)
    names = [made.topics.weights, made.topics.samples, made.topics.entities, made.topics.dead_letters]
    asyncio.run(administrate(made, lambda admin: admin.create_topics([NewTopic(name, 2, 1) for name in names])))
    return made


async def administrate(settings: Settings, do: Callable[[AIOKafkaAdminClient], Awaitable[Any]]) -> Any:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        return await do(admin)
    finally:
        await admin.close()


async def publish(settings: Settings, topic: str, *messages: bytes | None, partition: int = 0, **extra: Any) -> None:
    producer = AIOKafkaProducer(**connection(settings))
    await producer.start()
    try:
        for message in messages:
            await producer.send_and_wait(topic, message, partition=partition, **extra)
    finally:
        await producer.stop()


def offsets(rows: list[Any]) -> list[tuple[int, int]]:
    return sorted((row.offset, row.revision) for row in rows)


async def read(settings: Settings, **options: Any) -> tuple[list[Any], dict[str, Any]]:
    async with WeightSubscriber(settings, idle_s=0.5, **options) as weights:
        return [row async for row in weights], weights.position()


def test_a_saved_position_resumes_where_it_was_left(online: Settings) -> None:
    async def story() -> None:
        topic = online.topics.weights
        await publish(online, topic, weight_message(weight_row(0), weight_row(1)), weight_message(weight_row(0, 1)))
        await publish(online, topic, weight_message(weight_row(7, partition=1)), partition=1)
        rows, saved = await read(online)
        assert offsets(rows) == [(0, 0), (0, 1), (1, 0), (7, 0)]
        assert saved == {"topic": topic, "positions": {"0": 2, "1": 1}}

        await publish(online, topic, weight_message(weight_row(2)))
        rows, _ = await read(online, start=json.loads(json.dumps(saved)))
        assert offsets(rows) == [(2, 0)]

    asyncio.run(story())


def test_a_position_saved_within_a_message_brings_the_message_again(online: Settings) -> None:
    async def story() -> None:
        await publish(
            online, online.topics.weights, *(weight_message(weight_row(n), weight_row(n + 1)) for n in (0, 2))
        )
        async with WeightSubscriber(online, idle_s=0.5) as weights:
            handled = [(await anext(weights)).offset for _ in range(3)]
            saved = weights.position()
        rows, _ = await read(online, start=saved)
        assert handled == [0, 1, 2]
        assert [row.offset for row in rows] == [2, 3]

    asyncio.run(story())


def test_latest_brings_only_what_comes_later(online: Settings) -> None:
    async def story() -> None:
        await publish(online, online.topics.weights, weight_message(weight_row(0)))
        async with WeightSubscriber(online, start="latest", idle_s=0.5) as weights:
            await publish(online, online.topics.weights, weight_message(weight_row(1)))
            assert [row.offset async for row in weights] == [1]

    asyncio.run(story())


def test_a_partition_added_while_subscribed_is_read_from_its_start(online: Settings) -> None:
    hasty = online.model_copy(update={"kafka": online.kafka.model_copy(update={"metadata_max_age_s": 0.2})})
    topic = online.topics.weights

    async def story() -> None:
        async with WeightSubscriber(hasty, start="latest") as weights:
            await administrate(online, lambda admin: admin.create_partitions({topic: NewPartitions(3)}))
            await publish(online, topic, weight_message(weight_row(0, partition=2)), partition=2)
            row = await asyncio.wait_for(anext(weights), WAIT_S)
            assert row.partition == 2
            assert weights.position()["positions"] == {"0": 0, "1": 0, "2": 1}

    asyncio.run(story())


def test_a_foreign_message_is_named_by_its_place(online: Settings) -> None:
    async def story() -> None:
        await publish(online, online.topics.weights, weight_message(weight_row(0)), b"hello")
        with pytest.raises(MessageError, match=f"{online.topics.weights}, partition 0, offset 1"):
            await read(online)

    asyncio.run(story())


def test_a_position_beyond_the_log_is_refused(online: Settings) -> None:
    with pytest.raises(DecisionError, match="holds offsets 0 to 0, the saved position is 5"):
        asyncio.run(read(online, start={"topic": online.topics.weights, "positions": {"0": 5}}))


@pytest.mark.kafka
def test_a_position_that_retention_has_passed_is_refused(kafka: Broker, settings: SettingsFactory) -> None:
    online = settings(broker=kafka.address)
    topic = online.topics.weights

    async def story() -> None:
        await administrate(online, lambda admin: admin.create_topics([NewTopic(topic, 1, 1)]))
        await publish(online, topic, *(weight_message(weight_row(n)) for n in range(3)))
        cut = {TopicPartition(topic, 0): RecordsToDelete(before_offset=2)}
        await administrate(online, lambda admin: admin.delete_records(cut))
        with pytest.raises(DecisionError, match="holds offsets 2 to 3, the saved position is 0"):
            await read(online, start={"topic": topic, "positions": {"0": 0}})
        rows, _ = await read(online)
        assert offsets(rows) == [(2, 0)]

    asyncio.run(story())


def test_a_missing_topic_is_named_and_not_created(online: Settings) -> None:
    async def story() -> None:
        for _ in range(2):
            with pytest.raises(TopicError, match=r"nowhere.*sie topics create"):
                await read(online, topic="nowhere")

    asyncio.run(story())


def test_no_broker_is_said_so(settings: SettingsFactory) -> None:
    address = f"127.0.0.1:{free_ports()[0]}"
    with pytest.raises(UnreachableError, match=address):
        asyncio.run(read(settings(broker=address)))


def test_entities_sum_over_shards_and_follow_the_log(online: Settings) -> None:
    def stated(partition: int, n_events: int) -> tuple[bytes, bytes]:
        state = statements.EntityState(n_events, 2.0 * n_events, 0.0, 1.0, partition, 0, "builtin")
        return statements.encode("item", b"42", partition, state)

    async def story() -> None:
        async with EntityReader(online) as entities:
            for partition, n_events in ((0, 1), (1, 5), (0, 3)):
                key, value = stated(partition, n_events)
                await publish(online, online.topics.entities, value, key=key, partition=partition)
            assert await entities.refresh() == 3
            assert entities.table[EntityName("item", "42")].n_events == 8
            await publish(online, online.topics.entities, None, key=stated(1, 0)[0], partition=1)
            assert await entities.refresh() == 1
            assert entities.table[EntityName("item", "42")].n_events == 3

    asyncio.run(story())


def test_reading_on_from_a_moment_skips_what_was_written_before(online: Settings) -> None:
    async def story() -> None:
        topic, now_ms = online.topics.weights, int(time.time() * 1000)  # older records would be deleted at once
        await publish(online, topic, weight_message(weight_row(0)), timestamp_ms=now_ms - 100_000)
        await publish(online, topic, weight_message(weight_row(1)), timestamp_ms=now_ms)
        async with TopicReader(online, topic) as reader:
            await reader.seek_to_time(now_ms - 50_000)
            assert [record.offset for record in await reader.read_on(0.5)] == [1]
            await reader.seek_to_time(now_ms + 50_000)
            assert await reader.read_on(0.5) == []
            await reader.seek_to(0)
            assert [record.offset for record in await reader.read_on(0.5)] == [0, 1]

    asyncio.run(story())


# The commands: their output is a contract with scripts. The embedded broker is enough for them.


@pytest.fixture
def published(broker: Broker, settings: SettingsFactory) -> Settings:
    """Topics with a replayed and revised event, samples, entities and a dead letter."""
    made = settings(broker=broker.address)
    topics = made.topics
    names = [topics.weights, topics.samples, topics.entities, topics.dead_letters]
    replayed = weight_row(0, generation=2, weight=1.25, f_noise=-0.25)
    final = weight_row(0, 1, generation=2, final=True, label=1, error=0.75, weight=2.0, f_noise=0.5, f_clip=-0.25)
    letter = DeadLetter(9, 1_700_000_000_000, Reason.BAD_JSON, "not \x1b[31mJSON", b"k", b"\xff\x1b" * 90_000, [])
    key, value, headers = dead_letter(topics.events, 1, letter)
    entity = statements.encode("user", b"ann", 0, statements.EntityState(4, 2.0, 1.0, 3.0, 0, 17, "builtin"))

    async def prepare() -> None:
        await administrate(made, lambda admin: admin.create_topics([NewTopic(name, 2, 1) for name in names]))
        await publish(
            made, topics.weights, weight_message(weight_row(0), weight_row(1)), weight_message(replayed, final)
        )
        await publish(made, topics.weights, weight_message(weight_row(5, partition=1)), partition=1)
        await publish(made, topics.samples, contracts.to_message(sample_batch(0)))
        await publish(made, topics.entities, entity[1], key=entity[0])
        await publish(made, topics.dead_letters, value, key=key, headers=headers)

    asyncio.run(prepare())
    return made


@dataclass(frozen=True)
class Done:
    """What one call of ``sie`` came to."""

    code: int
    out: str
    err: str

    def documents(self) -> list[dict[str, Any]]:
        """Standard output as one JSON document per line."""
        assert self.code == 0, self.err
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def sie(
    published: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Done]:
    """``sie`` as a function of its arguments, within this process."""
    for name, value in as_environment(published).items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> Done:
        code = run(arguments)
        return Done(code, *capsys.readouterr())

    return call


@pytest.mark.embedded
def test_tail_json_writes_every_statement_as_published(sie: Callable[..., Done]) -> None:
    rows = sie("tail", "weights", "--json", "--until-idle", "0.5").documents()
    stated = sorted((row["partition"], row["offset"], row["revision"], row["generation"]) for row in rows)
    assert stated == [(0, 0, 0, 1), (0, 0, 0, 2), (0, 0, 1, 2), (0, 1, 0, 1), (1, 5, 0, 1)]
    assert set(rows[0]) == set(contracts.WEIGHTS.names)


@pytest.mark.embedded
def test_tail_parquet_writes_the_newest_statement_of_each_identity(sie: Callable[..., Done], tmp_path: Path) -> None:
    path = tmp_path / "weights.parquet"
    done = sie("tail", "weights", "--parquet", str(path), "--until-idle", "0.5")
    assert done.code == 0, done.err
    assert done.out == ""
    table = pq.read_table(path)
    assert table.schema.names == contracts.WEIGHTS.names
    columns = [table[name].to_pylist() for name in (*contracts.WEIGHT_KEY, "generation", "weight")]
    assert list(zip(*columns, strict=True)) == [
        (0, 0, 0, 2, 1.25),
        (0, 0, 1, 2, 2.0),
        (0, 1, 0, 1, 1.0),
        (1, 5, 0, 1, 1.0),
    ]


@pytest.mark.embedded
@pytest.mark.parametrize("kind", ["weights", "samples", "entities", "dead-letters"])
def test_tail_shows_each_topic_as_lines_json_and_parquet(sie: Callable[..., Done], tmp_path: Path, kind: str) -> None:
    lines = sie("tail", kind, "--until-idle", "0.5")
    assert lines.code == 0, lines.err
    assert len(lines.out.splitlines()) >= 2  # heading and a row
    assert "\x1b" not in lines.out
    assert sie("tail", kind, "--json", "--limit", "1").documents()
    path = tmp_path / "table.parquet"
    assert sie("tail", kind, "--parquet", str(path), "--until-idle", "0.5").code == 0
    assert len(pq.read_table(path)) >= 1


@pytest.mark.embedded
def test_tail_shows_of_a_dead_letter_why_whence_and_a_harmless_excerpt(sie: Callable[..., Done]) -> None:
    (letter,) = sie("tail", "dead-letters", "--json", "--until-idle", "0.5").documents()
    assert (letter["reason"], letter["source_partition"], letter["source_offset"]) == ("bad_json", 1, 9)
    assert letter["value_bytes"] == 180_000
    assert letter["value"].startswith("\\xff\\x1b")
    assert len(letter["value"]) < 1_000


@pytest.mark.embedded
@pytest.mark.parametrize(
    "arguments",
    [("--parquet", "x.parquet"), ("--parquet", "nowhere/x.parquet", "--limit", "1"), ("--json", "--parquet", "x")],
    ids=["without-an-end", "without-a-directory", "twice"],
)
def test_tail_refuses_what_cannot_work(sie: Callable[..., Done], arguments: tuple[str, ...]) -> None:
    done = sie("tail", "weights", *arguments)
    assert done.code == 2
    assert "Traceback" not in done.err


@pytest.fixture
def following(published: Settings) -> Iterator[subprocess.Popen[str]]:
    """``sie tail weights --json``, following."""
    command = [sys.executable, "-c", "from streams.cli import main; main()", "tail", "weights", "--json"]
    process = subprocess.Popen(
        [*command, "--from", "earliest"],
        cwd=ROOT,
        env=as_environment(published),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.embedded
def test_interrupting_tail_is_clean(following: subprocess.Popen[str]) -> None:
    assert following.stdout is not None
    assert json.loads(following.stdout.readline())["offset"] in (0, 5)  # it has begun
    following.send_signal(signal.SIGINT)
    _, errors = following.communicate(timeout=WAIT_S)
    assert following.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.embedded
def test_explain_tells_scores_shares_and_revisions(sie: Callable[..., Done]) -> None:
    (told,) = sie("explain", "event-0-0", "--json").documents()
    assert (told["label"], told["weight"], told["final"]) == (1, 2.0, True)
    assert told["factors"]["noise"]["share"] == pytest.approx(2 / 3)
    assert sum(factor["share"] for factor in told["factors"].values()) == pytest.approx(1)
    assert [(row["revision"], row["generation"]) for row in told["revisions"]] == [(0, 2), (1, 2)]


@pytest.mark.embedded
def test_explain_draws_each_parts_share(sie: Callable[..., Done]) -> None:
    done = sie("explain", "event-0-0", "--since", "1h")
    assert done.code == 0, done.err
    noise = next(line for line in done.out.splitlines() if line.startswith("noise"))
    assert "67%" in noise
    assert "│████████████" in noise


@pytest.mark.embedded
def test_explain_says_how_far_it_looked_for_an_unknown_event(sie: Callable[..., Done]) -> None:
    done = sie("explain", "nobody", "--since", "earliest")
    assert done.code == 2
    assert "5 rows in 3 messages" in done.err
    assert done.out == ""
