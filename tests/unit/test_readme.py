"""READMEs and the pages of docs for users show only what exists: commands, options, settings, targets, files."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from sie_online import settings as settings_module
from streams.cli.config import effective
from streams.cli.root import COMMANDS, run
from tests.support.brokers import ROOT
from tests.support.pages import fenced

READMES = [file for file in (ROOT / "README.md", ROOT / "README.zh.md") if file.exists()]
FILES_PAGE, WEIGHTS_PAGE, EVALUATING_PAGE = (
    ROOT / "docs" / f"{name}.md" for name in ("files", "weights", "evaluating")
)
PAGES = (FILES_PAGE, WEIGHTS_PAGE, EVALUATING_PAGE)
readme = pytest.mark.parametrize("file", READMES, ids=lambda file: file.name)
readme_or_page = pytest.mark.parametrize("file", [*READMES, *PAGES], ids=lambda file: file.name)


def blocks(file: Path, language: str) -> list[str]:
    """The fenced code of one language."""
    return fenced(file, language)


def command_lines(file: Path) -> list[list[str]]:
    """Every ``sie …`` line of the shell blocks, as words."""
    lines = (line for block in blocks(file, "sh") for line in block.splitlines())
    return [shlex.split(line, comments=True) for line in lines if line.startswith("sie ")]


@readme_or_page
def test_commands_and_options_exist(file: Path) -> None:
    assert command_lines(file)
    for _, name, *words in command_lines(file):
        command: Any = COMMANDS[name].load()
        if hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        context = typer.Context(command, info_name=name)
        command.parse_args(context, words)  # raises on unknown options and bad values


@readme
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
    starts = [quick_start(file) for file in READMES]
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


def printed_by(code: str) -> list[str]:
    """The lines that Python code prints, run from the current folder as a person would."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.splitlines()


def quick_start(file: Path) -> tuple[list[list[str]], str]:
    """The commands of the quick start for files, and the Python that compares the weights with the truth."""
    lines = next(block for block in blocks(file, "sh") if "sie sample-events" in block).splitlines()
    comparison = next(block for block in blocks(file, "python") if "truth" in block)
    return [shlex.split(line, comments=True) for line in lines], comparison


@readme
def test_settings_exist_with_the_defaults_given(file: Path) -> None:
    text = file.read_text("utf-8")
    known = {setting.environment: setting for setting in effective(settings_module.load())}
    for variable in re.findall(r"\bSIE_[A-Z_]+[A-Z]\b", text):
        section = any(name.startswith(f"{variable}__") for name in known)
        assert variable in known or variable in settings_module.KNOWN_ELSEWHERE or section, variable
    for variable, default in re.findall(r"^\| `(SIE_\w+)` \| `([^`]+)` \|", text, flags=re.MULTILINE):
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
