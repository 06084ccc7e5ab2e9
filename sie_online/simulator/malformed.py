"""Records that no consumer can read: each kind must end as exactly one dead letter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from sie_online.ingest.wire import WireRecord

Fields = dict[str, Any]
YEAR_2100_MS = 4_102_444_800_000
YEAR_1990_MS = 631_152_000_000


def _without(name: str) -> Callable[[Fields], WireRecord]:
    return lambda event: _encoded({key: value for key, value in event.items() if key != name}, event)


def _with(**changes: Any) -> Callable[[Fields], WireRecord]:
    return lambda event: _encoded({**event, **changes}, event)


def _raw(value: bytes | None) -> Callable[[Fields], WireRecord]:
    return lambda event: WireRecord(_key(event), value)


def _replaced(old: bytes, new: bytes) -> Callable[[Fields], WireRecord]:
    return lambda event: WireRecord(_key(event), msgspec.json.encode(event).replace(old, new))


def _encoded(fields: Fields, event: Fields) -> WireRecord:
    return WireRecord(_key(event), msgspec.json.encode(fields))


def _key(event: Fields) -> bytes:
    return str(event["user_id"]).encode()


def _nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"a": value}
    return value


MALFORMED: dict[str, Callable[[Fields], WireRecord]] = {
    "bad_utf8": _replaced(b'"view"', b'"vi\xff\xfew"'),
    "bad_json": lambda event: WireRecord(_key(event), msgspec.json.encode(event)[:-9]),
    "no_json": _raw(b"user=17&item=4"),
    "empty_value": _raw(b""),
    "null_value": _raw(None),
    "not_an_object": _raw(b"[1, 2, 3]"),
    "missing_item": _without("item_id"),
    "missing_time": _without("timestamp_ms"),
    "missing_event_id": _without("event_id"),
    "wrong_type": _with(timestamp_ms="yesterday"),
    "unknown_event_type": _with(event_type="teleport"),
    "empty_user": _with(user_id=""),
    "key_is_not_user": lambda event: WireRecord(b"someone-else", msgspec.json.encode(event)),
    "null_key": lambda event: WireRecord(None, msgspec.json.encode(event), 0),
    "far_future": _with(timestamp_ms=YEAR_2100_MS),
    "far_past": _with(timestamp_ms=YEAR_1990_MS),
    "nan_price": lambda event: WireRecord(_key(event), _open(event) + b',"price":NaN}'),
    "infinite_price": lambda event: WireRecord(_key(event), _open(event) + b',"price":1e999}'),
    "nested_attributes": _with(attributes=_nested(400)),
    "endless_id": _with(item_id="x" * 100_000),
    "endless_value": _with(query="q" * 300_000),
}
"""By name, what turns a valid event into the record; every one violates the contract of ``sie.events``."""

NO_LINES = {"empty_value", "null_value", "key_is_not_user", "null_key"}
"""Malformed as records only: in a file without keys they would be blank lines or valid events."""


def _open(event: Fields) -> bytes:
    return msgspec.json.encode({key: value for key, value in event.items() if key != "price"})[:-1]


def malformed(nth: int, event: Fields) -> WireRecord:
    """The ``nth`` malformed record (kinds take turns), made from a valid event."""
    makers = list(MALFORMED.values())
    return makers[nth % len(makers)](event)


def malformed_line(nth: int, event: Fields) -> WireRecord:
    """The ``nth`` malformed record of a file, whose value alone is a fault."""
    makers = [make for name, make in MALFORMED.items() if name not in NO_LINES]
    return makers[nth % len(makers)](event)
