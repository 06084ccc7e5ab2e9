"""How event files are to be read: what a person says on the command line, all of it optional."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

FORMATS = ("csv", "jsonl", "json", "parquet")
TIME_UNITS = ("s", "ms", "us", "ns", "iso", "auto")
SKIP = "skip"
"""The event type of rows that are to be left out."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read event files; what is left empty is recognised, or the preset's, or the documented schema's.

    Attributes:
        preset: name of a mapping that ships with the package (``PRESETS``).
        mapping: TOML file of the same content; laid over the preset.
        columns: our name to the file's (``{"item_id": "product_id"}``); laid over both.
        constants: our name to a text for all rows, in which ``{file}``, ``{line}`` (or the row, from 1) and ``{row}``
            (of all files together, from 0) stand for where the row is.
        types: the file's event types to ours, or to ``skip``.
        time_unit: of the column ``timestamp_ms``, one of ``TIME_UNITS``; ``ms`` unless a mapping says otherwise.
        time_zone: of ``iso`` times that name none.
        format: one of ``FORMATS``.
        delimiter: of CSV.
        encoding: of CSV and JSON, as Python names it.
        sort: read everything first, and then give it in order of time.
        earliest_ms: what is earlier is no event's time, ms since 1970; only for recognising a unit of time.
    """

    preset: str = ""
    mapping: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    time_unit: str = ""
    time_zone: str = "UTC"
    format: str = ""
    delimiter: str = ""
    encoding: str = ""
    sort: bool = False
    earliest_ms: int = 788_918_400_000
