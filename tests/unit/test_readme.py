"""READMEs and the pages of docs for users show only what exists: commands, options, settings, targets, files."""

from __future__ import annotations

import ast
import importlib
import json
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import typer

from sie_online import settings as settings_module
from streams.cli.config import effective
from streams.cli.root import COMMANDS, run
from tests.support.brokers import ROOT
from tests.support.pages import fenced

READMES = (ROOT / "README.md", ROOT / "README.zh.md")
PAGES = {path.stem: path for path in (ROOT / "docs").glob("*.md")}
FILES_PAGE, CONCEPTS, SETTINGS, RESULTS = (PAGES[name] for name in ("files", "concepts", "settings", "results"))
OF_COMMANDS = [path for path in PAGES.values() if re.search(r"^sie ", path.read_text("utf-8"), flags=re.MULTILINE)]
OF_PYTHON = [*READMES, PAGES["client"], PAGES["quickstart"]]
MOST_LINES = 150
OF_THE_SHELL = {"|", ">", "&&", "&", ";"}
OF_KUBERNETES = {"SIE_PORT", "SIE_WORKER_SERVICE_HOST"}  # what it puts into pods beside a service of ours: ignored
COMMAND = r"`?(sie\s(--set\s\S+\s)*[a-z]|make [a-z]|python -m )"
readme = pytest.mark.parametrize("file", READMES, ids=lambda file: file.name)
readme_or_page = pytest.mark.parametrize("file", [*READMES, *PAGES.values()], ids=lambda file: file.name)


def without_links(text: str) -> str:
    """Without the targets of links, whose names may hold numbers."""
    return re.sub(r"\]\([^)]*\)", "]", text)


def blocks(file: Path, language: str) -> list[str]:
    """The fenced code of one language."""
    return fenced(file, language)


def command_lines(file: Path) -> list[list[str]]:
    """Every ``sie …`` line of the shell blocks, as words, up to what the shell takes for itself."""
    lines = (line for block in blocks(file, "sh") for line in block.splitlines())
    commands = (shlex.split(line, comments=True) for line in lines if line.startswith("sie "))
    return [without_settings(list(takewhile(lambda word: word not in OF_THE_SHELL, words))) for words in commands]


def without_settings(words: list[str]) -> list[str]:
    """Without ``--set NAME=VALUE`` and the like, which stand before the command."""
    while len(words) > 1 and words[1].startswith("--"):
        words = [words[0], *words[3:]]
    return words


@pytest.mark.parametrize("file", [*READMES, *OF_COMMANDS], ids=lambda file: file.name)
def test_commands_and_options_exist(file: Path) -> None:
    assert command_lines(file)
    for _, name, *words in command_lines(file):
        command: Any = COMMANDS[name].load()
        if hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        context = typer.Context(command, info_name=name)
        command.parse_args(context, words)  # raises on unknown options and bad values


@readme
def test_a_newcomer_reads_it_to_the_end(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= MOST_LINES


def test_both_languages_say_the_same() -> None:
    english, chinese = ((file, file.read_text("utf-8")) for file in READMES)
    commands = [[words for words in command_lines(file) if words] for file, _ in (english, chinese)]
    assert commands[0] == commands[1]
    links = [re.findall(r"\]\(([^)]+)\)", text) for _, text in (english, chinese)]
    assert set(links[0]) - {"README.zh.md"} == set(links[1]) - {"README.md"}
    headings = [re.findall(r"^## ", text, flags=re.MULTILINE) for _, text in (english, chinese)]
    assert len(headings[0]) == len(headings[1])


@pytest.mark.parametrize("file", OF_PYTHON, ids=lambda file: file.name)
def test_python_examples_import_what_exists(file: Path) -> None:
    assert blocks(file, "python")
    for block in blocks(file, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "sie_online":
                for alias in node.names:
                    assert getattr(importlib.import_module(node.module), alias.name)


def test_what_the_quick_start_for_files_types_shows_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    starts = [quick_start(file) for file in (*READMES, PAGES["quickstart"])]
    commands, comparison = starts[0]
    assert all(start == starts[0] for start in starts)
    assert [command[1] for command in commands] == ["sample-events", "evaluate"]
    for command in commands:
        assert run(command[1:]) == 0
    weight = {row["kind"]: row["weight_mean"] for row in map(ast.literal_eval, printed_by(comparison))}
    said = re.findall(r"(\w+) ([\d.]+)(?=, |$)", re.findall(r"# (clean .*)", comparison)[0])
    assert weight == pytest.approx({kind: float(mean) for kind, mean in said}, rel=0.05, abs=5e-4)
    found = dict(line.split() for line in printed_by(blocks(FILES_PAGE, "python")[0]))
    assert float(found["bots"]) > float(found["brushing"]) > float(found["misclick"]) > 0.5
    rows_told_are_those_written(pq.read_table("results/weights.parquet"))


def rows_told_are_those_written(weights: pa.Table) -> None:
    """The rows of the page of concepts, which begins with the same two commands."""
    told = re.findall(r"^\| (e\d+) \|((?: [^|]+\|){7})$", CONCEPTS.read_text("utf-8"), flags=re.MULTILINE)
    assert len({event for event, _ in told}) == 3
    columns = ["revision", "final", "published_ms", "label", "probability", "noise_probability", "weight"]
    for event in {event for event, _ in told}:
        rows = weights.filter(pc.field("event_id") == event).select(columns).to_pylist()
        said = [[json.loads(cell) for cell in cells.strip("|").split("|")] for name, cells in told if name == event]
        assert [list(row.values())[:4] for row in rows] == [row[:4] for row in said]
        numbers = [list(row.values())[4:] for row in rows]
        assert np.array(numbers) == pytest.approx(np.array([row[4:] for row in said]), abs=2e-3)


def printed_by(code: str) -> list[str]:
    """The lines that Python code prints, run from the current folder as a person would."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()


def quick_start(file: Path) -> tuple[list[list[str]], str]:
    """The commands of the quick start for files, and the Python that compares the weights with the truth."""
    lines = next(block for block in blocks(file, "sh") if "sie sample-events" in block).splitlines()
    comparison = next(block for block in blocks(file, "python") if "truth" in block)
    return [shlex.split(line, comments=True) for line in lines], comparison


@readme_or_page
def test_settings_exist_with_the_defaults_given(file: Path) -> None:
    text = file.read_text("utf-8")
    known = {setting.environment: setting for setting in effective(settings_module.load())}
    for variable in set(re.findall(r"\bSIE_[A-Z_]+[A-Z]\b", text)) - OF_KUBERNETES:
        section = any(name.startswith(f"{variable}__") for name in known)
        assert variable in known or variable in settings_module.KNOWN_ELSEWHERE or section, variable
    given = re.findall(r"^\| `(SIE_\w+)` \| `([^`]+)` \|", text, flags=re.MULTILINE)
    assert bool(given) == (file == SETTINGS)
    for variable, default in given:
        if variable in known:
            value = known[variable].default
            assert default in {str(value), f"{value:g}" if isinstance(value, float) else ""}, variable


@readme
def test_make_targets_exist(file: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)`", file.read_text("utf-8")))
    assert named
    assert named <= targets


@readme_or_page
def test_linked_files_exist(file: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", file.read_text("utf-8")):
        assert (file.parent / target).exists(), target


@pytest.mark.parametrize("file", [*READMES, RESULTS], ids=lambda file: file.name)
def test_a_table_of_figures_names_the_command_that_repeats_it(file: Path) -> None:
    for section in re.split(r"^##+ ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        first = re.search(r"^\|.*\d.*\|$", without_links(section), flags=re.MULTILINE)
        if first:
            before = section[: section.index(first[0].split("|")[1])]
            assert re.search(COMMAND, before), f"{section.splitlines()[0]}: which command repeats this table?"


@readme
def test_a_claim_in_figures_names_its_command(file: Path) -> None:
    """Of the list of what it is good for: what has a decimal number has a command in the same item."""
    for item in re.findall(r"^- .*(?:\n  .*)*", file.read_text("utf-8"), flags=re.MULTILINE):
        if re.search(r"\d\.\d|\d %", item):
            assert re.search(COMMAND, item), item
