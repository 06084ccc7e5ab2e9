"""What `sie evaluate` and `sie replay` make of files and options, and how they tell what was wrong with a source."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sie_online.ingest.sources import Reading
from sie_online.ingest.wire import Chunk, Origin, WireRecord
from streams.cli import evaluate, replay
from streams.cli.root import run
from tests.support.events import event

Call = tuple[list[str], Reading, int | None]


class FakeSource:
    """Stands in for the reader: notes what it is asked for, and has ``chunks``."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.chunks: list[Chunk] = []

    def __call__(self, files: list[str], reading: Reading, *, limit: int | None, **_more: Any) -> list[Chunk]:
        self.calls.append((files, reading, limit))
        return self.chunks


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    reader = FakeSource()
    monkeypatch.setattr(evaluate, "read_events", reader)
    monkeypatch.setattr(replay, "read_events", reader)
    return reader


ALL = [
    *("--preset", "taobao", "--mapping", "shop.toml", "--map", "item_id=product_id", "--map", "price=unit price"),
    *("--constant", "event_type=view", "--constant", "session_id={file}:{line}", "--types", "addtocart=cart"),
    *("--types", "scroll=skip", "--time-unit", "iso", "--time-zone", "Asia/Shanghai", "--format", "csv"),
    *("--delimiter", "tab", "--encoding", "gb18030", "--limit", "10"),
]


@pytest.mark.parametrize("command", [["evaluate", "--out", "{out}"], ["replay"]], ids=["evaluate", "replay"])
def test_every_option_reaches_the_reader(source: FakeSource, tmp_path: Path, command: list[str]) -> None:
    given = [word.format(out=tmp_path / "out") for word in command]
    nobody = ["--set", "broker=127.0.0.1:9", "--set", "kafka.request_timeout_s=1"]
    assert run([*nobody, *given, "a.csv", "b.csv.gz", "-", *ALL]) in (2, 3)  # an empty source, or no broker
    files, reading, limit = source.calls[0]
    assert (files, limit) == (["a.csv", "b.csv.gz", "-"], 10)
    assert reading == Reading(
        preset="taobao",
        mapping=Path("shop.toml"),
        columns={"item_id": "product_id", "price": "unit price"},
        constants={"event_type": "view", "session_id": "{file}:{line}"},
        types={"addtocart": "cart", "scroll": "skip"},
        time_unit="iso",
        time_zone="Asia/Shanghai",
        format="csv",
        delimiter="\t",
        encoding="gb18030",
        earliest_ms=reading.earliest_ms,
    )


@pytest.mark.parametrize(("typed", "meant"), [("\\t", "\t"), ("TAB", "\t"), (";", ";"), ("|", "|"), ("\t", "\t")])
def test_a_delimiter_is_one_character_or_a_word_for_it(
    source: FakeSource, tmp_path: Path, typed: str, meant: str
) -> None:
    run(["evaluate", "a.csv", "--out", str(tmp_path), "--delimiter", typed])
    assert source.calls[0][1].delimiter == meant


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--map", "item_id"], "--map item_id: write two names with = between them, as in --map item_id=product_id"),
        (["--map", "=product"], "--map =product: write two names"),
        (["--constant", "event_type="], "--constant event_type=: write two names"),
        (["--types", "addtocart"], "--types addtocart: write two names with = between them, as in --types addtocart="),
        (["--types", "a=cart", "--types", "a=view"], "--types: a cannot be both 'cart' and 'view'"),
        (["--map", "item_id=a", "--map", "item_id=b"], "--map: item_id cannot be both 'a' and 'b'"),
        (["--delimiter", ";;"], "--delimiter ';;': one character, as in --delimiter ';'"),
        (["--delimiter", '"'], "one character"),
    ],
)
def test_what_is_no_pair_or_no_character_is_refused_with_an_example(
    source: FakeSource, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], sentence: str
) -> None:
    assert run(["evaluate", "a.csv", "--out", str(tmp_path), *options]) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert not source.calls


@pytest.mark.parametrize("command", ["evaluate", "replay"])
def test_help_shows_reading_options_in_a_panel_of_their_own(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run([command, "--help"]) == 0
    own, _, panel = capsys.readouterr().out.partition("How to read the files")
    for option in ("--preset", "--mapping", "--map", "--constant", "--types", "--time-unit", "--time-zone", "--format"):
        assert f" {option} " in panel
    assert " --strict " in panel
    assert " --json " in own


def rows(kinds: Sequence[str]) -> list[WireRecord]:
    made = [event(n, kind, at_s=60.0 * n, user=f"u{n % 5}") for n, kind in enumerate(kinds)]
    return [WireRecord(one["user_id"].encode(), json.dumps(one).encode()) for one in made]


@pytest.fixture
def evaluated(
    source: FakeSource, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def evaluated(chunks: list[Chunk], *options: str) -> tuple[int, str, str]:
        source.chunks = chunks
        code = run(["evaluate", "shop.csv", "--out", str(tmp_path / "out"), *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return evaluated


def shop(kinds: Sequence[str], **more: Any) -> Chunk:
    return Chunk(rows(kinds), 1.0, Origin("shop.csv", np.arange(len(kinds)) + 2, **more), skipped=3)


def test_the_summary_ends_with_dead_letters_by_reason_and_the_first_of_each(
    evaluated: Callable[..., tuple[int, str, str]],
) -> None:
    kinds = ["view", "vew", "vew", "view", "vew", "vew"]
    code, out, _ = evaluated([shop(kinds, faults={1: "event_type is none that is known: see --types \x1b[31m"})])
    assert code == 0
    table, _, letters = out.partition("\nwrong_type: ")
    assert "dead letters" in table
    assert "rows left out" in table
    assert letters.splitlines()[:3] == [
        "4, the first:",
        "  shop.csv, line 3: event_type is none that is known: see --types \\x1b[31m",
        "  shop.csv, line 4: event_type is none of impression, view, click, cart, favorite, purchase, return, rating",
    ]
    assert len(letters.splitlines()) == 4


def test_the_report_has_what_was_found_in_the_source(
    evaluated: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, err = evaluated([shop(["view", "view", "vew", "view"])], "--json")
    report = json.loads(out)
    assert code == 0
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    assert (report["dead_letters"], report["dead_letters_by_reason"]) == (1, {"wrong_type": 1})
    assert [one["place"] for one in report["dead_letter_examples"]["wrong_type"]] == ["shop.csv, line 4"]
    assert (report["skipped"], report["disorder_ms"], report["late_events"]) == (3, 0, 0)
    assert "Note" not in err


def test_late_events_are_told_once_with_what_they_cost(evaluated: Callable[..., tuple[int, str, str]]) -> None:
    def late(kind: str) -> str:
        one = event(900, kind, at_s=-3 * 86_400.0, user="u1")
        record = WireRecord(b"u1", json.dumps(one).encode())
        return evaluated([shop(["view"] * 5), Chunk([record], 1.0)])[2]

    assert "late events: 1, by up to 3 d, among them conversions and returns: 1." in late("purchase")
    assert "late events: 1, by up to 3 d; no conversion or return is among them" in late("view")


@pytest.mark.parametrize("strict", [["--strict"], []])
def test_strict_and_a_source_without_events_are_2_in_one_sentence(
    evaluated: Callable[..., tuple[int, str, str]], tmp_path: Path, strict: list[str]
) -> None:
    code, out, err = evaluated([shop(["vew", "vew"])], *strict)
    assert (code, out) == (2, "")
    expected = (
        "shop.csv, line 2: wrong_type: " if strict else "none of the 2 records is a valid event: event_type is 'vew'"
    )
    assert err.splitlines()[-1].startswith(f"sie: {expected}")
    assert list((tmp_path / "out").iterdir()) == []
