"""CSV as programs write it: delimiters, quotes, headers, rows of another width, and encodings."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from sie_online.errors import UsageError
from sie_online.ingest.sources import delimited, read_events
from tests.support.event_files import HEAD, T, csv, made, outcome, read, write

NAMES = HEAD.split(",")
GERMAN = made(user_id="Jörg", query="größer")


def joined(delimiter: str, *rows: list[str]) -> str:
    return "".join(delimiter.join(row) + "\n" for row in ([*NAMES, "query"], *rows))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "::"], ids=repr)
@pytest.mark.parametrize("is_said", [True, False], ids=["said", "recognised"])
def test_a_delimiter(tmp_path: Path, delimiter: str, is_said: bool) -> None:
    text = joined(delimiter, ["e1", "u1", "i1", "view", str(T + 1), "red"], ["e2", "u1", "i1", "view", str(T + 2), ""])
    found = read(tmp_path, "e.csv", text, delimiter=delimiter if is_said else "")
    assert found.events == [made(1, query="red"), made(2)]


def test_another_delimiter_may_be_said(tmp_path: Path) -> None:
    text = joined("~", ["e1", "u1", "i1", "view", str(T + 1), "a,b"])
    assert read(tmp_path, "e.csv", text, delimiter="~").events == [made(query="a,b")]


@pytest.mark.parametrize(
    "text",
    [
        csv(f"e1,u1,i1,view,{T + 1}", end="\r\n"),
        csv(f"e1,u1,i1,view,{T + 1}", end="\r"),
        csv(f"e1,u1,i1,view,{T + 1}").rstrip("\n"),
        csv(f'"e1","u1","i1","view","{T + 1}"', head='"event_id","user_id","item_id","event_type","timestamp_ms"'),
        csv(f"e1, u1, i1, view, {T + 1}", head=HEAD.replace(",", ", ")),
        csv(f"e1,u1,i1,view,{T + 1}", head=HEAD.replace(",", " ,")),
        csv(f'e1, "u1", "i1", view, {T + 1}', head=HEAD.replace(",", ", ")),
        csv(f"e1,u1,i1,view,{T + 1},", head=f"{HEAD},"),
        csv(f"e1,u1,i1,view,{T + 1},"),
        csv(f"e1,u1,i1,view,{T + 1},,,"),
        csv(f"e1,u1,i1, view ,{T + 1}"),
        csv("", f"e1,u1,i1,view,{T + 1}", "", "  ", "\t"),
        "\n\n" + csv(f"e1,u1,i1,view,{T + 1}"),
        csv(f"red,{T + 1},view,e1,i1,u1", head="colour,timestamp_ms,event_type,event_id,item_id,user_id"),
        csv(f"1,e1,u1,i1,view,{T + 1},2", head=f"x,{HEAD},x"),
    ],
    ids=[
        "crlf", "cr", "no-line-end", "all-quoted", "spaced", "blank-before", "spaced-and-quoted", "comma-at-the-end",
        "comma-at-the-end-of-rows", "commas-at-the-end", "blanks-around-a-type", "blank-lines", "blank-lines-first",
        "other-order", "a-column-of-no-matter-twice",
    ],
)  # fmt: skip
def test_layouts_of_one_event(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, "e.csv", text)
    assert found.events == [made()]
    assert not found.dead
    assert not found.faults


def test_rows_of_another_width_are_dead_letters_in_their_lines(tmp_path: Path) -> None:
    rows = [
        f"e1,u1,i1,view,{T + 1}",
        "e2,u1",
        "",
        f"e3,u1,i1,view,{T + 3},more",
        f'"e4","a\nb",i1,view,{T + 4}',
        "alone",
    ]
    found = read(tmp_path, "e.csv", csv(*rows))
    assert found.ids == ["e1", "e4"]
    assert found.dead == [(3, "wrong_type"), (5, "wrong_type"), (8, "wrong_type")]
    assert found.faults == {
        3: "2 fields where 5 belong", 5: "6 fields where 5 belong", 8: "1 fields where 5 belong",
    }  # fmt: skip
    assert found.places == [f"{tmp_path / 'e.csv'}, line {line}" for line in (2, 3, 5, 6, 8)]


def test_a_quote_that_is_never_closed_is_one_dead_letter_in_the_line_where_it_opens(tmp_path: Path) -> None:
    found = read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{T + 1}", 'e2,u1,"i1,view,1', f"e3,u1,i1,view,{T + 3}"))
    assert found.ids == ["e1"]
    assert found.dead == [(3, "wrong_type")]
    assert "never closed" in found.faults[3]


def test_line_numbers_count_the_lines_in_quotes_and_blank_ones(tmp_path: Path) -> None:
    rows = [f'"e1",u1,i1,view,{T + 1},"two\nlines"', "", f'e2,u1,i1,view,{T + 2},"a\r\nb"', f"e3,u1,i1,view,{T + 3},"]
    found = read(tmp_path, "e.csv", csv(*rows, head=f"{HEAD},query"))
    assert [event.get("query") for event in found.events] == ["two\nlines", "a\r\nb", None]
    assert [place.rpartition(" ")[2] for place in found.places] == ["2", "5", "7"]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ('"a ""b"" c"', 'a "b" c'),
        (r'"a \"b\" c"', 'a "b" c'),
        ('"a,b"', "a,b"),
        ('5" nail', '5" nail'),
        ("it's", "it's"),
    ],
)
def test_quotes(tmp_path: Path, field: str, text: str) -> None:
    found = read(tmp_path, "e.csv", csv(f"e1,u1,i1,view,{T + 1},{field}", head=f"{HEAD},query"))
    assert found.events == [made(query=text)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"e\.csv is empty"),
        ("\n\n", r"e\.csv is empty"),
        (
            csv(f"e1,u1,u2,i1,view,{T}", head=HEAD.replace("user_id", "user_id,user_id")),
            "several columns called user_id",
        ),
        (
            csv(f"e1,u1,i1,{T}", head=HEAD.replace("event_type,", "")),
            r"lacks the column\(s\) event_type; it has event_id,",
        ),
        (csv(f"u1,i1,view,{T}", head=HEAD.replace("event_id,", "")), r"--constant event_id=\{file\}:\{line\}"),
        (
            csv(f"e1,u1,i1,view,{T}", head=HEAD.replace("item_id", "Item_ID")),
            r"lacks.* item_id; .*--map item_id=COLUMN",
        ),
    ],
    ids=["empty", "blank", "twice", "missing", "no-event-id", "case"],
)
def test_files_of_which_no_row_survives_are_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        read(tmp_path, "e.csv", text)


def test_a_header_alone_is_a_file_without_events(tmp_path: Path) -> None:
    found = read(tmp_path, "e.csv", f"{HEAD}\n")
    assert not found.events
    assert not found.dead


@pytest.mark.parametrize(
    ("encoding", "asks"),
    [
        ("utf-8", ""), ("utf-8-sig", ""), ("utf-8-sig", "utf-8"), ("utf-16", ""), ("utf-16-le", ""), ("utf-16-be", ""),
        ("utf-16-le", "utf-16-le"), ("cp1252", ""), ("cp1252", "cp1252"), ("latin-1", "iso-8859-1"),
        ("gb18030", "gb18030"), ("utf-32", "utf-32"),
    ],
)  # fmt: skip
def test_encodings(tmp_path: Path, encoding: str, asks: str) -> None:
    text = csv(f"e1,Jörg,i1,view,{T + 1},größer", head=f"{HEAD},query")
    found = read(tmp_path, "e.csv", text.encode(encoding), encoding=asks)
    assert found.events == [GERMAN]
    is_guessed = encoding == "cp1252" and not asks
    assert ["cp1252" in note and "--encoding" in note for note in found.notes] == [True] * is_guessed


def test_chinese_in_gb18030_and_in_utf16(tmp_path: Path) -> None:
    text = csv(f"e1,用户,i1,view,{T + 1}")
    for encoding, asks in (("gb18030", "gb18030"), ("utf-16", "")):
        assert read(tmp_path, "e.csv", text.encode(encoding), encoding=asks).events == [made(user_id="用户")]


def test_big_endian_utf16_with_its_mark(tmp_path: Path) -> None:
    content = codecs.BOM_UTF16_BE + csv(f"e1,Jörg,i1,view,{T + 1}").encode("utf-16-be")
    assert read(tmp_path, "e.csv", content).events == [made(user_id="Jörg")]


def test_a_byte_that_is_no_utf8_costs_its_row(tmp_path: Path) -> None:
    rows = [f"e{n},ü{n},i1,view,{T + n}" for n in range(1, 4)]
    content = csv(*rows).encode().replace("ü2".encode(), b"\xff2")
    found = read(tmp_path, "e.csv", content)
    assert found.dead == [(3, "bad_utf8")]
    assert found.ids == ["e1", "e3"]
    assert not found.notes


def test_an_encoding_that_there_is_not_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", csv(f"e1,u1,i1,view,{T + 1}"))
    with pytest.raises(UsageError, match="encoding 'klingon' is unknown"):
        outcome(path, encoding="klingon")


def test_a_quote_that_nobody_closes_is_named_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "MOST_CHARS", 100_000)
    file = write(tmp_path / "e.csv", csv("e1,u1,i1,view,1750000000001", '"e2', *["u1,i1,view,1750000000002"] * 20_000))
    chunks = read_events([file])
    assert len(next(chunks)) == 1, "what comes before it is read"
    with pytest.raises(UsageError, match=r"e\.csv, line 3: a quote is not closed"):
        next(chunks)
