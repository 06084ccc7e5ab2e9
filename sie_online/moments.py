"""Moments of time as text for people."""

from __future__ import annotations

import datetime


def moment(time_ms: int) -> str:
    """Seconds in UTC; what no calendar holds comes as a number."""
    try:
        return datetime.datetime.fromtimestamp(time_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"
