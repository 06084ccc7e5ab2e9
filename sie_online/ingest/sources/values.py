"""Values of rows as JSON may say them: ids as text, numbers as numbers, and nothing where nothing was logged.

What cannot be made sense of stays what it is: the worker's decoder will refuse it, by its own word.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

NULLS = frozenset(("", "\\N", "NULL", "null", "NaN", "nan", "None"))
"""Words by which text files say that there is no value."""


def identifiers(values: Sequence[Any]) -> list[Any]:
    """Ids: text and integers as they are."""
    try:
        if _are_texts(values) and NULLS.isdisjoint(values):
            return list(values)
    except TypeError:
        pass  # a list among them, say
    return [(None if value in NULLS else value) if type(value) is str else _identifier(value) for value in values]


def _identifier(value: Any) -> Any:
    if isinstance(value, float):
        return None if value != value else value
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return str(value) if isinstance(value, uuid.UUID) else value


def texts(values: Sequence[Any]) -> list[Any]:
    """Text that may hold any word, ``null`` among them."""
    return [None if value in ("", "\\N") or value != value else value for value in values]


def numbers(values: Sequence[Any]) -> list[Any]:
    """Numbers, and text that spells one; NaN is none."""
    plain = _spelled(float, values) or values
    try:
        if math.isfinite(sum(filter(None, plain))):
            return list(plain)
    except TypeError:
        pass  # text among them
    return [_number(value) for value in values]


def integers(values: Sequence[Any]) -> list[Any]:
    """The same, whole numbers as integers."""
    if spelled := _spelled(int, values):
        return spelled
    return [int(value) if isinstance(value, float) and value.is_integer() else value for value in numbers(values)]


def _spelled(kind: Callable[[str], Any], values: Sequence[Any]) -> list[Any]:
    """What texts spell; empty unless all of them do, or are empty."""
    if not _are_texts(values):
        return []
    try:
        return [kind(value) if value else None for value in values]
    except (ValueError, TypeError):
        return []


def _are_texts(values: Sequence[Any]) -> bool:
    return bool(values) and type(values[0]) is str and type(values[-1]) is str


def _number(value: Any) -> Any:
    if type(value) is str:
        if value in NULLS:
            return None
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)  # JSON has no word for it
    return value


def words(values: Sequence[Any]) -> list[Any]:
    """Names of event types: text without blanks around it."""
    try:
        return [value.strip() or None for value in values]
    except AttributeError:
        return [value.strip() or None if isinstance(value, str) else value for value in values]


def attributes(values: Sequence[Any]) -> list[Any]:
    """A map as it is, its entries that are null left out; text as the JSON that it spells."""
    return [_entries(value) for value in values]


def _entries(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return None if value in NULLS else msgspec.json.decode(value)
        except ValueError:
            return value
    if isinstance(value, list) and all(isinstance(entry, tuple) for entry in value):  # Arrow's map
        value = dict(value)
    if not isinstance(value, dict):
        return value
    return {str(name): entry for name, entry in value.items() if entry is not None and entry == entry}


CONVERT: dict[str, Callable[[Sequence[Any]], list[Any]]] = {
    "event_id": identifiers,
    "user_id": identifiers,
    "item_id": identifiers,
    "event_type": words,
    "category_id": identifiers,
    "session_id": identifiers,
    "query": texts,
    "position": integers,
    "propensity": numbers,
    "price": numbers,
    "dwell_ms": numbers,
    "rating": numbers,
    "attributes": attributes,
}
"""How values of each column are read; ``timestamp_ms`` has a reader of its own (`sie_online.ingest.sources.times`)."""
REQUIRED = ("event_id", "user_id", "item_id", "event_type", "timestamp_ms")
FIELDS = (*REQUIRED, *(name for name in CONVERT if name not in REQUIRED))
