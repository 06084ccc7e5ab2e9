"""A user's rows and the files that held them go, whatever dies when, and beside a sink that goes on."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.client.lakes import read_manifest
from sie_online.errors import UsageError
from streams.lake.layout import lake_schema
from streams.lake.parquet import ParquetTable
from streams.lake.port import ALL, FINAL, About, LakeTable
from streams.lake.users import Found
from streams.lake.waiting import Limits, WaitingRows
from streams.store import LocalStore, Part
from tests.support.buckets import Asked, Network
from tests.support.checkpoints import Killed, MortalStore
from tests.support.lake_child import LATER_MS, SinkProcesses, sink_processes
from tests.support.lakes import (
    FORMATS,
    about,
    arrow_table,
    by_duckdb,
    by_polars,
    expected,
    flush_of,
    message,
    place,
    replayed_topic,
    row,
    rows_of,
    short_topic,
    sink,
    subject,
    users,
)
from tests.support.mortal import KilledAt
from tests.support.rows import sample_batch

WHO = "u0"
ODD_IDS = ["o'brien", 'a "quoted" one', "back\\slash", "new\nline", "用户", "' OR 1=1 --"]


@pytest.fixture(params=FORMATS)
def fmt(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["file", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a lake, on a disk and in a bucket."""
    return (tmp_path / "lake").as_uri() if request.param == "file" else f"{request.getfixturevalue('bucket')}/lake"


@pytest.fixture(scope="module")
def processes() -> Iterator[SinkProcesses]:
    with sink_processes() as started:
        yield started


def _forget(table: LakeTable, *user_ids: str) -> Found:
    table.visit()
    return table.forget(users(*(user_ids or (WHO,))))


def _files_that_name(folder: Path, user_id: str) -> list[str]:
    """Of all there is in ``folder``: rows, logs, manifests, and what a crash has left."""
    named = []
    for path in filter(Path.is_file, folder.rglob("*")):
        if path.suffix == ".parquet" and path.parent.name.startswith("hour="):
            names = user_id in pq.read_table(path, partitioning=None)["user_id"].to_pylist()
        else:
            names = f'"{user_id}"'.encode() in path.read_bytes() or f"'{user_id}'".encode() in path.read_bytes()
        named += [path.name] if names else []
    return named


def test_duckdb_and_polars_read_every_row_but_theirs(fmt: str, lake: str) -> None:
    said = replayed_topic()
    table = place(fmt, lake).table("weights")
    sink(table, said)
    there = [each for each in expected(said) if each not in expected(said, without=WHO)]
    assert table.find(users(WHO)).rows == len(there)
    assert _forget(place(fmt, lake).table("weights")).rows == len(there)
    assert by_duckdb(fmt, f"{lake}/weights") == by_polars(fmt, f"{lake}/weights") == expected(said, without=WHO)
    assert table.find(users(WHO)) == Found(0, 0)
    assert _forget(table) == Found(0, 0)


def test_no_file_names_them_any_more_not_even_one_that_left_the_table_before(fmt: str, tmp_path: Path) -> None:
    table = place(fmt, tmp_path.as_uri()).table("weights")
    sink(table, replayed_topic())
    table.compact(int(time.time() * 1000) + LATER_MS)
    assert len(_files_that_name(tmp_path, WHO)) == table.find(users(WHO)).files > 2, "those that were merged, too"
    _forget(place(fmt, tmp_path.as_uri()).table("weights"))
    assert _files_that_name(tmp_path, WHO) == []
    assert _files_that_name(tmp_path, "u1")


@pytest.mark.parametrize("user_id", ODD_IDS)
def test_an_id_may_hold_anything(fmt: str, tmp_path: Path, user_id: str) -> None:
    said = [message(0, row(0, user_id=user_id), row(1), row(2, user_id=f"{user_id}x"))]
    sink(place(fmt, tmp_path.as_uri()).table("weights"), said)
    assert _forget(place(fmt, tmp_path.as_uri()).table("weights"), user_id, "nobody").rows == 1
    assert rows_of(fmt, f"{tmp_path.as_uri()}/weights") == expected(said, without=user_id)


def test_every_revision_that_names_them_goes_and_one_that_names_nobody_stays(fmt: str, tmp_path: Path) -> None:
    """The last statement about an erased view has no user."""
    said = [message(0, row(0), row(0, revision=1)), message(1, row(0, revision=2, user_id=""))]
    sink(place(fmt, tmp_path.as_uri()).table("weights"), said)
    assert _forget(place(fmt, tmp_path.as_uri()).table("weights")).rows == 2
    assert rows_of(fmt, f"{tmp_path.as_uri()}/weights") == expected(said, without=WHO)


def test_samples_are_known_by_the_hash_of_the_id(fmt: str, tmp_path: Path) -> None:
    table = place(fmt, tmp_path.as_uri()).table("samples")
    table.resume(About("sie.samples.v1", "", FINAL, lake_schema("samples")))
    hashes = [int.from_bytes(subject(who).key, "little") for who in ("u0", "u1", "u0")]
    batch = sample_batch(0, 1, 2)
    at = batch.schema.names.index("user_hash")
    waiting = WaitingRows("samples", FINAL, {}, Limits())
    waiting.add(0, 0, batch.set_column(at, batch.schema.field(at), pa.array(hashes, pa.uint64())), 0)
    flush = waiting.take()
    assert flush is not None
    table.commit(flush)
    table.visit()
    assert table.forget(users(WHO, stream="samples")).rows == 2
    assert arrow_table(fmt, f"{tmp_path.as_uri()}/samples")["offset"].to_pylist() == [1]


def test_a_sink_goes_on_as_if_nobody_had_come(fmt: str, tmp_path: Path) -> None:
    said, url = replayed_topic(), f"{tmp_path.as_uri()}/weights"
    table = place(fmt, tmp_path.as_uri()).table("weights")
    table.resume(about(ALL))
    marks: dict[int, Any] = {}
    for at, each in enumerate(said):
        flush = flush_of([each], marks)
        table.commit(flush)
        marks |= flush.marks
        visitor = place(fmt, tmp_path.as_uri()).table("weights")
        visitor.visit()
        visitor.forget(users(WHO)) if at % 2 else visitor.compact(int(time.time() * 1000) + LATER_MS)
    _forget(place(fmt, tmp_path.as_uri()).table("weights"))
    assert rows_of(fmt, url) == expected(said, without=WHO)
    assert table.look().marks == marks


def test_where_there_is_no_table_nothing_is_made(fmt: str, tmp_path: Path) -> None:
    table = place(fmt, tmp_path.as_uri()).table("weights")
    for act in (table.visit, table.look, lambda: table.find(users(WHO))):
        with pytest.raises(UsageError, match="there is no table"):
            act()
    assert not list(tmp_path.iterdir())


class Interrupted(LocalStore):
    """A disk: before the ``left``-th thing that its process does to it, somebody else does all that ``other`` does."""

    left = 0
    other: Callable[[], object]

    def _tick(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.other()

    def create(self, name: str, data: bytes) -> bool:
        self._tick()
        return super().create(name, data)

    def put(self, name: str, parts: Sequence[Part]) -> None:
        self._tick()
        super().put(name, parts)

    def read(self, name: str, most: int = -1, start: int = 0) -> bytes:
        self._tick()
        return super().read(name, most, start)

    def list(self, folder: str) -> Sequence[str]:
        self._tick()
        return super().list(folder)

    def delete(self, name: str) -> None:
        self._tick()
        super().delete(name)


Act = Callable[[ParquetTable], object]


def _visit(act: Act) -> Act:
    return lambda table: (table.visit(), act(table))


BEFORE = replayed_topic()[:3]
MORE = [message(2, row(3, generation=2, user_id="u1"), row(13, generation=2))]  # repeats a row, and adds one
ACTS: dict[str, Act] = {
    "sink": lambda table: table.commit(flush_of(MORE, table.look().marks)),
    "forget": _visit(lambda table: table.forget(users(WHO))),
    "compact": _visit(lambda table: table.compact(int(time.time() * 1000) + LATER_MS)),
}


@pytest.mark.parametrize(
    ("first", "other"), [pair for pair in itertools.product(ACTS, repeat=2) if pair not in (("sink", "sink"),)]
)
def test_whoever_comes_between_two_steps_of_another_on_a_parquet_table(tmp_path: Path, first: str, other: str) -> None:
    """Between any two: each does what it came for, no row is lost or there twice, and no file is left over."""
    said = [*BEFORE, *(MORE if "sink" in (first, other) else ())]
    for n in itertools.count(1):
        url = (tmp_path / str(n)).as_uri()
        store = Interrupted(tmp_path / str(n))
        mine, others = ParquetTable(url, store=store), ParquetTable(url)
        sink(others if other == "sink" else mine, BEFORE)
        store.left, store.other = n, partial(ACTS[other], others)
        ACTS[first](mine)
        if store.left > 0:
            break
        if "forget" in (first, other):
            ACTS["forget"](ParquetTable(url))
            assert rows_of("parquet", url) == expected(said, without=WHO), n
            assert _files_that_name(tmp_path / str(n), WHO) == []
        else:
            assert rows_of("parquet", url) == expected(said), n
        manifest = read_manifest(url)
        known = {each["path"] for each in [*manifest["files"], *manifest["retired"]]}
        assert {str(path.relative_to(tmp_path / str(n))) for path in tmp_path.glob(f"{n}/**/*.parquet")} == known, n
    assert n > 10


def test_death_at_any_point_of_forgetting_on_a_disk(tmp_path: Path) -> None:
    """Of the Parquet table, at every file that is opened, half written, synced, renamed or deleted."""
    survived, dies_at, backend = set(), 0, MortalStore(tmp_path, -1)
    while backend.left <= 0:
        dies_at += 1
        root = tmp_path / str(dies_at)
        sink(ParquetTable(root.as_uri()), short_topic())
        backend = MortalStore(root, dies_at)
        try:
            _forget(ParquetTable(root.as_uri(), store=backend))
        except Killed as death:
            survived.add(str(death))
        said = [*short_topic(), message(3, row(7))]
        if dies_at % 2:  # its sink goes on first
            sink(ParquetTable(root.as_uri()), said)
        _forget(ParquetTable(root.as_uri()))
        sink(ParquetTable(root.as_uri()), said)
        assert rows_of("parquet", root.as_uri()) == expected(said, without=WHO)
        assert _files_that_name(root, WHO) == []
        assert {str(path.relative_to(root)) for path in root.rglob("*.parquet*")} == {
            each["path"] for each in read_manifest(root.as_uri())["files"]
        }
    assert {"half", "renamed .json", "renamed .parquet", "deleted .parquet", "deleted .json"} <= survived


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_kill_9_of_forgetting_before_each_change_in_a_bucket(
    format_name: str, processes: SinkProcesses, network: Network, bucket: str
) -> None:
    deaths: list[Asked] = []
    for n in range(1, 100):
        url = f"{bucket}/{n}"
        sink(place(format_name, url).table("weights"), short_topic())
        with network.befallen(death := KilledAt(n)):
            death.pid.put(processes.start_forgetting(format_name, url, network.environment()))
            code = processes.wait()
        assert code in (0, -signal.SIGKILL)
        said = [*short_topic(), message(3, row(7))]
        sink(place(format_name, url).table("weights"), said)  # goes on beside it
        _forget(place(format_name, url).table("weights"))
        assert rows_of(format_name, f"{url}/weights") == expected(said, without=WHO)
        assert place(format_name, url).table("weights").find(users(WHO)) == Found(0, 0)
        if not code:
            break
        assert death.last
        deaths.append(death.last)
    steps = [f"{asked.kind} {asked.path.partition('weights/')[2].partition('/')[0]}" for asked in deaths]
    assert any(step.startswith("DELETE day%3D") or step.startswith("POST") for step in steps), steps
    assert any(step.startswith("PUT day%3D") for step in steps), steps
