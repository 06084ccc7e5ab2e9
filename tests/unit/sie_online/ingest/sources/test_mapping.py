"""Files whose columns and event types are called otherwise: options, mappings, and the presets of public logs."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from sie_online.errors import UsageError
from sie_online.ingest.sources import PRESETS
from tests.support.event_files import Content, T, csv, made, outcome, read, table, write

SHOP = csv(f"e1,u1,i1,look,{T + 1}", f"e2,u1,i1,buy,{T + 2}", head="id,who,what,did,at")
COLUMNS = {"event_id": "id", "user_id": "who", "item_id": "what", "event_type": "did", "timestamp_ms": "at"}
TYPES = {"look": "view", "buy": "purchase"}
BOUGHT = made(2, event_type="purchase")


def toml(tmp_path: Path, text: str) -> Path:
    return write(tmp_path / "shop.toml", text)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json", "parquet"])
def test_columns_and_types_may_be_called_otherwise(tmp_path: Path, kind: str) -> None:
    rows = [
        {COLUMNS[name]: value for name, value in made(n).items()} | {"did": did} for n, did in ((1, "look"), (2, "buy"))
    ]
    contents: dict[str, Content] = {
        "csv": SHOP,
        "jsonl": "\n".join(map(json.dumps, rows)),
        "json": json.dumps(rows),
        "parquet": table(2).rename_columns(list(COLUMNS.values())).set_column(3, "did", [["look", "buy"]]),
    }
    found = read(tmp_path, f"e.{kind}", contents[kind], columns=COLUMNS, types=TYPES)
    assert found.events == [made(1), BOUGHT]
    assert not found.faults


def test_a_column_that_was_named_must_be_there(tmp_path: Path) -> None:
    for name in ("price", "user_id"):
        with pytest.raises(UsageError, match=r"lacks the column\(s\) cost; it has"):
            read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{T}"), columns={name: "cost"})


def test_rows_of_types_that_are_skipped_are_left_out_and_counted(tmp_path: Path) -> None:
    rows = [f"e1,u1,i1,view,{T + 1}", f"e2,u1,i1,ping,{T + 2}", "ragged", f"e3,u1,i1,view,{T + 3}"]
    found = read(tmp_path, "e.csv", csv(*rows), types={"ping": "skip"})
    assert found.ids == ["e1", "e3"]
    assert found.dead == [(4, "wrong_type")]
    assert [place.rpartition(" ")[2] for place in found.places] == ["2", "4", "5"]
    assert found.skipped == 1
    lines = "\n".join(json.dumps(made(n, event_type=kind)) for n, kind in ((1, "view"), (2, "ping"), (3, "view")))
    found = read(tmp_path, "e.jsonl", lines, types={"ping": "skip"})
    assert (found.ids, found.skipped) == (["e1", "e3"], 1)


def test_a_type_that_is_not_mapped_stays_what_it_is(tmp_path: Path) -> None:
    rows = [f"e1,u1,i1,look,{T + 1}", f"e2,u1,i1,view,{T + 2}", f"e3,u1,i1,dance,{T + 3}"]
    found = read(tmp_path, "e.csv", csv(*rows), types={"look": "view"})
    assert found.events == [made(1), made(2)]
    assert found.dead == [(4, "wrong_type")]


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("{file}:{line}", ["a.csv:2", "a.csv:5", "sub/b.csv:2"]),
        ("{row}", ["0", "1", "2"]),
        ("{file}-{row}-{line}", ["a.csv-0-2", "a.csv-1-5", "sub/b.csv-2-2"]),
        ("same", ["same"] * 3),
    ],
)
def test_a_constant_may_say_where_its_row_is(tmp_path: Path, text: str, ids: list[str]) -> None:
    head = "user_id,item_id,event_type,timestamp_ms,query"
    rows = [f'u1,i1,view,{T + 1},"a\nb"', "", f"u1,i1,view,{T + 2},"]
    write(tmp_path / "log" / "a.csv", csv(*rows, head=head))
    write(tmp_path / "log" / "sub" / "b.csv", csv(f"u1,i1,view,{T + 3},", head=head))
    assert outcome(tmp_path / "log", constants={"event_id": text}).ids == ids


def test_rows_of_parquet_and_lines_of_json_count_from_one(tmp_path: Path) -> None:
    plain = table(2).drop_columns(["event_id"])
    constants = {"event_id": "{file}:{line}", "category_id": "c"}
    found = read(tmp_path, "e.parquet", plain, constants=constants)
    assert found.ids == ["e.parquet:1", "e.parquet:2"]
    assert {event["category_id"] for event in found.events} == {"c"}
    lines = "\n\n".join(map(json.dumps, plain.to_pylist()))
    assert read(tmp_path, "e.jsonl", lines, constants=constants).ids == ["e.jsonl:1", "e.jsonl:3"]


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        ({"columns": {"colour": "x"}}, "colour is no field of an event: event_id, user_id"),
        ({"constants": {"colour": "x"}}, "colour is no field of an event"),
        ({"constants": {"event_id": "{place}"}}, r"\{place\} stands for nothing; \{file\}, \{line\}, \{row\} do"),
        ({"constants": {"event_type": "dance"}}, "'dance' is none of impression, view"),
        ({"types": {"look": "dance"}}, "look=dance: 'dance' is none of impression, view, .*nor skip"),
        ({"preset": "criteo"}, "preset 'criteo' is unknown: taobao, retailrocket"),
        ({"format": "xlsx"}, "format 'xlsx' is unknown: csv, jsonl"),
        ({"mapping": Path("not-there.toml")}, r"mapping not-there\.toml cannot be read"),
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, says: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{T}"), **says)


def test_a_mapping_says_the_same_in_a_file_and_options_go_over_it(tmp_path: Path) -> None:
    mapping = toml(
        tmp_path,
        """
        about = "a shop"
        time_unit = "ms"
        map = { event_id = "id", user_id = "who", item_id = "what", event_type = "did", timestamp_ms = "at" }
        constants = { category_id = "shop" }
        types = { look = "view", buy = "purchase" }
        """,
    )
    path = write(tmp_path / "e.csv", SHOP)
    assert outcome(path, mapping=mapping).events == [made(1, category_id="shop"), BOUGHT | {"category_id": "shop"}]
    over = outcome(
        path, mapping=mapping, types={"look": "click"}, constants={"category_id": "other", "event_id": "{row}"}
    )
    assert over.events[0] == made(1, event_id="0", event_type="click", category_id="other")
    assert outcome(path, mapping=mapping, columns={"category_id": "what"}).events[0]["category_id"] == "i1"


def test_the_first_shape_that_a_file_fits_is_taken(tmp_path: Path) -> None:
    mapping = toml(
        tmp_path,
        """
        constants = { event_id = "{file}:{line}" }

        [[shape]]
        map = { user_id = "who", item_id = "what", event_type = "did", timestamp_ms = "at" }
        types = { look = "view", buy = "purchase" }

        [[shape]]
        names = ["visitor", "thing", "seconds"]
        time_unit = "s"
        map = { user_id = "visitor", item_id = "thing", timestamp_ms = "seconds" }
        constants = { event_type = "click" }
        """,
    )
    paths = [write(tmp_path / "a.csv", SHOP), write(tmp_path / "b.csv", f"u1,i1,{T // 1_000}\n")]
    click = made(event_id="b.csv:1", event_type="click", timestamp_ms=T)
    assert outcome(paths, mapping=mapping).events == [
        made(1, event_id="a.csv:2"),
        BOUGHT | {"event_id": "a.csv:3"},
        click,
    ]
    with pytest.raises(UsageError, match=r"c\.csv lacks"):
        read(tmp_path, "c.csv", "a,b\n1,2\n", mapping=mapping)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("maps = { user_id = 'who' }", "maps"),
        ("[[shape]]\ncolumns = ['a']", "columns"),
        ("time_unit = 'h'", "time_unit|enum|Invalid"),
        ("map = { user_id = 7 }", "Expected `str`"),
        ("map = {", "Invalid"),
    ],
)
def test_a_mapping_with_what_there_is_not_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=rf"mapping .*shop\.toml: .*({says}).*a mapping may hold map, constants"):
        read(tmp_path, "e.csv", SHOP, mapping=toml(tmp_path, text))


def rated(event_id: str, user: str, item: str, ms: int, rating: float) -> dict[str, Any]:
    return {
        "event_id": event_id, "user_id": user, "item_id": item, "event_type": "rating", "timestamp_ms": ms,
        "rating": rating,
    }  # fmt: skip


REVIEW_2023 = {
    "rating": 5.0, "text": "so\nfine", "images": [], "asin": "B1", "parent_asin": "P1", "user_id": "AE",
    "timestamp": 1_588_687_728_923, "helpful_vote": 0, "verified_purchase": True,
}  # fmt: skip
REVIEW_2018 = {
    "overall": 4.0, "verified": True, "reviewTime": "01 1, 2018", "reviewerID": "A1", "asin": "B1", "reviewText": "x",
    "unixReviewTime": 1_514_764_800, "style": {"Size:": " L"},
}  # fmt: skip
REES46 = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
PUBLIC: list[tuple[str, str, Content, list[dict[str, Any]]]] = [
    (
        "taobao",
        "UserBehavior.csv",
        "1,11,21,pv,1511544070\n1,12,22,buy,1511544071\n",
        [
            {"event_id": "t0", "user_id": "1", "item_id": "11", "event_type": "view", "timestamp_ms": 1_511_544_070_000,
             "category_id": "21"},
            {"event_id": "t1", "user_id": "1", "item_id": "12", "event_type": "purchase",
             "timestamp_ms": 1_511_544_071_000, "category_id": "22"},
        ],
    ),
    (
        "retailrocket",
        "events.csv",
        "timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n"
        "1433221337106,121688,addtocart,15335,\n1433221339999,121688,transaction,15335,4000\n",
        [
            {"event_id": "events.csv:2", "user_id": "257597", "item_id": "355908", "event_type": "view",
             "timestamp_ms": 1_433_221_332_117},
            {"event_id": "events.csv:3", "user_id": "121688", "item_id": "15335", "event_type": "cart",
             "timestamp_ms": 1_433_221_337_106},
            {"event_id": "events.csv:4", "user_id": "121688", "item_id": "15335", "event_type": "purchase",
             "timestamp_ms": 1_433_221_339_999},
        ],
    ),
    (
        "rees46",
        "2019-Oct.csv.gz",
        gzip.compress(
            f"{REES46}2019-10-01 00:00:00 UTC,view,44,21,,shiseido,35.79,54,72d7-a\n"
            "2019-10-01 00:00:01 UTC,remove_from_cart,44,21,,,35.79,54,72d7-a\n"
            "2019-10-01 00:00:02 UTC,purchase,45,22,a.b,,1.50,54,\n".encode()
        ),
        [
            {"event_id": "2019-Oct.csv.gz:2", "user_id": "54", "item_id": "44", "event_type": "view",
             "timestamp_ms": 1_569_888_000_000, "category_id": "21", "session_id": "72d7-a", "price": 35.79},
            {"event_id": "2019-Oct.csv.gz:4", "user_id": "54", "item_id": "45", "event_type": "purchase",
             "timestamp_ms": 1_569_888_002_000, "category_id": "22", "price": 1.5},
        ],
    ),
    (
        "yoochoose",
        "yoochoose-clicks.dat",
        "1,2014-04-07T10:51:09.277Z,214536502,0\n",
        [
            {"event_id": "yoochoose-clicks.dat:1", "user_id": "1", "item_id": "214536502", "event_type": "click",
             "timestamp_ms": 1_396_867_869_277, "category_id": "0", "session_id": "1"},
        ],
    ),
    (
        "yoochoose",
        "yoochoose-buys.dat",
        "420374,2014-04-06T18:44:58.314Z,214537888,12462,1\n",
        [
            {"event_id": "yoochoose-buys.dat:1", "user_id": "420374", "item_id": "214537888",
             "event_type": "purchase", "timestamp_ms": 1_396_809_898_314, "session_id": "420374", "price": 12_462.0},
        ],
    ),
    ("movielens", "u.data", "196\t242\t3\t881250949\n", [rated("u.data:1", "196", "242", 881_250_949_000, 3)]),
    ("movielens", "ratings.dat", "1::1193::5::978300760\n", [rated("ratings.dat:1", "1", "1193", 978_300_760_000, 5)]),
    (
        "movielens",
        "ratings.csv",
        "userId,movieId,rating,timestamp\n1,296,4.5,1147880044\n",
        [rated("ratings.csv:2", "1", "296", 1_147_880_044_000, 4.5)],
    ),
    (
        "amazon-reviews",
        "All_Beauty.jsonl",
        json.dumps(REVIEW_2023) + "\n",
        [rated("All_Beauty.jsonl:1", "AE", "P1", 1_588_687_728_923, 5)],
    ),
    (
        "amazon-reviews",
        "All_Beauty.csv",
        "user_id,parent_asin,rating,timestamp\nAE,P1,5.0,1588687728923\n",
        [rated("All_Beauty.csv:2", "AE", "P1", 1_588_687_728_923, 5)],
    ),
    (
        "amazon-reviews",
        "no-parents.csv",
        "user_id,asin,rating,timestamp\nAE,B1,5.0,1588687728923\n",
        [rated("no-parents.csv:2", "AE", "B1", 1_588_687_728_923, 5)],
    ),
    (
        "amazon-reviews",
        "Gift_Cards_5.json.gz",
        gzip.compress(json.dumps(REVIEW_2018).encode()),
        [rated("Gift_Cards_5.json.gz:1", "A1", "B1", 1_514_764_800_000, 4)],
    ),
    (
        "amazon-reviews",
        "Gift_Cards.csv",
        "B1,A1,1.0,1514764800\n",
        [rated("Gift_Cards.csv:1", "A1", "B1", 1_514_764_800_000, 1)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("preset", "name", "content", "events"), PUBLIC, ids=[f"{p}-{n}" for p, n, *_ in PUBLIC])
def test_a_preset_reads_its_files(
    tmp_path: Path, preset: str, name: str, content: Content, events: list[dict[str, Any]]
) -> None:
    found = read(tmp_path, name, content, preset=preset)
    assert found.events == events
    assert not found.dead
    assert not found.notes


def test_every_preset_has_its_file_here() -> None:
    assert {preset for preset, *_ in PUBLIC} == set(PRESETS)


@pytest.mark.parametrize("preset", ["taobao", "retailrocket", "rees46"])
def test_a_file_that_a_preset_reads_names_it(tmp_path: Path, preset: str) -> None:
    name, content = next((name, content) for of, name, content, _ in PUBLIC if of == preset)
    with pytest.raises(UsageError, match=rf"--preset {preset} reads it"):
        read(tmp_path, name, content)
