"""What evaluation cannot read goes into a table of its own, row by row, and the books still balance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sie_online.contracts import DEAD_LETTER_VALUE_BYTES
from sie_online.errors import UsageError
from sie_online.evaluation import dead_letters
from sie_online.evaluation.report import EvaluationReport
from sie_online.evaluation.run import evaluate
from sie_online.ingest.partitioner import partition_of
from sie_online.ingest.wire import Chunk, Origin, WireRecord
from sie_online.settings import Settings
from tests.support.events import ARRIVAL_MS, event

PARTITIONS = 3


def wire(one: dict[str, Any]) -> WireRecord:
    return WireRecord(str(one["user_id"]).encode(), json.dumps(one).encode())


def good(n: int) -> WireRecord:
    return wire(event(n, at_s=60.0 * n, user=f"u{n % 7}"))


def lines(file: str, rows: list[WireRecord], **more: Any) -> Chunk:
    return Chunk(rows, 0.5, Origin(file, np.arange(len(rows)) + 1, **more))


def weighed(out: Path, chunks: Iterable[Chunk], settings: Settings | None = None, **more: Any) -> EvaluationReport:
    return evaluate(chunks, settings or Settings(), out, partitions=PARTITIONS, started_ms=ARRIVAL_MS, **more)


def told(out: Path) -> list[dict[str, Any]]:
    return pq.read_table(out / "dead_letters.parquet").to_pylist()


BROKEN = b'{"event_id": "e4", '
TEXT = "timestamp_ms is 'yesterday', which is no number"


def source() -> list[Chunk]:
    unread = wire(event(3) | {"timestamp_ms": "yesterday"})
    return [
        lines("a.csv", [good(1), unread, good(2)], faults={1: TEXT}),
        lines("b.jsonl", [WireRecord(b"u4", BROKEN), WireRecord(None, None)]),
        lines("c.parquet", [good(5), wire(event(6, "vew"))], row_groups=np.array([0, 1])),
        Chunk([WireRecord(b"other", good(7).value), good(8)], 1.0),
    ]


def test_every_dead_letter_is_a_row_in_the_sources_order_with_its_place(tmp_path: Path) -> None:
    report = weighed(tmp_path, source())
    rows = told(tmp_path)
    assert [(row["file"], row["line"], row["row_group"], row["reason"]) for row in rows] == [
        ("a.csv", 2, None, "wrong_type"),
        ("b.jsonl", 1, None, "bad_json"),
        ("b.jsonl", 2, None, "null_value"),
        ("c.parquet", 2, 1, "wrong_type"),
        (None, None, None, "key_mismatch"),
    ]
    assert (rows[0]["detail"], rows[1]["key"], rows[1]["value"]) == (TEXT, b"u4", BROKEN)
    assert (rows[2]["key"], rows[2]["value"]) == (None, None)
    assert report.dead_letters == len(rows) == sum(report.source.dead_letters_by_reason.values())
    assert report.events_in == report.events_weighted + report.heartbeats + report.dead_letters == 9 + PARTITIONS


def test_the_table_is_there_with_its_columns_when_it_is_empty(tmp_path: Path) -> None:
    report = weighed(tmp_path, [lines("a.csv", [good(1)])])
    table = pq.read_table(tmp_path / "dead_letters.parquet")
    assert (len(table), report.dead_letters) == (0, 0)
    assert table.schema.equals(dead_letters.SCHEMA)


def test_the_same_table_comes_in_small_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weighed(tmp_path / "whole", source())
    monkeypatch.setattr(dead_letters, "BUFFER_ROWS", 2)
    weighed(tmp_path / "pieces", source())
    assert told(tmp_path / "pieces") == told(tmp_path / "whole")
    assert pq.ParquetFile(tmp_path / "pieces" / "dead_letters.parquet").num_row_groups == 3


def test_a_value_is_cut_as_on_the_topic(tmp_path: Path) -> None:
    weighed(tmp_path, [lines("a.jsonl", [good(1), WireRecord(b"u", b"x" * (DEAD_LETTER_VALUE_BYTES + 1))])])
    (row,) = told(tmp_path)
    assert (row["reason"], len(row["value"])) == ("too_large", DEAD_LETTER_VALUE_BYTES)


def test_under_a_key_no_id_stands_in_the_table(settings: Callable[..., Settings], tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    private = settings(privacy={"hmac_key_file": tmp_path / "key"})
    weighed(tmp_path / "out", source(), private)
    rows = told(tmp_path / "out")
    assert len(rows) == 5
    assert {row["value"] for row in rows} == {None}
    assert {len(row["key"]) for row in rows if row["key"] is not None} == {64}
    assert all(row["detail"] for row in rows)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [("cut", "it was cut"), ("strict", r"a\.csv, line 2: wrong_type: timestamp_ms"), ("dead", "none of the 2 records")],
)
def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, wrong: str, sentence: str) -> None:
    def cut() -> Iterator[Chunk]:
        yield from source()
        raise UsageError("it was cut")

    chunks = {"cut": cut(), "strict": source(), "dead": source()[1:2]}[wrong]
    with pytest.raises(UsageError, match=sentence):
        weighed(tmp_path, chunks, strict=wrong == "strict")
    assert list(tmp_path.iterdir()) == []


def test_an_erasure_in_a_file_reaches_its_users_shard(tmp_path: Path) -> None:
    """What is still to be said of their open views is said without a name."""
    forget = WireRecord(b"u3", json.dumps({"event_type": "erase", "user_id": "u3"}).encode())
    report = weighed(tmp_path, [lines("a.jsonl", [*(good(n) for n in range(21)), forget])])
    rows = pq.read_table(tmp_path / "weights.parquet")
    final = set(rows.filter(pc.field("final"))["user_id"].to_pylist())
    assert final == {"", *(f"u{n}" for n in (0, 1, 2, 4, 5, 6))}
    assert (report.erasures, report.events_weighted, report.events_in) == (1, 21, 22 + PARTITIONS)
    assert partition_of(b"u3", PARTITIONS) != 0, "where a record without a key goes"
