"""What every command shares: the settings it runs under, and where its words go.

Data goes to stdout and may be piped; progress, notes and errors go to stderr. Where a script would read the data, the
command takes ``as_json: Json`` and then writes JSON to stdout, one document or one line per row, and nothing else.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sie_online.errors import UsageError
from sie_online.escape import safe_json
from streams.cli.terminal import Terminal

if TYPE_CHECKING:
    from sie_online.client.unreadable import Unreadable
    from sie_online.settings import Settings

out = Terminal()
"""Data: tables, rows, results."""

err = Terminal(stderr=True)
"""Everything that is no data: progress bars, notes, warnings."""

Json = Annotated[bool, typer.Option("--json", help="Write JSON to stdout, for scripts.")]

Strict = Annotated[
    bool, typer.Option("--strict", help="End at the first message that cannot be read, instead of counting it.")
]


def warn_unreadable(unreadable: Unreadable, topic: str) -> None:
    """Say how many messages were passed over, if any were; the log has said why the first was."""
    if unreadable.count:
        err.print(f"{topic}: {unreadable.count:,} unreadable messages passed over", style="yellow", markup=False)


def get_settings(ctx: typer.Context, **overrides: Any) -> Settings:
    """The settings of this call: all sources, then ``--set``, then ``overrides`` (a command's own options, nested).

    Raises:
        SettingsError: a value is refused; one line per problem.
    """
    from sie_online.settings import load  # here, so that `sie --help` need not wait for pydantic

    given = ctx.find_root().obj
    return load(merged(given if isinstance(given, Mapping) else {}, overrides))


def require_writable(option: str, directory: Path) -> None:
    """Make ``directory`` where it is missing, and try to write into it: before the work, not after.

    Raises:
        UsageError: it cannot be; names ``option``.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise UsageError(f"{option}: cannot write into {directory}: {error.strerror or error}") from None


def print_json(document: Any) -> None:
    """Write ``document`` to stdout as one line of JSON (printable Unicode as it is; not finite numbers are refused)."""
    out.file.write(safe_json(json.dumps(document, ensure_ascii=False, allow_nan=False)) + "\n")


def parse_overrides(assignments: list[str]) -> dict[str, Any]:
    """``["web.port=0", …]`` as nested mappings; a list is written as JSON (``importance.factors=["noise"]``).

    Raises:
        UsageError: an assignment has no ``=`` or names a section twice over (``web=1`` and ``web.port=0``).
    """
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not (name and equals):
            raise UsageError(f"--set {assignment}: write section.key=value, as in --set web.port=0")
        try:
            value = json.loads(text) if text.startswith("[") else text
        except ValueError:
            raise UsageError(f'--set {assignment}: a list is JSON, as in --set {name}=["a","b"]') from None
        overrides = merged(overrides, _nested(name.strip().split("."), value))
    return overrides


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    for part in reversed(path):
        value = {part: value}
    return dict(value)


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``over`` laid on top, section by section."""
    both = dict(base)
    for name, value in over.items():
        below = both.get(name)
        both[name] = merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return both
