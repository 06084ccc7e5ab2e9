"""Times as people write them: every unit, in words, with zones and without, and as types of Parquet."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sie_online.errors import UsageError
from tests.support.event_files import HEAD, T, csv, made, outcome, read, table, write

S = T // 1_000
MIDNIGHT = 1_749_945_600_000
TEXTS: list[tuple[str, str, int]] = [
    ("s", f"{S}", T),
    ("s", f"{S}.0", T),
    ("s", f"{S}.25", T + 250),
    ("s", "1.75e9", T),
    ("ms", f"{T}", T),
    ("ms", f"{T}.0", T),
    ("ms", f" {T} ", T),
    ("us", f"{T}999", T),
    ("ns", f"{T}999999", T),
    ("iso", "2025-06-15T15:06:40Z", T),
    ("iso", "2025-06-15T15:06:40.5Z", T + 500),
    ("iso", "2025-06-15T17:06:40+02:00", T),
    ("iso", "2025-06-15 17:06:40+0200", T),
    ("iso", "2025-06-15 15:06:40 UTC", T),
    ("iso", "2025-06-15 15:06:40.123456 UTC", T + 123),
    ("iso", "2025-06-15 15:06:40", T),
    ("iso", "2025-06-15T15:06:40.123456789", T + 123),
    ("iso", "20250615T150640Z", T),
    ("iso", "2025-06-15", MIDNIGHT),
]


@pytest.mark.parametrize(("unit", "text", "ms"), TEXTS)
@pytest.mark.parametrize("asks", ["its-unit", "auto"])
def test_a_time_in_text(tmp_path: Path, unit: str, text: str, ms: int, asks: str) -> None:
    found = read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{text}"), time_unit=asks if asks == "auto" else unit)
    assert found.events == [made(timestamp_ms=ms)]
    assert not found.faults


@pytest.mark.parametrize(
    ("zone", "text", "ms"),
    [
        ("Europe/Berlin", "2025-06-15 17:06:40", T),
        ("Asia/Shanghai", "2025-06-15T23:06:40", T),
        ("Asia/Shanghai", "2025-06-15", MIDNIGHT - 8 * 3_600_000),
        ("Europe/Berlin", "2025-06-15 15:06:40 UTC", T),
        ("Europe/Berlin", "2025-06-15T15:06:40Z", T),
    ],
)
def test_a_time_that_names_no_zone_is_of_the_one_that_is_said(tmp_path: Path, zone: str, text: str, ms: int) -> None:
    found = read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{text}"), time_unit="iso", time_zone=zone)
    assert found.events == [made(timestamp_ms=ms)]


@pytest.mark.parametrize(
    ("unit", "text"),
    [("s", f"{S}"), ("us", f"{T}000"), ("ns", f"{T}000000"), ("iso", "2025-06-15 15:06:40"), ("s", f"{S}.5")],
)
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_another_unit_than_ms_is_recognised_and_its_flag_named(tmp_path: Path, unit: str, text: str, kind: str) -> None:
    value: Any = text if unit == "iso" else json.loads(text)
    rows = [made(n, timestamp_ms=value) for n in range(1, 6)]
    content = {
        "csv": csv(*(f"e{n},u1,i1,view,{text}" for n in range(1, 6))),
        "jsonl": "\n".join(map(json.dumps, rows)),
        "parquet": pa.Table.from_pylist(rows),
    }[kind]
    path = write(tmp_path / f"e.{kind}", content)
    with pytest.raises(UsageError, match=rf"e\.{kind}.*timestamp_ms.*--time-unit {unit}\b"):
        outcome(path)
    assert len(outcome(path, time_unit=unit).events) == 5
    assert len(outcome(path, time_unit="auto").events) == 5


@pytest.mark.parametrize(
    "column",
    [
        pa.array([T], pa.int64()),
        pa.array([T], pa.uint64()),
        pa.array([T], pa.float64()),
        pa.array([str(T)]),
        pa.array([str(T)]).dictionary_encode(),
        pa.array([str(T)], pa.large_string()),
        *(pa.array([T]).cast(pa.timestamp("ms")).cast(pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")),
        pa.array([T], pa.timestamp("ms", tz="UTC")),
        pa.array([T * 1_000], pa.timestamp("us", tz="Europe/Berlin")),
    ],
    ids=lambda column: str(column.type),
)
def test_a_time_in_parquet(tmp_path: Path, column: pa.Array) -> None:
    assert read(tmp_path, "e.parquet", table(1, timestamp_ms=column)).events == [made(timestamp_ms=T)]


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()], ids=str)
def test_a_day_in_parquet_is_its_midnight(tmp_path: Path, kind: pa.DataType) -> None:
    days = pa.array([date(2025, 6, 15)], kind)
    assert read(tmp_path, "e.parquet", table(1, timestamp_ms=days)).events == [made(timestamp_ms=MIDNIGHT)]


@pytest.mark.parametrize(
    ("unit", "column", "ms"),
    [
        ("s", pa.array([S], pa.int32()), T),
        ("s", pa.array([S + 0.5]), T + 500),
        ("us", pa.array([T * 1_000 + 500_000]), T + 500),
        ("ns", pa.array([T * 1_000_000 + 500_000_000]), T + 500),
        ("iso", pa.array(["2025-06-15 15:06:40 UTC"]), T),
        ("auto", pa.array(["2025-06-15"]), MIDNIGHT),
        ("auto", pa.array([S]), T),
        ("s", pa.array([T], pa.timestamp("ms")), T),  # the type says it already
    ],
    ids=str,
)
def test_a_time_in_parquet_of_a_unit_that_is_said(tmp_path: Path, unit: str, column: pa.Array, ms: int) -> None:
    found = read(tmp_path, "e.parquet", table(1, timestamp_ms=column), time_unit=unit)
    assert found.events == [made(timestamp_ms=ms)]


def test_rows_whose_time_cannot_be_read_are_dead_letters_and_the_rest_lives(tmp_path: Path) -> None:
    rows = [f"e1,u1,i1,view,{T + 1}", "e2,u1,i1,view,soon", "e3,u1,i1,view,", "e4,u1,i1,view,NaN", "e5,u1,i1,view,inf"]
    rows += [f"e6,u1,i1,view,{T}000", "e7,u1,i1,view,0", f"e8,u1,i1,view,{T + 8}", f"e9,u1,i1,view,{T + 9}"]
    rows += [f"e{n},u1,i1,view,{T + n}" for n in range(10, 20)]
    found = read(tmp_path, "e.csv", csv(*rows))
    assert found.ids == ["e1", "e8", *(f"e{n}" for n in range(9, 20))]
    assert found.dead == [
        (3, "wrong_type"), (4, "missing_field"), (5, "missing_field"), (6, "wrong_type"), (7, "bad_timestamp"),
        (8, "bad_timestamp"),
    ]  # fmt: skip


def test_one_row_in_microseconds_is_a_dead_letter_in_every_format(tmp_path: Path) -> None:
    rows = [made(n) for n in range(1, 101)]
    rows[50]["timestamp_ms"] *= 1_000
    text = csv(*(",".join(map(str, row.values())) for row in rows), head=HEAD)
    lines = "\n".join(map(json.dumps, rows))
    for name, content, place in [
        ("e.csv", text, 52),
        ("e.jsonl", lines, 51),
        ("e.parquet", pa.Table.from_pylist(rows), 51),
    ]:
        found = read(tmp_path, name, content)
        assert len(found.events) == 99
        assert found.dead == [(place, "bad_timestamp")]


def test_a_null_or_nan_time_in_parquet_is_missing(tmp_path: Path) -> None:
    for column in (
        pa.array([T, None, T], pa.timestamp("ms")),
        pa.array([T, float("nan"), T]),
        pa.array([T, None, T]),
        pa.array([T, None, T], pa.timestamp("ms")).cast(pa.timestamp("ns")),
    ):
        found = read(tmp_path, "e.parquet", table(3, timestamp_ms=column))
        assert found.dead == [(2, "missing_field")]
        assert len(found.events) == 2


def test_the_year_1997_is_a_time_of_events(tmp_path: Path) -> None:
    found = read(tmp_path, "e.csv", csv("e1,u1,i1,view,881250949"), time_unit="s")
    assert found.events == [made(timestamp_ms=881_250_949_000)]


def test_times_in_json_may_be_of_another_unit_while_heartbeats_are_not(tmp_path: Path) -> None:
    rows = [made(1, timestamp_ms=S), {"event_type": "heartbeat", "timestamp_ms": T + 5}, made(2, timestamp_ms=S + 1)]
    found = read(tmp_path, "e.jsonl", "\n".join(map(json.dumps, rows)), time_unit="s")
    assert [event["timestamp_ms"] for event in found.events] == [T, T + 5, T + 1_000]


def test_what_tells_no_unit_asks_for_one(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", csv("e1,u1,i1,view,17", "e2,u1,i1,view,18"))
    with pytest.raises(UsageError, match="--time-unit"):
        outcome(path, time_unit="auto")


@pytest.mark.parametrize(
    ("says", "sentence"),
    [({"time_unit": "h"}, "time unit 'h'.*s, ms, us, ns, iso, auto"), ({"time_zone": "Mars/Base"}, "Mars/Base")],
)
def test_a_unit_or_zone_that_there_is_not_is_refused(tmp_path: Path, says: dict[str, str], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{T}"), **says)
