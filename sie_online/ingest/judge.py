"""The judgement whether a record's fields are a valid event, whatever format they were read from.

Reasons come from the values themselves, looked at field by field; a message's text is for people only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import get_type_hints

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import ERASE, EVENT_TYPES, HEARTBEAT, LAST_MS, POSITION_MAX
from sie_online.ingest.events import Erase, Event, Heartbeat, Reason, RefusedError, struct_of
from sie_online.ingest.parser import EVENT_ID, ITEM_ID, SESSION_ID, USER_ID, ParserLimits
from sie_online.ingest.records import RecordBatch
from sie_online.moments import moment
from sie_online.pseudonyms import HEX_BYTES

NUMBERS = ("position", "propensity", "price", "dwell_ms", "rating")

_STRUCTS = (Event, Heartbeat, Erase)
_BOUNDED = {struct: get_type_hints(struct, include_extras=True) for struct in _STRUCTS}
_UNBOUNDED = {struct: get_type_hints(struct) for struct in _STRUCTS}


class Judge:
    """Judges under one set of limits. A heartbeat may lie ``beat_future_ms`` after its record's Kafka timestamp."""

    def __init__(self, limits: ParserLimits, beat_future_ms: int) -> None:
        self._limits = limits
        self._beat_future_ms = beat_future_ms

    def judged(self, fields: object, key: bytes | None, stamp_ms: int) -> tuple[Event, int]:
        """The event (heartbeat or erasure, which have no other field than theirs) that ``fields`` are, and how many of
        its attributes were dropped.

        Args:
            fields: what a format has read.
            key: of the record.
            stamp_ms: Kafka's timestamp of it.

        Raises:
            RefusedError: it is none.
        """
        event, dropped = self._event(fields)
        if event.event_type == ERASE:
            self._check_id("user_id", event.user_id, 1, max(self._limits.id_bytes, HEX_BYTES))
        elif event.event_type == HEARTBEAT:
            self._check_time(event, stamp_ms, self._beat_future_ms)
        else:
            self._check(event, key, stamp_ms)
        return event, dropped

    def _event(self, fields: object) -> tuple[Event, int]:
        if isinstance(fields, Event):
            return fields, 0
        found = fields if isinstance(fields, Heartbeat | Erase) else _converted(fields)
        if isinstance(found, Heartbeat):
            return Event("", "", "", HEARTBEAT, found.timestamp_ms), 0  # type: ignore[arg-type]  # a type of its own
        if isinstance(found, Erase):
            return Event("", found.user_id, "", ERASE, 0), 0  # type: ignore[arg-type]  # likewise
        for name in NUMBERS:
            if (number := getattr(found, name)) is not None and not math.isfinite(number):
                raise RefusedError(Reason.OUT_OF_RANGE, f"Number out of range - at `$.{name}`")
        return found, self._unreadable(fields.get("attributes") if isinstance(fields, Mapping) else None)

    def _unreadable(self, attributes: object) -> int:
        """How many of ``attributes`` are neither text, number, boolean nor null."""
        if attributes is None:
            return 0
        if not isinstance(attributes, Mapping):
            return 1
        self._check_number(attributes)
        return sum(not (isinstance(name, str) and _is_readable(entry)) for name, entry in attributes.items())

    def _check(self, event: Event, key: bytes | None, stamp_ms: int) -> None:
        """Refuse what types and bounds do not tell."""
        for name, least in (("event_id", 1), ("user_id", 1), ("item_id", 1), ("category_id", 0)):
            self._check_id(name, getattr(event, name), least, self._limits.id_bytes)
        self._check_time(event, stamp_ms, self._limits.future_ms)
        if key != spelling(event.user_id):
            raise RefusedError(Reason.KEY_MISMATCH, "the record's key is not its user_id in UTF-8")
        self._check_number(event.attributes or {})

    def _check_number(self, attributes: Mapping[str, object]) -> None:
        if len(attributes) > self._limits.attributes:
            raise RefusedError(
                Reason.OUT_OF_RANGE, f"{len(attributes)} attributes; {self._limits.attributes} are allowed"
            )

    def _check_id(self, name: str, identifier: str | int | None, least: int, most: int) -> None:
        size = len(spelling(identifier))
        if not least <= size <= most:
            raise RefusedError(Reason.BAD_ID, f"{name} has {size} bytes; {least} to {most} are allowed")

    def _check_time(self, event: Event, stamp_ms: int, future_ms: int) -> None:
        if event.timestamp_ms < self._limits.earliest_ms:
            earlier = f"is before limits.earliest ({moment(self._limits.earliest_ms)})"
            raise RefusedError(Reason.BAD_TIMESTAMP, f"timestamp_ms {event.timestamp_ms} {earlier}")
        if event.timestamp_ms > stamp_ms + future_ms:
            later = f"is over {future_ms / 1000:g} s later than its record"
            raise RefusedError(Reason.BAD_TIMESTAMP, f"timestamp_ms {event.timestamp_ms} {later}")


def admit(
    limits: ParserLimits,
    batch: RecordBatch,
    columns: NDArray[np.void],
    spans: NDArray[np.int64],
    sure: NDArray[np.bool_],
) -> None:
    """Be unsure again of rows that a ``Judge`` might refuse: for formats that read fast and judge nothing."""
    rows = np.flatnonzero(sure)
    event, ids, values = columns[rows], spans[rows], batch.values[rows]
    sizes = ids[..., 1] - ids[..., 0]
    good = (values[:, 0] >= 0) & (values[:, 1] - values[:, 0] <= limits.value_bytes)
    good &= (sizes[:, :SESSION_ID] <= limits.id_bytes).all(axis=1) & (sizes >= 0).all(axis=1)
    good &= (sizes[:, [EVENT_ID, USER_ID, ITEM_ID]] > 0).all(axis=1)
    good &= (event["etype"] >= 0) & (event["etype"] < len(EVENT_TYPES))
    last_ms = np.minimum(batch.timestamps_ms[rows] + limits.future_ms, LAST_MS)
    good &= (event["time_ms"] >= limits.earliest_ms) & (event["time_ms"] <= last_ms)
    for name, least, most in (("position", 0, POSITION_MAX), ("propensity", 0, 1), ("price", 0, np.inf)):
        good &= _is_within(event[name], least, most)
    good &= _is_within(event["dwell_ms"], 0, np.inf) & _is_within(event["rating"], -np.inf, np.inf)
    good &= event["propensity"] != 0
    good &= np.isnan(event["position"]) | (np.floor(event["position"]) == event["position"])
    places = zip(rows[good].tolist(), ids[good, USER_ID].tolist(), strict=True)
    good[good] = [batch.key(row) == batch.buffer[first:last] for row, (first, last) in places]
    sure[rows] = good


def _is_within(numbers: NDArray[np.float64], least: float, most: float) -> NDArray[np.bool_]:
    """Which are absent, or finite and in [least, most]."""
    return np.isnan(numbers) | (np.isfinite(numbers) & (numbers >= least) & (numbers <= most))


def spelling(identifier: str | int | None) -> bytes:
    """An id's text in UTF-8: decimal for integers, empty for None."""
    return b"" if identifier is None else str(identifier).encode()


def _is_readable(entry: object) -> bool:
    if entry is None or isinstance(entry, str | bool):
        return True
    try:
        return isinstance(entry, int | float) and math.isfinite(entry)
    except OverflowError:  # an integer beyond a float
        return False


def _converted(fields: object) -> Event | Heartbeat | Erase:
    if not isinstance(fields, Mapping):
        raise RefusedError(Reason.WRONG_TYPE, f"Expected `object`, got `{type(fields).__name__}`")
    kind = struct_of(fields.get("event_type"))
    try:
        return msgspec.convert({**fields, "attributes": None} if kind is Event else fields, kind)
    except msgspec.ValidationError:
        raise refusal(fields, kind) from None


def refusal(fields: Mapping[str, object], kind: type[Event | Heartbeat | Erase]) -> RefusedError:
    """Why ``fields``, which msgspec refuses, are none of ``kind``: the first faulty field decides."""
    for name, value in fields.items():
        if kind is Erase and name not in ("event_type", "user_id"):
            return RefusedError(Reason.WRONG_TYPE, f"a record of type {ERASE} has a user_id and nothing else")
        if name in _BOUNDED[kind] and name != "attributes":  # in these nothing is a fault
            fault = _fault(name, value, kind)
            if fault is not None:
                return fault
    for field in msgspec.structs.fields(kind):
        if field.required and field.name not in fields:
            return RefusedError(Reason.MISSING_FIELD, f"Object missing required field `{field.name}`")
    return RefusedError(Reason.WRONG_TYPE, "a field is there twice, once with a fault, or has a name that is no text")


def _fault(name: str, value: object, kind: type[Event | Heartbeat | Erase]) -> RefusedError | None:
    """What is wrong with ``value`` as field ``name``; None if nothing is."""
    is_endless = isinstance(value, float) and not math.isfinite(value)
    said = "Number out of range" if is_endless else _misfit(value, _BOUNDED[kind][name])
    if said is None:
        return None
    if name == "event_type" and isinstance(value, str):  # msgspec would quote it
        return RefusedError(Reason.WRONG_TYPE, "event_type is none of " + ", ".join(EVENT_TYPES))
    reason = Reason.WRONG_TYPE
    if is_endless or _misfit(value, _UNBOUNDED[kind][name]) is None:
        reason = Reason.BAD_TIMESTAMP if name == "timestamp_ms" else Reason.OUT_OF_RANGE
    return RefusedError(reason, f"{said} - at `$.{name}`")


def _misfit(value: object, kind: object) -> str | None:
    """What msgspec says against ``value`` as a ``kind``."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None
