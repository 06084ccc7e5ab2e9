"""How files of events are to be read: options of every command that reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sie_online.errors import UsageError
from sie_online.ingest.sources import PRESETS
from sie_online.ingest.sources.reading import FORMATS, SKIP, TIME_UNITS, Reading
from streams.cli.common import err

PANEL = "How to read the files"
DELIMITERS = {"\\t": "\t", "tab": "\t"}


def _option(*names: str, **more: Any) -> Any:
    return typer.Option(*names, rich_help_panel=PANEL, show_default=False, **more)


Files = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE",
        help="CSV, JSON lines, JSON or Parquet, packed or not; folders, globs; '-' is stdin. Read in this order.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class Given:
    """The options as somebody gave them: a group for `streams.cli.options.with_groups`."""

    preset: Annotated[str, _option(metavar="NAME", help=f"A format that is known: {', '.join(PRESETS)}.")] = ""
    mapping: Annotated[
        Path | None, _option("--mapping", metavar="FILE.toml", help="Names, constants, types and times in one file.")
    ] = None
    columns: Annotated[
        list[str] | None,
        _option("--map", metavar="OURS=THEIRS", help="Our field is their column: item_id=product_id; repeatable."),
    ] = None
    constants: Annotated[
        list[str] | None,
        _option("--constant", metavar="OURS=TEXT", help="The same in every row: event_type=view; repeatable."),
    ] = None
    types: Annotated[
        list[str] | None,
        _option(
            "--types",
            metavar="THEIRS=OURS",
            help=f"Their event type is ours: addtocart=cart; '{SKIP}' leaves such rows out; repeatable.",
        ),
    ] = None
    time_unit: Annotated[
        str,
        _option(
            "--time-unit",
            metavar="UNIT",
            help=f"Of timestamp_ms: {', '.join(TIME_UNITS)}; else ms, or as the mapping says.",
        ),
    ] = ""
    time_zone: Annotated[
        str, _option("--time-zone", metavar="ZONE", help="Of iso times that name none: Europe/Berlin; else UTC.")
    ] = "UTC"
    format: Annotated[str, _option("--format", metavar="KIND", help=f"{', '.join(FORMATS)}; else by the name.")] = ""
    delimiter: Annotated[
        str, _option("--delimiter", metavar="CHAR", help="Of CSV; '\\t' or 'tab'; else recognised.")
    ] = ""
    encoding: Annotated[
        str, _option("--encoding", metavar="NAME", help="Of CSV and JSON: latin-1; else recognised.")
    ] = ""
    sort: Annotated[
        bool,
        _option("--sort", help="In order of time: reads everything first, and keeps it on disk meanwhile (TMPDIR)."),
    ] = False
    limit: Annotated[int | None, _option("--limit", metavar="N", min=1, help="Only the first N rows.")] = None
    strict: Annotated[
        bool, _option("--strict", help="Refuse at the first row that is no valid event, and say where.")
    ] = False

    def reading(self, earliest_ms: int) -> Reading:
        """What they say. Whether there are such names, types, units, zones and encodings is for the reader to say.

        Raises:
            UsageError: a pair is none, contradicts another one, or the delimiter is no character.
        """
        delimiter = DELIMITERS.get(self.delimiter.lower(), self.delimiter)
        if len(delimiter) > 1 or delimiter in ('"', "\r", "\n"):
            raise UsageError(f"--delimiter {delimiter!r}: one character, as in --delimiter ';' (\\t or tab for a tab)")
        return Reading(
            preset=self.preset,
            mapping=self.mapping,
            columns=_pairs("--map", "item_id=product_id", self.columns),
            constants=_pairs("--constant", "event_type=view", self.constants),
            types=_pairs("--types", "addtocart=cart", self.types),
            time_unit=self.time_unit,
            time_zone=self.time_zone,
            format=self.format,
            delimiter=delimiter,
            encoding=self.encoding,
            sort=self.sort,
            earliest_ms=earliest_ms,
        )


def print_note(sentence: str) -> None:
    """Say what was recognised in a file."""
    err.print(f"Note: {sentence}", soft_wrap=True)


def _pairs(option: str, example: str, pairs: Sequence[str] | None) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value):
            raise UsageError(f"{option} {pair}: write two names with = between them, as in {option} {example}")
        if found.setdefault(name, value) != value:
            raise UsageError(f"{option}: {name} cannot be both {found[name]!r} and {value!r}")
    return found
