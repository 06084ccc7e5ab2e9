"""Events: what a record of ``sie.events`` may say, and decoding batches of records into columns.

Owns the judgement whether a record is a valid event; a record that is not becomes a ``DeadLetter`` with a reason
from a closed list, and leaves no trace in any state.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Meta
from numpy.typing import NDArray

from sie_online.contracts import EVENT_TYPES, HEARTBEAT
from sie_online.errors import SettingsError
from sie_online.hashing import hash_column
from sie_online.jit import kernel
from sie_online.records import Headers, RecordBatch
from sie_online.settings import Settings

FIRST_MS = 946_684_800_000
"""2000-01-01: earlier timestamps are unset clocks or seconds taken for milliseconds."""
LAST_MS = 253_402_300_799_000
"""The year 9999: whatever lies beyond does not fit a calendar."""
MAX_BRACKETS = 256
"""Brackets in a value; events are flat, and a parser's recursion limit must not decide what is valid."""

HEARTBEAT_CODE = len(EVENT_TYPES)
"""Type code of a heartbeat in the columns."""

Identifier = str | int
Timestamp = Annotated[int, Meta(ge=FIRST_MS, le=LAST_MS)]
EventType = Literal["impression", "view", "click", "cart", "favorite", "purchase", "return", "rating"]


class Event(msgspec.Struct, gc=False):
    """One interaction of a user with an item. Unknown fields are ignored; integer ids become decimal text."""

    event_id: Identifier
    user_id: Identifier
    item_id: Identifier
    event_type: EventType
    timestamp_ms: Timestamp
    category_id: Identifier | None = None
    session_id: Identifier | None = None
    query: str | None = None
    position: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    price: Annotated[float, Meta(ge=0)] | None = None
    dwell_ms: Annotated[float, Meta(ge=0)] | None = None
    rating: float | None = None
    attributes: dict[str, str | float | bool] | None = None


class Heartbeat(msgspec.Struct, gc=False, tag_field="event_type", tag=HEARTBEAT):
    """Moves the clock of the partition it is addressed to; carries nothing else."""

    timestamp_ms: Timestamp


class Reason(enum.StrEnum):
    """Why a record is a dead letter."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    BAD_UTF8 = "bad_utf8"
    BAD_JSON = "bad_json"
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    BAD_TIMESTAMP = "bad_timestamp"
    BAD_ID = "bad_id"
    KEY_MISMATCH = "key_mismatch"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that is no valid event, as it came, and why."""

    offset: int
    timestamp_ms: int
    reason: Reason
    detail: str
    key: bytes | None
    value: bytes | None
    headers: Headers


EVENT = np.dtype(
    [
        ("time_ms", "i8"),
        ("offset", "i8"),
        ("event_key", "u8"),
        ("user_key", "u8"),
        ("item_key", "u8"),
        ("category_key", "u8"),
        ("session_key", "u8"),
        ("position", "f8"),
        ("propensity", "f8"),
        ("price", "f8"),
        ("dwell_ms", "f8"),
        ("rating", "f8"),
        ("etype", "i8"),
    ]
)
"""One decoded event as the kernels see it; keys are 64-bit hashes (0: absent), NaN is absent."""

NUMBERS = ("position", "propensity", "price", "dwell_ms", "rating")


@dataclass(frozen=True, slots=True)
class Text:
    """A column of strings in Arrow's layout: ``data[offsets[i]:offsets[i + 1]]`` is row i (int32, uint8)."""

    offsets: NDArray[np.int32]
    data: NDArray[np.uint8]

    @classmethod
    def of(cls, values: Sequence[Any]) -> Text:
        """Lay out ``values`` (text, integers or None; None becomes the empty string)."""
        try:
            column = pa.array(values, pa.string())
        except (pa.ArrowTypeError, pa.ArrowInvalid, TypeError):
            column = pa.array([v if v is None or isinstance(v, str) else str(v) for v in values], pa.string())
        _, offsets, data = column.buffers()
        n = len(values)
        text = cls(
            np.frombuffer(offsets if n else bytes(4), np.int32, n + 1),
            np.frombuffer(data if data is not None and data.size else b"\0", np.uint8),
        )
        text.offsets.flags.writeable = text.data.flags.writeable = False  # one type for the kernels, one compilation
        return text

    def lengths(self) -> NDArray[np.int32]:
        """Bytes of each row."""
        return np.diff(self.offsets)

    def keys(self) -> NDArray[np.uint64]:
        """64-bit hash of each row, 0 for an empty one."""
        out = np.empty(len(self.offsets) - 1, np.uint64)
        hash_column(self.offsets, self.data, out)
        return out


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The valid events and heartbeats of a record batch, in order. ``columns`` has dtype ``EVENT``."""

    columns: NDArray[np.void]
    event_id: Text
    user_id: Text
    item_id: Text
    category_id: Text

    def __len__(self) -> int:
        return len(self.columns)


class Decoder:
    """Decodes record batches under one set of limits.

    >>> from sie_online.settings import Settings
    >>> decoder = Decoder(Settings())
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.limits
        self._pseudonym = _pseudonymiser(settings.privacy.hmac_key_file)
        self._event = msgspec.json.Decoder(Event)
        self._heartbeat = msgspec.json.Decoder(Heartbeat)

    def decode(self, batch: RecordBatch) -> tuple[EventBatch, list[DeadLetter]]:
        """Split ``batch`` into its valid events and its dead letters."""
        rows, events, dead = self._parse(batch)
        while True:
            decoded, faults = self._columns(batch, rows, events)
            if not faults:
                return decoded, sorted(dead, key=lambda letter: letter.offset)
            dead += [_dead_letter(batch, rows[at], reason, detail) for at, (reason, detail) in faults.items()]
            keep = [at for at in range(len(rows)) if at not in faults]
            rows, events = [rows[at] for at in keep], [events[at] for at in keep]

    def _parse(self, batch: RecordBatch) -> tuple[list[int], list[Any], list[DeadLetter]]:
        rows: list[int] = []
        events: list[Any] = []
        dead: list[DeadLetter] = []
        decode, largest, buffer = self._event.decode, self._limits.value_bytes, batch.buffer
        for row, (first, last) in enumerate(batch.values.tolist()):
            value = buffer[first:last]
            if first < 0 or last - first > largest or (last - first > MAX_BRACKETS and _is_deep(value)):
                dead.append(_refuse(batch, row, largest))
                continue
            try:
                events.append(decode(value))
            except (ValueError, RecursionError) as error:
                try:
                    events.append(self._heartbeat_instead(value, error))
                except (ValueError, RecursionError) as last:
                    dead.append(_dead_letter(batch, row, *_diagnose(last)))
                    continue
            rows.append(row)
        return rows, events, dead

    def _heartbeat_instead(self, value: bytes, error: Exception) -> Event:
        """The heartbeat that ``value`` is, if it was refused as an event (with ``error``) for being one."""
        if f"'{HEARTBEAT}'" not in str(error):
            raise error
        beat = self._heartbeat.decode(value)
        return Event("", "", "", HEARTBEAT, beat.timestamp_ms)  # type: ignore[arg-type]  # a type of its own

    def _columns(
        self, batch: RecordBatch, rows: list[int], events: list[Any]
    ) -> tuple[EventBatch, dict[int, tuple[Reason, str]]]:
        event_id = Text.of([e.event_id for e in events])
        plain_user_id = Text.of([e.user_id for e in events])
        item_id = Text.of([e.item_id for e in events])
        category_id = Text.of([e.category_id for e in events])
        columns = np.empty(len(events), EVENT)
        columns["time_ms"] = [e.timestamp_ms for e in events]
        columns["offset"] = batch.offsets[rows]
        columns["etype"] = [TYPE_CODES[e.event_type] for e in events]
        faults = self._faults(batch, rows, columns, (event_id, plain_user_id, item_id, category_id), events)
        if faults:
            return EventBatch(columns, event_id, plain_user_id, item_id, category_id), faults
        user_id = self._pseudonym(events) if self._pseudonym else plain_user_id
        columns["event_key"] = event_id.keys()
        columns["user_key"] = user_id.keys()
        columns["item_key"] = item_id.keys()
        columns["category_key"] = category_id.keys()
        columns["session_key"] = Text.of([e.session_id for e in events]).keys()
        for name in NUMBERS:
            columns[name] = _numbers([getattr(e, name) for e in events])
        return EventBatch(columns, event_id, user_id, item_id, category_id), {}

    def _faults(
        self, batch: RecordBatch, rows: list[int], columns: Any, ids: Sequence[Text], events: list[Any]
    ) -> dict[int, tuple[Reason, str]]:
        real = columns["etype"] != HEARTBEAT_CODE
        faults: dict[int, tuple[Reason, str]] = {}
        longest, most = self._limits.id_bytes, self._limits.attributes
        for name, text, least in zip(("event_id", "user_id", "item_id", "category_id"), ids, (1, 1, 1, 0), strict=True):
            length = text.lengths()
            for at in np.flatnonzero(real & ((length < least) | (length > longest))).tolist():
                detail = f"{name} has {length[at]} bytes; {least} to {longest} are allowed"
                faults.setdefault(at, (Reason.BAD_ID, detail))
        horizon = batch.timestamps_ms[rows] + round(self._limits.future_s * 1000)
        for at in np.flatnonzero(real & (columns["time_ms"] > horizon)).tolist():
            detail = f"timestamp_ms {columns['time_ms'][at]} is over {self._limits.future_s:g} s later than its record"
            faults.setdefault(at, (Reason.BAD_TIMESTAMP, detail))
        mismatch = np.zeros(len(rows), np.bool_)
        data = np.frombuffer(batch.buffer, np.uint8)
        _mismatches(data, batch.keys[rows], ids[1].offsets, ids[1].data, mismatch)
        for at in np.flatnonzero(real & mismatch).tolist():
            faults.setdefault(at, (Reason.KEY_MISMATCH, "the record's key is not its user_id in UTF-8"))
        for at, event in enumerate(events):
            if event.attributes is not None and len(event.attributes) > most:
                detail = f"{len(event.attributes)} attributes; {most} are allowed"
                faults.setdefault(at, (Reason.OUT_OF_RANGE, detail))
        return faults


TYPE_CODES = {name: code for code, name in enumerate((*EVENT_TYPES, HEARTBEAT))}


@kernel
def _mismatches(buffer: Any, keys: Any, offsets: Any, data: Any, out: Any) -> None:
    """Mark rows whose key span in ``buffer`` differs from their string in (``offsets``, ``data``)."""
    for row in range(out.shape[0]):
        first, last = keys[row, 0], keys[row, 1]
        at = offsets[row]
        differs = first < 0 or last - first != offsets[row + 1] - at
        if not differs:
            for step in range(last - first):
                if buffer[first + step] != data[at + step]:
                    differs = True
                    break
        out[row] = differs


def _numbers(values: list[float | None]) -> Any:
    """A float64 column with NaN for None; the common case that nobody sends the field costs one scan."""
    return np.nan if values.count(None) == len(values) else np.array(values, dtype=np.float64)


def _is_deep(value: bytes) -> bool:
    return value.count(b"[") + value.count(b"{") > MAX_BRACKETS


def _refuse(batch: RecordBatch, row: int, largest: int) -> DeadLetter:
    """The dead letter of a value that is not even parsed."""
    value = batch.value(row)
    if value is None:
        return _dead_letter(batch, row, Reason.NULL_VALUE, "the record has no value")
    if len(value) > largest:
        return _dead_letter(batch, row, Reason.TOO_LARGE, f"{len(value)} bytes; {largest} are allowed")
    return _dead_letter(batch, row, Reason.TOO_DEEP, f"more than {MAX_BRACKETS} brackets; events are flat")


def _diagnose(error: Exception) -> tuple[Reason, str]:
    """Reason and detail of a parser's error; the detail never quotes the payload."""
    text = str(error)
    if isinstance(error, UnicodeError):
        return Reason.BAD_UTF8, "the text is not valid UTF-8"
    if isinstance(error, RecursionError):
        return Reason.TOO_DEEP, "nested too deeply; events are flat"
    if not isinstance(error, msgspec.ValidationError):
        return Reason.BAD_JSON, text
    if "missing required field" in text:
        return Reason.MISSING_FIELD, text
    if "timestamp_ms" in text and (">=" in text or "<=" in text or "out of range" in text):
        return Reason.BAD_TIMESTAMP, text
    if ">" in text or "<" in text or "out of range" in text:
        return Reason.OUT_OF_RANGE, text
    return Reason.WRONG_TYPE, text if "enum" not in text else "event_type is none of " + ", ".join(EVENT_TYPES)


def _dead_letter(batch: RecordBatch, row: int, reason: Reason, detail: str) -> DeadLetter:
    return DeadLetter(
        offset=int(batch.offsets[row]),
        timestamp_ms=int(batch.timestamps_ms[row]),
        reason=reason,
        detail=detail,
        key=batch.key(row),
        value=batch.value(row),
        headers=batch.headers.get(row, ()),
    )


def _pseudonymiser(key_file: Path | None) -> Any:
    """Function from events to the ``Text`` of their keyed user ids, or None if ids are published as they came."""
    if key_file is None:
        return None
    try:
        key = key_file.read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"privacy.hmac_key_file: cannot read {key_file}: {error.strerror}") from None
    if len(key) < 32:
        raise SettingsError(f"privacy.hmac_key_file: {key_file} holds {len(key)} bytes; at least 32 are needed")

    def pseudonyms(events: list[Any]) -> Text:
        return Text.of([hmac.new(key, str(e.user_id).encode(), hashlib.sha256).hexdigest() for e in events])

    return pseudonyms
