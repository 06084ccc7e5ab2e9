"""What the columns of a file are called, what its event types are, and what all its rows have in common.

A mapping is a TOML file: those of ``presets`` ship with the package, and a person may write their own. A file may come
in several shapes (clicks and purchases apart, with and without a header); the first one that fits is taken.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from typing import Literal

import msgspec

from sie_online.contracts import EVENT_TYPES
from sie_online.errors import UsageError
from sie_online.ingest.sources.reading import FORMATS, SKIP, TIME_UNITS, Reading
from sie_online.ingest.sources.times import zone_of
from sie_online.ingest.sources.values import FIELDS, REQUIRED

PRESETS = ("taobao", "retailrocket", "rees46", "yoochoose", "movielens", "amazon-reviews")
PLACEHOLDERS = ("{file}", "{line}", "{row}")


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A shape as a TOML file spells it."""

    names: tuple[str, ...] = ()
    map: dict[str, str] = {}
    constants: dict[str, str] = {}
    types: dict[str, str] = {}
    time_unit: Literal["", "s", "ms", "us", "ns", "iso", "auto"] = ""


class _WrittenFile(_Written, forbid_unknown_fields=True):
    """The whole file; what stands outside of a ``[[shape]]`` holds for each of them."""

    about: str = ""
    source: str = ""
    shape: list[_Written] = []


@dataclass(frozen=True, slots=True)
class Shape:
    """One way in which a file may be laid out.

    Attributes:
        names: its columns in order, where it has no header.
        columns: our name to the file's.
        constants: our name to what all rows have there.
        types: the file's event types to ours, or ``skip``.
        time_unit: of ``timestamp_ms``.
        demanded: our names that a person has asked for: their columns must be there.
    """

    names: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    time_unit: str = "ms"
    demanded: frozenset[str] = frozenset()

    @property
    def is_plain(self) -> bool:
        """Whether a row that is an event in JSON may go as it is."""
        return not (self.columns or self.constants or self.types) and self.time_unit == "ms"

    def source(self, name: str) -> str:
        """The file's name of our column."""
        return self.columns.get(name, name)

    def missing(self, names: Collection[str]) -> list[str]:
        """Columns that a file with columns ``names`` lacks, as they should be called there."""
        needed = (name for name in FIELDS if name in REQUIRED or name in self.demanded)
        return [self.source(name) for name in needed if name not in self.constants and self.source(name) not in names]

    def overlaid(self, over: _Written | Reading, *, demanded: bool) -> Shape:
        """This with what ``over`` says laid on top; what it names is ``demanded``, or may be absent."""
        columns, constants = (over.columns, over.constants) if isinstance(over, Reading) else (over.map, over.constants)
        return replace(
            self,
            names=self.names if isinstance(over, Reading) else over.names or self.names,
            columns={name: theirs for name, theirs in self.columns.items() if name not in constants} | dict(columns),
            constants={name: text for name, text in self.constants.items() if name not in columns} | dict(constants),
            types=dict(self.types) | dict(over.types),
            time_unit=over.time_unit or self.time_unit,
            demanded=self.demanded | (set(columns) if demanded else set()),
        )


def shapes_of(reading: Reading) -> Sequence[Shape]:
    """The shapes that a file may have under ``reading``, most likely first.

    Raises:
        UsageError: the preset is unknown, a mapping cannot be read, or something in it or in ``reading`` is no name
            that there is.
    """
    shapes: list[Shape] = [Shape()]
    if reading.preset:
        if reading.preset not in PRESETS:
            raise UsageError(f"preset {reading.preset!r} is unknown: {', '.join(PRESETS)}")
        text = files("sie_online.ingest.sources").joinpath("presets", f"{reading.preset}.toml").read_text("utf-8")
        shapes = _laid_over(shapes, _parsed(text, f"preset {reading.preset}"), demanded=False)
    if reading.mapping is not None:
        try:
            text = reading.mapping.read_text("utf-8")
        except (OSError, UnicodeError) as error:
            raise UsageError(f"mapping {reading.mapping} cannot be read: {error}") from None
        shapes = _laid_over(shapes, _parsed(text, f"mapping {reading.mapping}"), demanded=True)
    shapes = [shape.overlaid(reading, demanded=True) for shape in shapes]
    for shape in shapes:
        _check(shape)
    _check_reading(reading)
    return shapes


def _laid_over(shapes: list[Shape], written: _WrittenFile, *, demanded: bool) -> list[Shape]:
    common = [shape.overlaid(written, demanded=demanded) for shape in shapes]
    if not written.shape:
        return common
    return [shape.overlaid(one, demanded=demanded) for shape in common for one in written.shape]


def _parsed(text: str, what: str) -> _WrittenFile:
    try:
        return msgspec.convert(tomllib.loads(text), _WrittenFile)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        known = "map, constants, types, names, time_unit, about, source and [[shape]]"
        raise UsageError(f"{what}: {error}; a mapping may hold {known}") from None


def _check(shape: Shape) -> None:
    if unknown := sorted((set(shape.columns) | set(shape.constants)) - set(FIELDS)):
        raise UsageError(f"{', '.join(unknown)} is no field of an event: {', '.join(FIELDS)}")
    if wrong := {theirs: ours for theirs, ours in shape.types.items() if ours not in (*EVENT_TYPES, SKIP)}:
        theirs, ours = next(iter(wrong.items()))
        raise UsageError(f"event type {theirs}={ours}: {ours!r} is none of {', '.join(EVENT_TYPES)}, nor {SKIP}")
    constant = shape.constants.get("event_type", EVENT_TYPES[0])
    if constant not in EVENT_TYPES:
        raise UsageError(f"event_type {constant!r} is none of {', '.join(EVENT_TYPES)}")
    for name, text in shape.constants.items():
        if unknown := [word for word in re.findall(r"\{\w*\}", text) if word not in PLACEHOLDERS]:
            raise UsageError(f"{name}={text}: {unknown[0]} stands for nothing; {', '.join(PLACEHOLDERS)} do")


def _check_reading(reading: Reading) -> None:
    for what, value, known in (("format", reading.format, FORMATS), ("time unit", reading.time_unit, TIME_UNITS)):
        if value and value not in known:
            raise UsageError(f"{what} {value!r} is unknown: {', '.join(known)}")
    zone_of(reading.time_zone)
    if reading.encoding:
        try:
            "".encode(reading.encoding)  # a codec that is no text encoding is refused by this, too
        except LookupError:
            raise UsageError(f"encoding {reading.encoding!r} is unknown: utf-8, cp1252, gb18030, …") from None


def why_unfit(shapes: Sequence[Shape], file: str, names: Sequence[str]) -> UsageError:
    """Why no shape fits a file with the columns ``names``, and what to do about it."""
    missing = min((shape.missing(names) for shape in shapes), key=len)
    has = f"it has {', '.join(names) or 'none'}"
    if preset := preset_for(names):
        return UsageError(f"{file} lacks the column(s) {', '.join(missing)}; {has}: --preset {preset} reads it")
    ways = [f"--map {name}=COLUMN" for name in missing if name in REQUIRED and name != "event_id"]
    if "event_id" in missing:
        ways.append("--constant event_id={file}:{line}")
    advice = f" ({' '.join(ways)}, or a --preset, names them)" if ways else ""
    return UsageError(f"{file} lacks the column(s) {', '.join(missing)}; {has}{advice}")


def preset_for(names: Sequence[str]) -> str:
    """The preset that reads a file with these columns, or, without a header, this first row; empty if none does."""
    for preset in PRESETS:
        for shape in shapes_of(Reading(preset=preset)):
            row = dict(zip(shape.names, names, strict=False)) if len(shape.names) == len(names) else {}
            if not shape.missing(names) or row.get(shape.source("event_type")) in shape.types:
                return preset
    return ""


def repeated(names: Sequence[str], wanted: Collection[str], file: str) -> None:
    """Refuse a file in which a column that is to be read is there twice.

    Raises:
        UsageError: names it.
    """
    for name in wanted:
        if list(names).count(name) > 1:
            raise UsageError(f"{file} has several columns called {name}: which one counts? Rename the others")
