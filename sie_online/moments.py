"""Units of time in ms; moments and spans of time as text for people."""

from __future__ import annotations

import datetime

SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000


def moment(time_ms: int) -> str:
    """Seconds in UTC; what no calendar holds comes as a number."""
    try:
        return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"


def span(ms: float) -> str:
    """A span of time in the unit that suits it."""
    for name, unit_ms in (("d", DAY_MS), ("h", HOUR_MS), ("min", MINUTE_MS)):
        if ms >= 2 * unit_ms:
            return f"{ms / unit_ms:,.1f}".removesuffix(".0") + f" {name}"
    return f"{ms / SECOND_MS:g} s"
