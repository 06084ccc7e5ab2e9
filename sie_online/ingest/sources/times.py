"""Times of events as people write them, as milliseconds since 1970."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sie_online.errors import UsageError
from sie_online.ingest.sources.values import NULLS

PER_MS = {"s": (1_000, 1), "ms": (1, 1), "us": (1, 1_000), "ns": (1, 1_000_000)}
"""How a number of a unit becomes ms: times the first, by the second."""
WORDS = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "iso": "dates in words (ISO 8601)",
}
LATEST_MS = 4_102_444_800_000
"""2100: a unit in which a column lies beyond is not its unit."""
UTC_SUFFIXES = (" UTC", " GMT", "UTC")


class Milliseconds(list[int | None]):
    """Times that are known to be in ms already, since their type said so."""


def zone_of(name: str) -> Any:
    """The time zone of that name.

    Raises:
        UsageError: there is none.
    """
    if name.upper() in ("UTC", "Z"):
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"time zone {name!r} is unknown: write it as Europe/Berlin, or UTC") from None


class TimeReader:
    """Reads the times of one file in one unit, which its first values must bear out.

    Args:
        file: what it is called in messages.
        column: what the column is called there.
        unit: ``s``, ``ms``, ``us``, ``ns``, ``iso``, or ``auto``: as the first values say.
        zone: of ``iso`` times that name none.
        earliest_ms: no event's time is earlier.
    """

    def __init__(self, file: str, column: str, unit: str, zone: Any, earliest_ms: int) -> None:
        self._file, self._column = file, column
        self._unit, self._zone, self._earliest_ms = unit, zone, earliest_ms
        self._is_checked = False

    def milliseconds(self, values: Sequence[Any]) -> list[Any]:
        """``values`` in ms; what is no time stays what it is.

        Raises:
            UsageError: the first values speak for another unit, or, where it is to be found out, for none.
        """
        if isinstance(values, Milliseconds):
            return values
        if not self._is_checked:
            self.check(values)
        if self._unit == "iso":
            return [_iso(value, self._zone) for value in values]
        times, by = PER_MS[self._unit]
        if not all(isinstance(value, str | int) for value in values[:1]):
            return [_scaled(value, times, by) for value in values]
        try:
            numbers = list(map(int, values))
        except (ValueError, TypeError):  # not all are there, or not all are whole numbers
            return [_scaled(value, times, by) for value in values]
        return numbers if times == by else [number * times // by for number in numbers]

    def check(self, values: Sequence[Any]) -> None:
        """See whether the first values of a file bear the unit out."""
        given = [value for value in values if value is not None and value != ""]
        if not given:
            return
        self._is_checked = True
        found = self._found(given)
        if self._unit == "auto":
            if not found:
                raise UsageError(
                    f"{self._file}: cannot tell what {self._column} counts ({given[0]!r} …): say so with --time-unit"
                )
            self._unit = found
        elif found not in ("", self._unit) and not self._plausible(given, self._unit):
            raise UsageError(
                f"{self._file}: {self._column} seems to hold {WORDS[found]}, not {WORDS[self._unit]}"
                f"{self._as_read(given[0])}: --time-unit {found} reads it"
            )

    def _found(self, values: Sequence[Any]) -> str:
        """The unit in which most values are times of events; empty if in none."""
        share = {unit: self._plausible(values, unit) for unit in WORDS}
        best = max(share, key=share.__getitem__)
        return best if share[best] > len(values) / 2 else ""

    def _plausible(self, values: Sequence[Any], unit: str) -> int:
        return sum(
            isinstance(time, int) and self._earliest_ms <= time <= LATEST_MS
            for time in (
                _iso(value, self._zone) if unit == "iso" else _scaled(value, *PER_MS[unit]) for value in values
            )
        )

    def _as_read(self, value: Any) -> str:
        time = None if self._unit == "iso" else _scaled(value, *PER_MS[self._unit])
        try:
            day = datetime.fromtimestamp(time / 1_000, UTC).date() if isinstance(time, int) else None
        except (ValueError, OverflowError, OSError):
            day = None
        return f" ({value} would be {day})" if day else ""


def _scaled(value: Any, times: int, by: int) -> Any:
    """A number, or the text of one, in ms; None where there is none; anything else as it is."""
    if (isinstance(value, str) and value in NULLS) or value != value:
        return None
    number = _number(value)
    if isinstance(number, int):
        return number * times // by
    return math.floor(number * times / by) if isinstance(number, float) and math.isfinite(number) else value


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return None if isinstance(value, bool) else value
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return None


def _iso(value: Any, zone: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text in NULLS:
        return None
    for suffix in UTC_SUFFIXES:
        if text.endswith(suffix):
            text = text.removesuffix(suffix) + "+00:00"
            break
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return value
    return round((when if when.tzinfo else when.replace(tzinfo=zone)).timestamp() * 1_000)
