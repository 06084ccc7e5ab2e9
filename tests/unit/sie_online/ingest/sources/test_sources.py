"""Event files become the records a producer would have sent; what is wrong with a file is said with its place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sie_online.errors import UsageError
from sie_online.ingest.sources import CHUNK_ROWS, Reading, read_events
from sie_online.ingest.wire import WireRecord

T = 1_750_000_000_000
ROW: dict[str, Any] = {
    "event_id": "e1", "user_id": "u1", "item_id": "i1", "event_type": "view", "timestamp_ms": T, "price": 2.5,
}  # fmt: skip


def events(path: Path, preset: str = "", limit: int | None = None) -> list[dict[str, Any]]:
    return [json.loads(record.value or b"") for record in records(path, preset, limit)]


def records(path: Path, preset: str = "", limit: int | None = None) -> list[WireRecord]:
    chunks = read_events([path], Reading(preset=preset), limit=limit)
    return [record for chunk in chunks for record in chunk.records]


def table(rows: int) -> pa.Table:
    return pa.Table.from_pylist(
        [ROW | {"event_id": f"e{i}", "user_id": f"u{i % 7}", "timestamp_ms": T + i} for i in range(rows)]
    )


@pytest.fixture(params=["parquet", "csv", "csv.gz", "jsonl", "jsonl.gz"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One table of 10,000 events in every format."""
    path: Path = tmp_path / f"events.{request.param}"
    rows = table(10_000)
    if request.param == "parquet":
        pq.write_table(rows, path)
        return path
    if request.param.startswith("csv"):
        sink = pa.BufferOutputStream()
        pa.csv.write_csv(rows, sink)
        content = bytes(sink.getvalue())
    else:
        content = b"".join(json.dumps(row).encode() + b"\n" for row in rows.to_pylist())
    path.write_bytes(gzip.compress(content) if request.param.endswith(".gz") else content)
    return path


def test_every_format_gives_the_same_events_in_file_order(written: Path) -> None:
    assert events(written) == table(10_000).to_pylist()


def test_chunks_are_bounded_and_end_at_full_progress(written: Path) -> None:
    chunks = list(read_events([written]))
    assert max(len(chunk) for chunk in chunks) <= CHUNK_ROWS
    assert [chunk.progress for chunk in chunks] == sorted(chunk.progress for chunk in chunks)
    assert chunks[-1].progress == 1.0


def test_the_key_is_the_user_id_in_utf8(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([ROW | {"user_id": "ü-漢"}]), tmp_path / "e.parquet")
    assert records(tmp_path / "e.parquet")[0].key == "ü-漢".encode()


def test_limit_ends_after_that_many_rows(written: Path) -> None:
    assert len(events(written, limit=8_200)) == 8_200
    assert len(events(written, limit=20_000)) == 10_000


def test_integer_ids_become_text_unknown_columns_go_and_absent_values_are_left_out(tmp_path: Path) -> None:
    rows = [ROW | {"user_id": 17, "colour": "red", "price": None}, ROW | {"user_id": 18, "price": float("nan")}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "e.parquet")
    first, second = events(tmp_path / "e.parquet")
    assert first == {key: value for key, value in ROW.items() if key != "price"} | {"user_id": "17"}
    assert "price" not in second


def test_timestamps_may_be_a_timestamp_column(tmp_path: Path) -> None:
    column = pa.array([T * 1_000], pa.timestamp("us", tz="UTC"))
    rows = pa.Table.from_pylist([ROW])
    pq.write_table(rows.set_column(4, "timestamp_ms", column), tmp_path / "e.parquet")
    assert events(tmp_path / "e.parquet")[0]["timestamp_ms"] == T


@pytest.mark.parametrize("attributes", [{"app": "ios", "vip": "no"}, '{"app": "ios", "vip": "no"}'])
def test_attributes_may_be_a_struct_or_json_text(tmp_path: Path, attributes: Any) -> None:
    pq.write_table(pa.Table.from_pylist([ROW | {"attributes": attributes}]), tmp_path / "e.parquet")
    assert events(tmp_path / "e.parquet")[0]["attributes"] == {"app": "ios", "vip": "no"}


def test_the_raw_taobao_log_reads_with_its_preset(tmp_path: Path) -> None:
    rows = ["1,2268318,2520377,pv,1511544070", "1,3,2,buy,1511561733", "2,5,6,fav,1511561734", "2,5,6,cart,1511561735"]
    (tmp_path / "UserBehavior.csv").write_text("\n".join(rows))
    first, *others = events(tmp_path / "UserBehavior.csv", preset="taobao")
    assert first == {
        "event_id": "t0", "user_id": "1", "item_id": "2268318", "event_type": "view", "timestamp_ms": 1511544070000,
        "category_id": "2520377",
    }  # fmt: skip
    assert [event["event_type"] for event in others] == ["purchase", "favorite", "cart"]
    assert [event["event_id"] for event in others] == ["t1", "t2", "t3"]


def test_all_missing_columns_are_named(tmp_path: Path) -> None:
    rows = table(1).drop_columns(["user_id", "timestamp_ms"])
    pq.write_table(rows, tmp_path / "e.parquet")
    pa.csv.write_csv(rows, tmp_path / "e.csv")
    for name in ("e.parquet", "e.csv"):
        with pytest.raises(UsageError, match="user_id, timestamp_ms"):
            read_events([tmp_path / name])


def test_what_is_no_event_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "e.parquet").write_bytes(b"no parquet")
    (tmp_path / "e.txt").write_text("x")
    for name, preset, says in [
        ("e.parquet", "", "no readable Parquet"),
        ("e.txt", "", "lacks the column.* event_id"),
        ("missing.csv", "", "is no file"),
        ("e.txt", "criteo", "unknown: taobao"),
    ]:
        with pytest.raises(UsageError, match=says):
            read_events([tmp_path / name], Reading(preset=preset))
