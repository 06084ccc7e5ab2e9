"""``sie sample-events`` gives a newcomer a file, says what to do with it, and spoils none that is there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from sie_online.ingest.decoder import Decoder
from sie_online.settings import load
from sie_online.simulator import Scenario, simulate
from sie_online.simulator.malformed import MALFORMED, NO_LINES
from streams.cli.root import run
from tests.support.events import EventRecord, batch

SMALL = ["--events", "1000"]
MUCH_LATER_MS = 2_000_000_000_000  # when the records are sent


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sample(*arguments: str) -> int:
    return run(["sample-events", *arguments])


def user_of(line: bytes) -> bytes:
    found = re.search(rb'"user_id":"([^"]*)"', line)
    return found[1] if found else b"someone"


def test_the_events_are_those_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("--out", "events.parquet", "--events", "2000", "--seed", "3") == 0
    assert pd.read_parquet("events.parquet").equals(simulate(Scenario(events=2_000, seed=3)).table().to_pandas())


def test_the_last_lines_say_what_to_type_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("--out", "my events.csv", *SMALL) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-2:] == ["  sie evaluate 'my events.csv' --out results", "  sie replay 'my events.csv'"]


def test_json_says_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("--out", "deep/er/events.jsonl.gz", *SMALL, "--hours", "5", "--duplicates", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    events, truth = pd.read_json(told["file"], lines=True), pd.read_parquet(told["truth"])
    assert (told["file"], told["truth"]) == ("deep/er/events.jsonl.gz", "deep/er/events.truth.parquet")
    assert len(events) == told["records"] == told["events"] + told["duplicates"]
    assert len(truth) == told["events"] == sum(told["events_by_kind"].values())
    assert told["duplicates"] > told["malformed"] == 0
    assert 0 < told["last_event_ms"] - told["first_event_ms"] < 5 * 3_600_000
    assert told["bytes"] == Path(told["file"]).stat().st_size


def test_without_noise_every_event_is_clean() -> None:
    assert sample("--out", "events.parquet", *SMALL, "--no-noise") == 0
    assert set(pd.read_parquet("events.truth.parquet")["kind"]) == {"clean"}


def test_as_many_lines_as_asked_for_are_dead_letters_and_all_else_are_events() -> None:
    kinds = len(MALFORMED) - len(NO_LINES)
    assert sample("--out", "events.jsonl", *SMALL, "--malformed", str(kinds)) == 0
    lines = Path("events.jsonl").read_bytes().splitlines()
    records = [EventRecord(n, line, user_of(line), timestamp=MUCH_LATER_MS) for n, line in enumerate(lines)]
    decoded, dead = Decoder(load()).decode(batch(records))
    assert len(dead) == kinds
    assert len(decoded) == len(lines) - kinds == len(pd.read_parquet("events.truth.parquet"))


@pytest.mark.parametrize("there", ["events.csv", "events.truth.parquet"])
def test_a_file_that_is_there_is_replaced_only_with_force(there: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(there).write_text("mine")
    assert sample("--out", "events.csv", *SMALL) == 2
    said = capsys.readouterr().err
    assert said == f"sie: --out: {there} exists: choose another name, or replace it with --force\n"
    assert [path.name for path in Path().iterdir()] == [there]
    assert Path(there).read_text() == "mine"
    assert sample("--out", "events.csv", *SMALL, "--force") == 0
    assert sorted(path.name for path in Path().iterdir()) == ["events.csv", "events.truth.parquet"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out", "events.xlsx"], "cannot tell the format from the name"),
        (["--out", "folder.csv"], "is a folder"),
        (["--out", "file/events.csv"], "cannot write into file"),
        (["--out", "events.csv", "--malformed", "3"], "are for .jsonl"),
        (["--out", "events.parquet", "--duplicates"], "are for .jsonl"),
        (["--out", "events.csv", "--hours", "0.2"], "--hours"),
        (["--out", "events.csv", "--events", "10"], "--events"),
        ([], "--out"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder.csv").mkdir()
    Path("file").write_text("no folder")
    assert sample(*arguments) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["file", "folder.csv"]
