"""Whatever others wrote, nothing that is printed or logged can steer a terminal or forge a line."""

from __future__ import annotations

import ast
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text

import sie_online
import streams
from sie_online.announcements import NET, Announcement
from sie_online.errors import SieError
from sie_online.escape import harmless, safe, safe_json
from streams.cli import common, model_text, root
from streams.cli.terminal import Terminal
from streams.model_registry.history import VersionEntry
from streams.observe.logs import LineFormatter

HOSTILE = "01K\x1b[2J\x1b]0;owned\x07\x9b31m\r\n2026-01-01 INFO forged\u202e\u2066\x00\x7f[bold]:skull:[link=http://evil.example]x"
"""A version that clears the screen, renames the window, forges a line, turns writing round, and links somewhere."""


def printed(*what: Any, **options: Any) -> str:
    file = io.StringIO()
    Terminal(file=file, force_terminal=True, color_system=None, width=400).print(*what, **options)
    return file.getvalue()


def is_harmless(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text)


@given(st.text())
def test_escaped_text_is_one_printable_line(text: str) -> None:
    assert safe(text).isprintable()
    assert is_harmless(harmless(text))
    assert harmless(text).count("\n") == text.count("\n")


@given(st.text())
def test_escaped_json_is_printable_and_says_the_same(text: str) -> None:
    line = safe_json(json.dumps({text: text}, ensure_ascii=False))
    assert line.isprintable()
    assert json.loads(line) == {text: text}


@given(st.text())
def test_a_printed_string_is_one_line_and_means_nothing_but_itself(text: str) -> None:
    assert printed(text, soft_wrap=True) == safe(text) + "\n"


@given(st.text())
def test_a_text_object_or_a_table_s_cell_steers_nothing_either(text: str) -> None:
    table = Table(text, box=None)
    table.add_row(text)
    table.add_row(Text(text))
    assert is_harmless(printed(table))
    assert is_harmless(printed(Text(text)))


def test_a_hostile_version_is_harmless_in_the_list_of_models() -> None:
    said = Announcement(n=1, version=HOSTILE, offsets={}, reason="publish", created_at_ms=0)
    entries = [VersionEntry(HOSTILE, HOSTILE, None, (said,), 0, False)]
    shown = printed(*model_text.listing(entries, NET), *model_text.page(entries[0], HOSTILE), sep="\n")
    assert is_harmless(shown)
    assert "[bold]:skull:" in shown.replace("\n", "")
    assert not any(line.lstrip().startswith("2026-01-01") for line in shown.splitlines())  # no line is forged


def test_a_hostile_document_is_harmless_json(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_json({"version": HOSTILE})
    line = capsys.readouterr().out
    assert line.removesuffix("\n").isprintable()
    assert json.loads(line) == {"version": HOSTILE}


def test_a_hostile_error_is_told_without_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise SieError(f"version {HOSTILE} is unknown")

    monkeypatch.setattr(root, "parse_overrides", refuse)
    assert root.run(["config", "check"]) == SieError.exit_code
    told = capsys.readouterr().err
    assert is_harmless(told)
    assert [line[:2] for line in told.splitlines()] == ["si", "  "]


def test_a_log_line_is_one_line_whatever_it_tells_of() -> None:
    error = ValueError(HOSTILE)
    failure = (ValueError, error, None)
    fields = {"name": "n", "levelname": "INFO", "msg": "version %s", "args": (HOSTILE,), "uri": HOSTILE}
    line = LineFormatter().format(logging.makeLogRecord(fields))
    assert line.isprintable()
    told = LineFormatter().format(logging.makeLogRecord(fields | {"exc_info": failure}))
    assert is_harmless(told)


ALLOWED = {
    "streams/cli/terminal.py",  # the way itself
    "streams/cli/common.py",  # JSON, escaped as such
    "streams/cli/__init__.py",  # before rich is known to be there: a text of our own
    "streams/cli/root.py",  # our own version number
    "streams/app.py",  # before logging is set up: settings, whose texts are the operator's own
    "sie_online/schemas/files.py",  # names of our own files
    "sie_online/examples/command.py",  # escapes what it says
    "sie_online/examples/tables.py",  # likewise
}


def test_no_module_writes_to_a_terminal_past_the_one_way() -> None:
    found = set()
    for package in (streams, sie_online):
        top = Path(package.__path__[0])
        for file in top.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and _writes(ast.unparse(node.func)):
                    found.add(file.relative_to(top.parent).as_posix())
    assert found <= ALLOWED


def _writes(function: str) -> bool:
    return function in {"print", "Console", "typer.echo", "typer.secho"} or (
        function.endswith(("stdout.write", "stderr.write", "out.file.write", "err.file.write"))
    )
