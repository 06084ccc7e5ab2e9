"""Values as the columns of files hold them: ids of every type, what stands for nothing, and attributes."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest

from sie_online.errors import UsageError
from tests.support.event_files import HEAD, T, csv, made, outcome, read, table, without, write

UUIDS = [UUID(int=n) for n in (1, 2, 3)]
RAW = pa.array([one.bytes for one in UUIDS], pa.binary(16))
NULLS = ["", "NaN", "nan", "null", "NULL", "None", r"\N"]
ABSENT = "not there"


def ids(*values: Any, of: str = "user_id") -> list[dict[str, Any]]:
    """The events whose ids are these; without one where it is None."""
    events = [made(n, **{of: value}) for n, value in enumerate(values, 1)]
    return [without(event, of) if event[of] is None else event for event in events]


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array([1, 2, 3], pa.int8()), ["1", "2", "3"]),
        (pa.array([1, -2, 3], pa.int32()), ["1", "-2", "3"]),
        (pa.array([1, 2, (1 << 63) - 1], pa.int64()), ["1", "2", "9223372036854775807"]),
        (pa.array([1, 2, (1 << 63) + 5], pa.uint64()), ["1", "2", "9223372036854775813"]),
        (pa.array([7.0, -8.0, 2.0**53]), ["7", "-8", "9007199254740992"]),
        (pa.array([7.0, 8.0, 2.0**24], pa.float32()), ["7", "8", "16777216"]),
        (pa.array([Decimal("12345678901234567890")] * 3, pa.decimal128(38, 0)), ["12345678901234567890"] * 3),
        (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        (pa.array([5, 6, 5]).dictionary_encode(), ["5", "6", "5"]),
        (RAW, [str(one) for one in UUIDS]),
        (pa.ExtensionArray.from_storage(pa.uuid(), RAW), [str(one) for one in UUIDS]),
        (pa.array(["ü", "漢", "c"], pa.large_string()), ["ü", "漢", "c"]),
        (pa.array(["ü", "漢", "c"], pa.string_view()), ["ü", "漢", "c"]),
        (pa.array(["ü".encode(), b"b", b"c"], pa.binary()), ["ü", "b", "c"]),
        (pa.array([b"abc", b"abd", b"abe"], pa.binary(3)), ["abc", "abd", "abe"]),
    ],
    ids=lambda one: str(one.type) if isinstance(one, pa.Array) else "",
)
@pytest.mark.parametrize("name", ["user_id", "session_id"])
def test_an_id_in_parquet_is_its_text(tmp_path: Path, name: str, column: pa.Array, texts: list[str]) -> None:
    assert read(tmp_path, "e.parquet", table(**{name: column})).events == ids(*texts, of=name)


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, None, 3.0]),
        pa.array([1.0, float("nan"), 3.0]),
        pa.array([1, None, 3]),
        pa.array(["1", None, "3"]),
        pa.array(["1", None, "3"]).dictionary_encode(),
        pa.array([Decimal(1), None, Decimal(3)], pa.decimal128(9, 0)),
    ],
    ids=str,
)
def test_an_id_that_is_null_is_absent_and_missing_where_it_is_required(tmp_path: Path, column: pa.Array) -> None:
    found = read(tmp_path, "optional.parquet", table(category_id=column))
    assert found.events == ids("1", None, "3", of="category_id")
    found = read(tmp_path, "required.parquet", table(item_id=column))
    assert found.dead == [(2, "missing_field")]
    assert [event["item_id"] for event in found.events] == ["1", "3"]


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (
            pa.float64(),
            2.0**53 + 2,
            r"e\.parquet, row 2: item_id is 9007199254740994, .* 9,007,199,254,740,992 .*double",
        ),
        (pa.float64(), -(2.0**60), r"row 2: item_id is -1.15"),
        (pa.float32(), 2.0**24 + 2, r"row 2: item_id is 16777218, .* 16,777,216 .*float"),
    ],
    ids=str,
)
def test_a_float_that_may_have_been_another_integer_refuses_the_file(
    tmp_path: Path, kind: pa.DataType, value: float, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        read(tmp_path, "e.parquet", table(item_id=pa.array([1.0, value, 3.0], kind)))


def test_the_row_of_a_rounded_id_counts_all_row_groups(tmp_path: Path) -> None:
    big = pa.array([1.0] * 9_000 + [2.0**54])
    with pytest.raises(UsageError, match="row 9001: user_id"):
        read(tmp_path, "e.parquet", table(9_001, user_id=big))


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (pa.array(["a", "b" * 3_000, "c"]), "bad_id"),
        (pa.array([1.0, 1.5, 3.0]), "wrong_type"),
        (pa.array([1.0, float("inf"), 3.0]), "wrong_type"),
        (pa.array([b"a", b"\xff", b"c"]), "bad_utf8"),
        (pa.array(["a", "", "c"]), "missing_field"),
    ],
    ids=["long", "fraction", "infinity", "no-text", "empty"],
)
def test_an_id_that_is_none_costs_its_row(tmp_path: Path, column: pa.Array, reason: str) -> None:
    found = read(tmp_path, "e.parquet", table(user_id=column))
    assert found.dead == [(2, reason)]
    assert found.ids == ["e1", "e3"]


@pytest.mark.parametrize("word", NULLS, ids=repr)
@pytest.mark.parametrize("name", ["category_id", "session_id", "price", "position", "rating", "dwell_ms", "attributes"])
def test_what_stands_for_nothing_in_csv_was_not_logged(tmp_path: Path, word: str, name: str) -> None:
    found = read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{T + 1},{word}", head=f"{HEAD},{name}"))
    assert found.events == [made()]


@pytest.mark.parametrize("word", NULLS, ids=repr)
@pytest.mark.parametrize("name", ["event_id", "user_id", "item_id"])
def test_an_id_of_csv_that_stands_for_nothing_is_missing(tmp_path: Path, word: str, name: str) -> None:
    row = made(2) | {name: word}
    found = read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{T + 1}", ",".join(map(str, row.values()))))
    assert found.events == [made()]
    assert found.dead == [(3, "missing_field")]


def test_a_query_may_be_any_word(tmp_path: Path) -> None:
    words = ["null", "NaN", "None", "NULL", "nan"]
    found = read(tmp_path, "e.csv", csv(*(f"e1,u1,i1,view,{T + 1},{word}" for word in words), head=f"{HEAD},query"))
    assert found.events == [made(query=word) for word in words]


def test_ids_of_csv_are_taken_as_they_stand(tmp_path: Path) -> None:
    found = read(tmp_path, "e.csv", csv(f"007,7.0,1e5,view,{T + 1}"))
    assert found.events == [made(event_id="007", user_id="7.0", item_id="1e5")]


@pytest.mark.parametrize("nothing", [None, float("nan")], ids=str)
def test_numbers_of_parquet_that_are_nothing_were_not_logged(tmp_path: Path, nothing: float | None) -> None:
    column = pa.array([1.5, nothing, 2.5])
    for name in ("price", "propensity", "dwell_ms", "rating"):
        values = pa.array([0.5, nothing, 1.0]) if name == "propensity" else column
        found = read(tmp_path, "e.parquet", table(**{name: values}))
        assert not found.dead
        assert [name in event for event in found.events] == [True, False, True]


@pytest.mark.parametrize("content", ["csv", "parquet"])
def test_an_infinite_number_costs_its_row(tmp_path: Path, content: str) -> None:
    made_of = {
        "csv": csv(
            *(f"e{n},u1,i1,view,{T + n},{price}" for n, price in enumerate((1, "inf", 3), 1)), head=HEAD + ",price"
        ),
        "parquet": table(price=pa.array([1.0, float("inf"), 3.0])),
    }
    found = read(tmp_path, f"e.{content}", made_of[content])
    assert found.dead == [(3 if content == "csv" else 2, "wrong_type")]
    assert found.ids == ["e1", "e3"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pa.array([1.0, 2.0]), 2.0),
        (pa.array([1, 2], pa.int16()), 2),
        (pa.array([Decimal("1.50"), Decimal("2.25")], pa.decimal128(9, 2)), 2.25),
        (pa.array(["1.5", "2.5"]), 2.5),
    ],
    ids=lambda one: str(one.type) if isinstance(one, pa.Array) else "",
)
def test_a_number_in_parquet(tmp_path: Path, column: pa.Array, value: float) -> None:
    assert read(tmp_path, "e.parquet", table(2, price=column)).events[1] == made(2, price=value)


def test_a_position_that_went_through_floats_is_an_integer_again(tmp_path: Path) -> None:
    found = read(tmp_path, "e.parquet", table(3, position=pa.array([1.0, None, 3.0])))
    assert found.events == [made(1, position=1), made(2), made(3, position=3)]
    assert (
        read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{T + 1},3.0", head=HEAD + ",position")).events[0]["position"] == 3
    )


MAP = pa.map_(pa.string(), pa.string())
NESTED = pa.struct([("app", pa.string()), ("at", pa.struct([("x", pa.int64())]))])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pa.array([{"app": "ios", "vip": True, "n": 1.5}]), {"app": "ios", "vip": True, "n": 1.5}),
        (
            pa.array([{"app": "ios", "vip": None}], pa.struct([("app", pa.string()), ("vip", pa.string())])),
            {"app": "ios"},
        ),
        (pa.array([{"n": float("nan"), "app": "ios"}]), {"app": "ios"}),
        (pa.array([None], pa.struct([("app", pa.string())])), ABSENT),
        (pa.array([[("app", "ios"), ("vip", None)]], MAP), {"app": "ios"}),
        (pa.array([[]], MAP), {}),
        (pa.array([None], MAP), ABSENT),
        (pa.array(['{"app": "ios", "vip": null}']), {"app": "ios", "vip": None}),
        (pa.array([""]), ABSENT),
        (pa.array([{"app": "ios", "at": {"x": 1}}], NESTED), {"app": "ios", "at": {"x": 1}}),
    ],
    ids=["struct", "null", "nan", "no-struct", "map", "empty-map", "no-map", "json", "empty-text", "nested"],
)
def test_attributes_in_parquet(tmp_path: Path, column: pa.Array, value: Any) -> None:
    found = read(tmp_path, "e.parquet", table(1, attributes=column))
    assert not found.dead
    assert found.events[0].get("attributes", ABSENT) == value


def test_attributes_of_csv_and_of_json_are_the_same_objects(tmp_path: Path) -> None:
    value = {"app": "ios", "n": 2, "deep": {"x": [1]}}
    quoted = json.dumps(value).replace('"', '""')
    from_csv = read(tmp_path, "e.csv", csv(f'e1,u1,i1,view,{T + 1},"{quoted}"', head=f"{HEAD},attributes"))
    from_json = read(tmp_path, "e.jsonl", json.dumps(made(attributes=value)))
    assert from_csv.events == from_json.events == [made(attributes=value)]


def test_attributes_that_are_no_object_cost_no_event(tmp_path: Path) -> None:
    rows = [f"e{n},u1,i1,view,{T + n},{text}" for n, text in enumerate(("app=ios", "7", "{}"), 1)]
    found = read(tmp_path, "e.csv", csv(*rows, head=f"{HEAD},attributes"))
    assert found.ids == ["e1", "e2", "e3"]


def test_columns_that_are_not_ours_may_be_of_any_type(tmp_path: Path) -> None:
    strange = pa.array([[{"a": [1]}], None, []], pa.list_(pa.struct([("a", pa.list_(pa.int8()))])))
    assert outcome(write(tmp_path / "e.parquet", table(colour=strange))).events == [made(n) for n in (1, 2, 3)]
