"""The files that describe the topics: written, and held against what the code would write."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from sie_online.schemas.asyncapi import document
from sie_online.schemas.topics import schemas

DIRECTORY = Path("deploy/schemas")


def texts() -> dict[str, str]:
    """File name to content."""
    documents = {f"{topic}.json": schema for topic, schema in schemas().items()} | {"asyncapi.json": document()}
    return {name: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for name, content in documents.items()}


def stale(directory: Path) -> list[str]:
    """Names of files in ``directory`` that are missing or not current."""
    return [name for name, text in texts().items() if _read(directory / name) != text]


def write(directory: Path) -> None:
    """Write every file."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        (directory / name).write_text(text, "utf-8")


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.is_file() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m sie_online.schemas",
        description="JSON Schemas of the topics, and the AsyncAPI document that has all of them.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 2 if a file is not current")
    parser.add_argument("--out", type=Path, default=DIRECTORY, help="directory (default: %(default)s)")
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.out)
        return 0
    outdated = stale(options.out)
    if outdated:
        sys.stderr.write(f"not current in {options.out}: {', '.join(outdated)}; run 'make schemas'\n")
    return 2 if outdated else 0
