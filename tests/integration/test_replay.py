"""Replay through a real client and the embedded broker: what lies in the topic afterwards is what was asked for."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from sie_online.errors import TopicError, UnreachableError
from sie_online.ingest.partitioner import partition_of
from sie_online.ingest.sources import Reading, read_events
from sie_online.ingest.wire import Chunk, maturity_ms
from sie_online.settings import Settings
from sie_online.simulator import Scenario, Simulation, simulate
from streams.cli.root import run
from streams.tools.heartbeat import keep_beating
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay
from tests.support.brokers import Broker, free_ports

pytestmark = pytest.mark.embedded
PARTITIONS = 3


@pytest.fixture
def on_broker(settings: Callable[..., Settings], broker: Broker) -> Settings:
    """Settings for a fresh, empty input topic of ``PARTITIONS`` partitions."""
    chosen = settings(broker=broker.address, labels={"window_s": 3_600, "lateness_s": 60})
    asyncio.run(_create(chosen))
    return chosen


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    return simulate(Scenario(events=3_000, seed=5))


async def _create(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.broker)
    await admin.start()
    await admin.create_topics([NewTopic(settings.topics.events, PARTITIONS, 1)])
    await admin.close()


async def _read(settings: Settings) -> dict[int, list[Any]]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.broker, auto_offset_reset="earliest")
    await consumer.start()
    places = [TopicPartition(settings.topics.events, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    ends = await consumer.end_offsets(places)
    records: dict[int, list[Any]] = {number: [] for number in range(PARTITIONS)}
    while any(len(records[place.partition]) < ends[place] for place in places):
        for place, part in (await consumer.getmany(timeout_ms=5_000)).items():
            records[place.partition] += part
    await consumer.stop()
    return records


def _is_heartbeat(record: Any) -> bool:
    return record.key is None and record.value is not None and b'"heartbeat"' in record.value


def test_every_record_arrives_in_order_where_kafka_would_place_it(on_broker: Settings, simulation: Simulation) -> None:
    done = asyncio.run(replay(on_broker, simulation.chunks(), ReplayRate(), flush=False))
    found = asyncio.run(_read(on_broker))
    for partition, records in found.items():
        expected = [
            (sent.key, sent.value)
            for sent in simulation.records()
            if (0 if sent.key is None else partition_of(sent.key, PARTITIONS)) == partition
        ]
        assert [(record.key, record.value) for record in records] == expected
    assert done.records == len(simulation) == sum(map(len, found.values()))


def test_kafka_timestamps_are_the_time_of_writing(on_broker: Settings, simulation: Simulation) -> None:
    before = int(time.time() * 1_000)
    asyncio.run(replay(on_broker, simulation.chunks(), ReplayRate()))
    after = int(time.time() * 1_000)
    stamps = [record.timestamp for records in asyncio.run(_read(on_broker)).values() for record in records]
    assert before <= min(stamps) <= max(stamps) <= after


def test_it_ends_with_one_heartbeat_in_every_partition_past_the_last_window(
    on_broker: Settings, simulation: Simulation
) -> None:
    done = asyncio.run(replay(on_broker, simulation.chunks(), ReplayRate()))
    assert done.heartbeats == PARTITIONS
    for records in asyncio.run(_read(on_broker)).values():
        assert [_is_heartbeat(record) for record in records] == [False] * (len(records) - 1) + [True]
        beat = json.loads(records[-1].value)
        assert beat == {"event_type": "heartbeat", "timestamp_ms": simulation.last_event_ms + 3_661_000}
        assert beat["timestamp_ms"] == maturity_ms(on_broker, simulation.last_event_ms)


def test_onto_a_topic_that_holds_others_events_no_heartbeat_is_sent_unless_asked_for(
    on_broker: Settings, simulation: Simulation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow.parquet as pq

    pq.write_table(simulation.table(), tmp_path / "events.parquet")
    where = ["--set", f"broker={on_broker.broker}", "--set", f"topics.events={on_broker.topics.events}"]
    told = []
    for more in ([], [], ["--flush"]):
        assert run([*where, "replay", str(tmp_path / "events.parquet"), "--limit", "200", "--json", *more]) == 0
        said = capsys.readouterr()
        told.append((json.loads(said.out)["heartbeats"], "--flush sends them" in said.err))
    assert told == [(PARTITIONS, False), (0, True), (PARTITIONS, False)]


def test_heartbeats_go_by_the_rows_that_are_no_dead_letters(on_broker: Settings, tmp_path: Path) -> None:
    rows = [f"{100 + n % 5},{n},7,pv,{1_511_600_000 + 60 * n}" for n in range(50)]
    rows[20] = "100,20,7,pv,2145916800"  # the year 2038
    (tmp_path / "log.csv").write_text("\n".join(rows))
    done = asyncio.run(
        replay(on_broker, read_events([tmp_path / "log.csv"], Reading(preset="taobao")), ReplayRate(speedup=1e5))
    )
    assert (done.records, done.flushed, done.source.disorder_ms) == (50, True, 0)
    beats = [json.loads(records[-1].value) for records in asyncio.run(_read(on_broker)).values()]
    assert [beat["timestamp_ms"] for beat in beats] == [maturity_ms(on_broker, 1_511_602_940_000)] * PARTITIONS


def test_a_chosen_rate_is_kept(on_broker: Settings, simulation: Simulation) -> None:
    first = next(simulation.chunks())
    part = Chunk(first.records[:800], 1.0)
    seen: list[tuple[int, float]] = []
    done = asyncio.run(
        replay(on_broker, [part], ReplayRate(events_per_s=1_000), on_progress=lambda *at: seen.append(at))
    )
    assert done.seconds >= 0.7
    assert len(seen) >= 10
    assert seen == sorted(seen)
    assert seen[-1] == (800, 1.0)


def test_a_missing_topic_and_a_missing_broker_are_told_apart(
    settings: Callable[..., Settings], broker: Broker, simulation: Simulation
) -> None:
    with pytest.raises(TopicError, match="sie topics create"):
        asyncio.run(replay(settings(broker=broker.address), simulation.chunks(), ReplayRate()))
    nobody = settings(broker=f"127.0.0.1:{free_ports()[0]}")
    with pytest.raises(UnreachableError, match=nobody.broker):
        asyncio.run(replay(nobody, simulation.chunks(), ReplayRate()))


def test_the_command_replays_a_file_and_tells_what_it_wrote(
    on_broker: Settings, simulation: Simulation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import pyarrow.parquet as pq

    pq.write_table(simulation.table(), tmp_path / "events.parquet")
    where = ["--set", f"broker={on_broker.broker}", "--set", f"topics.events={on_broker.topics.events}"]
    code = run([*where, "replay", str(tmp_path / "events.parquet"), "--limit", "500", "--no-flush", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (told["records"], told["heartbeats"], told["partitions"]) == (500, 0, PARTITIONS)
    assert sum(map(len, asyncio.run(_read(on_broker)).values())) == 500


def test_only_silent_partitions_get_heartbeats(on_broker: Settings) -> None:
    beats: list[tuple[int, int]] = []

    async def until_all_were_silent() -> None:
        enough = asyncio.Event()

        def note(partition: int, timestamp_ms: int) -> None:
            beats.append((partition, timestamp_ms))
            if {number for number, _ in beats} == set(range(PARTITIONS)):
                enough.set()

        await _first(keep_beating(on_broker, silent_s=0.4, behind_s=5, on_beat=note), enough.wait())

    asyncio.run(asyncio.wait_for(until_all_were_silent(), 30))
    now_ms = time.time() * 1_000
    assert all(now_ms - 40_000 < at <= now_ms - 5_000 for _, at in beats)
    found = asyncio.run(_read(on_broker))
    assert all(_is_heartbeat(record) for records in found.values() for record in records)


async def _first(*awaitables: Awaitable[Any]) -> None:
    tasks = [asyncio.ensure_future(each) for each in awaitables]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        task.result()
