"""Every sink keeps the port's promises; one that does not is found out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online import content
from sie_online.content import Header
from sie_online.errors import SettingsError, SieError, UnreachableError
from sie_online.tables import newest_statements
from sie_online.unpacking import from_message
from streams.sinks import SAMPLES, SINKS, WEIGHTS, JsonLines, Rows, Sink, TableFile, TopicSink, new_sink
from streams.sinks.topic import Deliveries
from tests.contract.sink_contract import CHECKS, Place, Row
from tests.support.rows import weight_batch

MESSAGE_BYTES = 50_000


class MemorySink(Sink):
    """Rows in a list; ``sinks`` may name it by its dotted path."""

    durable: dict[str, list[Row]]

    def __init__(self, name: str) -> None:
        self.name = name
        self.durable = {}
        self._waiting: list[Rows] = []

    async def add(self, rows: Rows) -> None:
        self._waiting.append(rows)

    async def flush(self, partition: int | None = None) -> None:
        done = [rows for rows in self._waiting if partition in (None, rows.partition)]
        self._waiting = [rows for rows in self._waiting if rows not in done]
        await asyncio.sleep(0)
        for rows in done:
            self.durable.setdefault(rows.stream, []).extend(rows.batch.to_pylist())


class Brokers:
    """Confirm a message a moment after it was sent, unless they are away."""

    def __init__(self) -> None:
        self.confirmed: dict[str, list[Row]] = {WEIGHTS: [], SAMPLES: []}
        self.away = False

    def sink(self) -> TopicSink:
        return TopicSink(self._send, {WEIGHTS: WEIGHTS, SAMPLES: SAMPLES}, MESSAGE_BYTES, Deliveries())

    async def _send(
        self, deliveries: Deliveries, topic: str, value: bytes, *, partition: int | None, headers: Sequence[Header]
    ) -> asyncio.Future[Any]:
        assert headers == content.of_rows(topic, "1").headers
        assert len(value) <= MESSAGE_BYTES
        delivery: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        deliveries.add(delivery)
        asyncio.get_running_loop().call_soon(self._confirm, delivery, topic, value)
        return delivery

    def _confirm(self, delivery: asyncio.Future[Any], topic: str, value: bytes) -> None:
        if self.away:
            delivery.set_exception(UnreachableError("the brokers are away"))
        else:
            self.confirmed[topic] += from_message(value).to_pylist()
            delivery.set_result(None)


def _parquet(folder: Path) -> Place:
    root = folder / "rows"

    def read(stream: str) -> Sequence[Row]:
        files = sorted(root.glob(f"{stream}/*/*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def fail() -> None:
        root.mkdir(exist_ok=True)
        root.rename(folder / "away")
        root.write_text("a file where the folder was")

    return Place(lambda: new_sink(f"parquet={root.as_uri()}"), read, fail)


def _topic(_: Path) -> Place:
    brokers = Brokers()
    return Place(brokers.sink, lambda stream: brokers.confirmed[stream], lambda: setattr(brokers, "away", True))


def _table(folder: Path) -> Place:
    path, empty = folder / "weights.parquet", weight_batch().schema

    def read(_: str) -> Sequence[Row]:
        rows: list[Row] = pq.read_table(path).to_pylist()
        return rows

    return Place(
        lambda: TableFile(path, lambda batches: newest_statements(batches, empty)), read, goes_on=False, streams=False
    )


def _json_lines(folder: Path) -> Place:
    path = folder / "rows.jsonl"

    def read(_: str) -> Sequence[Row]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    return Place(lambda: JsonLines(path.open("a")), read, streams=False)


def _memory(_: Path) -> Place:
    made: list[MemorySink] = []

    def make() -> Sink:
        made.append(MemorySink(""))
        return made[-1]

    return Place(make, lambda stream: [row for sink in made for row in sink.durable.get(stream, [])])


PLACES: dict[str, Callable[[Path], Place]] = {
    "parquet": _parquet,
    "topic": _topic,
    "table": _table,
    "json_lines": _json_lines,
    "memory": _memory,
}


def test_every_registered_sink_is_held_to_the_contract() -> None:
    assert PLACES.keys() >= SINKS.keys(), "give the new sink a place here"


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a killed process closes nothing
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("kind", PLACES)
def test_a_sink_keeps_its_promise(kind: str, check: str, tmp_path: Path) -> None:
    asyncio.run(CHECKS[check](PLACES[kind](tmp_path)))  # type: ignore[arg-type]  # each is a coroutine


class Idle(MemorySink):
    """Flushes nothing."""

    async def flush(self, partition: int | None = None) -> None:
        pass


class Doubling(MemorySink):
    """Forgets what it has flushed."""

    async def flush(self, partition: int | None = None) -> None:
        for rows in self._waiting:
            if partition in (None, rows.partition):
                self.durable.setdefault(rows.stream, []).extend(rows.batch.to_pylist())


class Dropping(MemorySink):
    """Lets go of what comes while it flushes."""

    async def flush(self, partition: int | None = None) -> None:
        done = list(self._waiting)
        await asyncio.sleep(0)
        for rows in done:
            self.durable.setdefault(rows.stream, []).extend(rows.batch.to_pylist())
        self._waiting = []


class Mixing(MemorySink):
    """Knows one stream only."""

    async def add(self, rows: Rows) -> None:
        await super().add(rows._replace(stream=WEIGHTS))


class Poor(MemorySink):
    """Keeps the columns that its author needed."""

    async def add(self, rows: Rows) -> None:
        kept: pa.RecordBatch = rows.batch.select(["partition", "offset", "revision", "generation"])
        await super().add(rows._replace(batch=kept))


BROKEN = {
    Idle: "what_was_flushed_is_there_whole",
    Doubling: "flushing_again_changes_nothing",
    Dropping: "rows_that_come_during_a_flush_are_not_lost",
    Mixing: "streams_are_kept_apart",
    Poor: "what_was_flushed_is_there_whole",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_sink_that_breaks_a_promise_is_found_out(broken: type[MemorySink]) -> None:
    sink = broken("")
    place = Place(lambda: sink, lambda stream: sink.durable.get(stream, []))
    with pytest.raises((AssertionError, KeyError)):
        asyncio.run(CHECKS[BROKEN[broken]](place))  # type: ignore[arg-type]  # each is a coroutine


def test_anybodys_sink_is_named_by_its_dotted_path() -> None:
    sink = new_sink(f"{__name__}:MemorySink=here=there")
    assert sink.name == "here=there"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("orc=x", "sinks: 'orc' is unknown: there are parquet"),
        ("parquet", "sinks: parquet needs a place"),
        ("parquet=ftp://bucket", "of a kind that is not supported"),
        ("streams.sinks:TopicSink=x", "cannot be made of one text"),
        ("streams.sinks:Rows=x", "is no Sink"),
    ],
)
def test_a_sink_that_there_is_not_is_refused(entry: str, said: str) -> None:
    with pytest.raises(SieError) as refused:
        new_sink(entry)
    assert said in str(refused.value)
    assert isinstance(refused.value, SettingsError) or refused.value.exit_code == 2
