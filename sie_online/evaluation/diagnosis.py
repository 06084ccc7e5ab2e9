"""Why nothing in a source is a valid event: the likely cause, by what its dead letters say.

Speaks to the person who has the source before them, so it may quote names, event types and times out of it.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from sie_online.contracts import EVENT_TYPES
from sie_online.ingest.events import DeadLetter, Event
from sie_online.ingest.sources.mapping import preset_for
from sie_online.moments import moment
from sie_online.settings import Settings

REQUIRED = tuple(each.name for each in msgspec.structs.fields(Event) if each.required)
NAMES_SHOWN = 20
TYPES_SHOWN = 5
FINER = (1_000, 1_000_000, 1_000_000_000)
"""Seconds to milliseconds, and what has been taken for the one instead of a finer one."""


class Cause(enum.Enum):
    """What makes a record no event."""

    NAMES = enum.auto()
    TYPE = enum.auto()
    EARLY = enum.auto()
    LATE = enum.auto()
    OTHER = enum.auto()


@dataclass(frozen=True, slots=True)
class _Case:
    """The first dead letter of a cause, and the fields that its value has."""

    place: str
    detail: str
    fields: Mapping[str, Any]
    letter: DeadLetter


class Diagnosis:
    """Goes by the dead letters of a source in which no valid event was seen."""

    def __init__(self, settings: Settings) -> None:
        self._earliest_ms = settings.limits.earliest_ms
        self._future_ms = round(settings.limits.future_s * 1_000)
        self._counts: Counter[Cause] = Counter()
        self._first: dict[Cause, _Case] = {}
        self._types: Counter[str] = Counter()

    def note(self, place: str, detail: str, letter: DeadLetter) -> None:
        """Take in one dead letter: where it stands, and why it is one."""
        fields = _fields(letter.value)
        cause = self._cause(fields, letter)
        self._counts[cause] += 1
        self._first.setdefault(cause, _Case(place, detail, fields, letter))
        if cause is Cause.TYPE and (len(self._types) < TYPES_SHOWN or fields["event_type"] in self._types):
            self._types[fields["event_type"]] += 1

    def sentence(self) -> str:
        """What is wrong, and the way out."""
        total = self._counts.total()
        if not total:
            return "the source holds no event"
        cause, count = self._counts.most_common(1)[0]
        if 2 * count <= total:
            cause = Cause.OTHER
        first = self._first.get(cause) or next(iter(self._first.values()))
        return f"none of the {total:,} records is a valid event: {self._explanation(cause, first).rstrip(':; ')}"

    def _cause(self, fields: Mapping[str, Any], letter: DeadLetter) -> Cause:
        if not fields:
            return Cause.OTHER
        if any(fields.get(name) is None for name in REQUIRED):
            return Cause.NAMES
        if isinstance(fields["event_type"], str) and fields["event_type"] not in EVENT_TYPES:
            return Cause.TYPE
        time_ms = fields["timestamp_ms"]
        if isinstance(time_ms, int) and time_ms < self._earliest_ms:
            return Cause.EARLY
        if isinstance(time_ms, int) and time_ms > letter.timestamp_ms + self._future_ms:
            return Cause.LATE
        return Cause.OTHER

    def _explanation(self, cause: Cause, first: _Case) -> str:
        match cause:
            case Cause.NAMES:
                return _of_names(first)
            case Cause.TYPE:
                return self._of_types()
            case Cause.EARLY:
                return self._of_early(first)
            case Cause.LATE:
                return self._of_late(first)
            case Cause.OTHER:
                return f"the first one is at {first.place}: {first.letter.reason}: {first.detail}"

    def _of_types(self) -> str:
        theirs = [name for name, _ in self._types.most_common()]
        ours = next((name for name in EVENT_TYPES if name in theirs[0].lower()), "…")
        shown = ", ".join(map(repr, theirs))
        return f"event_type is {shown}, ours are {', '.join(EVENT_TYPES)}: --types {theirs[0]}={ours}"

    def _of_early(self, first: _Case) -> str:
        time_ms = first.fields["timestamp_ms"]
        meant = next((time_ms * times for times in FINER if self._is_plausible(time_ms * times, first.letter)), None)
        earliest, right = moment(self._earliest_ms)[:10], f"--set limits.earliest={moment(time_ms)[:10]}"
        return (
            f"their times lie before limits.earliest ({earliest}), the first reads as {moment(time_ms)}"
            f" ({first.place}): {_unit(meant)}if it is right, {right}"
        )

    def _of_late(self, first: _Case) -> str:
        time_ms = first.fields["timestamp_ms"]
        meant = next((time_ms // by for by in FINER if self._is_plausible(time_ms // by, first.letter)), None)
        return f"their times lie in the future, the first reads as {moment(time_ms)} ({first.place}): {_unit(meant)}"

    def _is_plausible(self, time_ms: int, letter: DeadLetter) -> bool:
        return self._earliest_ms <= time_ms <= letter.timestamp_ms + self._future_ms


def _of_names(first: _Case) -> str:
    missing = [name for name in REQUIRED if first.fields.get(name) is None]
    found = list(first.fields)[:NAMES_SHOWN]
    preset = preset_for(list(first.fields))
    way = f"--preset {preset} reads it" if preset else f"--map {missing[0]}=… says which of them it is"
    is_are = "is" if len(missing) == 1 else "are"
    return f"{', '.join(missing)} {is_are} missing ({first.place}); it has {', '.join(found)}: {way}"


def _unit(meant_ms: int | None) -> str:
    return "" if meant_ms is None else f"if {moment(meant_ms)} is meant, say the --time-unit; "


def _fields(value: bytes | None) -> Mapping[str, Any]:
    try:
        decoded = msgspec.json.decode(value or b"")
    except (ValueError, RecursionError):
        return {}
    return decoded if isinstance(decoded, dict) else {}
