"""Both formats keep the promises of the port: rows once, marks with them, one sink, and readers that are not ours."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from sie_online.contracts import WEIGHTS
from sie_online.errors import DecisionError, UnreachableError, UsageError
from streams.lake.layout import lake_schema
from streams.lake.port import ALL, FINAL, About, LakeTable
from streams.lake.waiting import Limits, WaitingRows
from tests.support.buckets import LOST_ANSWER, Network, once
from tests.support.lakes import (
    FORMATS,
    about,
    arrow_table,
    by_duckdb,
    by_polars,
    expected,
    flush_of,
    message,
    numbers,
    place,
    replayed_topic,
    row,
    rows_of,
    sink,
)
from tests.support.rows import sample_batch

LATER_MS = 3_600_000


@pytest.fixture(params=FORMATS)
def fmt(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["file", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a lake, on a disk and in a bucket."""
    return (tmp_path / "lake").as_uri() if request.param == "file" else f"{request.getfixturevalue('bucket')}/lake"


@pytest.fixture
def tables(fmt: str, tmp_path: Path) -> Callable[[], LakeTable]:
    """Factory: each call is another process's view of one table."""
    return lambda: place(fmt, tmp_path.as_uri()).table("weights")


def test_duckdb_and_polars_read_each_row_once(fmt: str, lake: str) -> None:
    said = replayed_topic()
    assert sink(place(fmt, lake).table("weights"), said) == len(said)
    assert by_duckdb(fmt, f"{lake}/weights") == expected(said)
    assert by_polars(fmt, f"{lake}/weights") == expected(said)


@pytest.mark.parametrize("per_commit", [2, 100])
def test_rows_do_not_depend_on_when_is_committed(fmt: str, tmp_path: Path, per_commit: int) -> None:
    sink(place(fmt, tmp_path.as_uri()).table("weights"), replayed_topic(), per_commit=per_commit)
    assert rows_of(fmt, f"{tmp_path.as_uri()}/weights") == expected(replayed_topic())


def test_a_url_may_hold_a_blank(fmt: str, tmp_path: Path) -> None:
    url = (tmp_path / "a lake").as_uri()
    sink(place(fmt, url).table("weights"), replayed_topic())
    assert [path.name for path in tmp_path.iterdir()] == ["a lake"]
    assert rows_of(fmt, f"{url}/weights") == expected(replayed_topic())


def test_another_process_goes_on_where_the_table_ends(
    tables: Callable[[], LakeTable], fmt: str, tmp_path: Path
) -> None:
    said = replayed_topic()
    for n in range(1, len(said) + 1):  # a sink of its own for each message
        assert sink(tables(), said[:n]) == 1
    assert sink(tables(), said) == 0
    assert numbers(tables().look().marks) == {0: 5, 1: 2}
    assert rows_of(fmt, f"{tmp_path.as_uri()}/weights") == expected(said)


def test_marks_come_back_as_they_were_committed(tables: Callable[[], LakeTable]) -> None:
    flush = flush_of(replayed_topic(), {})
    first = tables()
    first.resume(about(ALL, "an-id"))
    first.commit(flush)
    held = tables().resume(about(FINAL, "another-id"))
    assert (held.topic_id, held.rows) == ("an-id", ALL)
    assert held.marks == flush.marks


def test_messages_without_a_row_move_the_marks(tables: Callable[[], LakeTable], fmt: str, tmp_path: Path) -> None:
    table = tables()
    table.resume(about())
    table.commit(flush_of([message(0, row(0, final=False))], {}, FINAL))
    assert numbers(tables().look().marks) == {0: 1}
    assert rows_of(fmt, f"{tmp_path.as_uri()}/weights") == []


def test_a_second_sink_is_found_out_and_nothing_is_written_twice(
    tables: Callable[[], LakeTable], fmt: str, tmp_path: Path
) -> None:
    said = [message(at, row(at)) for at in range(4)]
    one, other = tables(), tables()
    for table in (one, other):
        table.resume(about(ALL))
    if fmt == "parquet":  # the newer one has taken the table over
        one, other = other, one
    one.commit(flush_of(said[:2], {}))
    with pytest.raises(DecisionError, match="another sink has"):
        other.commit(flush_of(said[:3], {}))
    one.commit(flush_of(said[2:], flush_of(said[:2], {}).marks))  # type: ignore[arg-type]
    assert rows_of(fmt, f"{tmp_path.as_uri()}/weights") == expected(said)


def test_a_commit_whose_answer_got_lost_is_not_made_again(tmp_path: Path) -> None:
    """Of Delta: a Parquet table's manifest is one object, under a name that nobody else writes."""
    table = place("delta", tmp_path.as_uri()).table("weights")
    table.resume(about(ALL))
    flush = flush_of([message(0, row(0))], {})
    table.commit(flush)
    table.commit(flush)
    assert rows_of("delta", f"{tmp_path.as_uri()}/weights") == expected([message(0, row(0))])


@pytest.mark.parametrize("kind", ["PUT", "CREATE"])
def test_an_answer_that_gets_lost_costs_no_row(fmt: str, network: Network, bucket: str, kind: str) -> None:
    """The bucket did what it was asked; its client asks again, and is refused by what it made itself."""
    said = replayed_topic()
    table = place(fmt, bucket).table("weights")
    sink(table, said[:1])
    with network.befallen(once(kind, LOST_ANSWER, times=2)):
        sink(table, said)
    assert rows_of(fmt, f"{bucket}/weights") == expected(said)


def test_compaction_merges_the_small_files_of_quiet_hours_and_changes_no_row(
    tables: Callable[[], LakeTable], fmt: str, tmp_path: Path
) -> None:
    said = [message(at, row(at)) for at in range(10)]  # two hours
    table = tables()
    sink(table, said)
    url = f"{tmp_path.as_uri()}/weights"
    now_ms = int(time.time() * 1000)
    assert table.compact(now_ms - LATER_MS) == 0
    assert table.compact(now_ms + LATER_MS) == len(said)
    assert table.compact(now_ms + LATER_MS) == 0
    assert rows_of(fmt, url) == expected(said)
    assert sink(table, [*said, message(10, row(10))]) == 1
    assert rows_of(fmt, url) == expected([*said, message(10, row(10))])


def test_columns_that_a_newer_worker_adds_come_as_columns_of_nulls_before(
    tables: Callable[[], LakeTable], fmt: str, tmp_path: Path
) -> None:
    """And what repeats rows across that change is still recognised."""
    newer = message(1, row(1), row(2)).batch.append_column("f_weather", pa.array([0.5, 0.25]))
    said = [message(0, row(0)), message(1, row(1))._replace(batch=newer)]
    again = [message(2, row(1, generation=2), row(3, generation=2))]
    sink(tables(), [*said, *again])
    table = arrow_table(fmt, f"{tmp_path.as_uri()}/weights").sort_by("offset")
    assert table["offset"].to_pylist() == [0, 1, 2, 3]
    assert table["generation"].to_pylist() == [1, 2, 1, 2]
    assert table["f_weather"].to_pylist() == [None, None, 0.25, None]


def test_samples_have_a_table_too(fmt: str, tmp_path: Path) -> None:
    table = place(fmt, tmp_path.as_uri()).table("samples")
    table.resume(About("sie.samples.v1", "", FINAL, lake_schema("samples")))
    waiting = WaitingRows("samples", FINAL, {}, Limits())
    waiting.add(0, 0, sample_batch(0, 1), 0)
    flush = waiting.take()
    assert flush is not None
    table.commit(flush)
    found = arrow_table(fmt, f"{tmp_path.as_uri()}/samples")
    assert found["features"].to_pylist() == [[0, 1, 2]] * 2
    assert found["user_hash"].to_pylist() == [-1, -1]  # the 64 bits of 2**64 - 1


def test_a_table_that_is_not_there_is_not_made_for_compaction(tables: Callable[[], LakeTable], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no table of 'sie sink'"):
        tables().visit()
    assert not list(tmp_path.iterdir())


def test_a_place_that_fails_is_told_as_such(fmt: str, network: object) -> None:
    with pytest.raises(UnreachableError, match="bucket"):
        place(fmt, "s3://no-such-bucket-here/lake").table("weights").resume(about())


def test_somebody_elses_delta_table_is_left_alone(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(f"{tmp_path}/weights", pa.table({"a": [1]}))
    with pytest.raises(UsageError, match="has not made"):
        place("delta", tmp_path.as_uri()).table("weights").resume(about())


def test_the_lakes_columns_are_the_contracts_in_plain_types_and_two_more() -> None:
    assert lake_schema("weights").names == [*WEIGHTS.names, "day", "hour"]
    plain = {str(field.type) for stream in ("weights", "samples") for field in lake_schema(stream)}
    assert not {kind for kind in plain if "uint" in kind or "dictionary" in kind or "fixed" in kind}


def test_sql_alone_finds_the_files_of_a_parquet_table(tmp_path: Path) -> None:
    """As docs/lakes.md has it."""
    import duckdb

    sink(place("parquet", tmp_path.as_uri()).table("weights"), replayed_topic())
    duckdb.sql(
        f"SET VARIABLE files = (SELECT list('{tmp_path}/weights/' || file.path)"  # noqa: S608
        f" FROM (SELECT unnest(files) AS file FROM read_json('{tmp_path}/weights/_latest.json')))"
    )
    query = "SELECT count(*), count(DISTINCT day) FROM read_parquet(getvariable('files'), union_by_name = true)"
    assert duckdb.sql(query).fetchall() == [(len(expected(replayed_topic())), 2)]
