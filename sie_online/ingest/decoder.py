"""Decoding: record batches into columns of valid events, and dead letters for the rest.

Owns the judgement whether a record is a valid event. Most records are plain enough for `sie_online.ingest.parser`,
which reads them without an object each; every other one is parsed, checked and, if it is none, refused here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import DEAD_LETTER_VALUE_HMAC as VALUE_HMAC
from sie_online.contracts import ERASE, ERASE_CODE, EVENT_TYPES, HEARTBEAT, TYPE_CODES
from sie_online.ingest.events import (
    EVENT,
    DeadLetter,
    Erase,
    Event,
    EventBatch,
    Heartbeat,
    Reason,
    Text,
)
from sie_online.ingest.parser import CATEGORY_ID, EVENT_ID, IDS, ITEM_ID, USER_ID, ParserLimits, gather, hash_ids, parse
from sie_online.ingest.records import REFUSED_BATCH, Headers, RecordBatch
from sie_online.ingest.wire import maturing_ms
from sie_online.moments import moment
from sie_online.pseudonyms import Pseudonyms, longest_id, pseudonyms
from sie_online.settings import Settings

MAX_BRACKETS = 256
"""Brackets in a value; events are flat, and a parser's recursion limit must not decide what is valid."""

NUMBERS = ("position", "propensity", "price", "dwell_ms", "rating")

ATTRIBUTES = "$.attributes"
"""How an error says that it is there."""


class _Tolerant(Event, gc=False):
    """An event whose attributes may be anything."""

    attributes: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]  # read entry by entry


_ENTRIES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRY = msgspec.json.Decoder(str | float | bool | None)


class RefusedError(Exception):
    """A record is no valid event; reason and detail, which never quotes the payload."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Decoder:
    """Decodes record batches under one set of limits.

    >>> from sie_online.settings import Settings
    >>> decoder = Decoder(Settings())
    """

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        future_ms = round(limits.future_s * 1000)
        self._limits = ParserLimits(
            limits.value_bytes, limits.id_bytes, limits.attributes, limits.earliest_ms, future_ms
        )
        self._longest_id = longest_id(settings)
        self._pseudonyms = pseudonyms(settings)
        self._beat_future_ms = future_ms + maturing_ms(settings)
        self._event = msgspec.json.Decoder(Event)
        self._tolerant = msgspec.json.Decoder(_Tolerant)
        self._heartbeat = msgspec.json.Decoder(Heartbeat)
        self._erase = msgspec.json.Decoder(Erase)

    def decode(self, batch: RecordBatch) -> tuple[EventBatch, list[DeadLetter]]:
        """Split ``batch`` into its valid events and its dead letters, both in order."""
        n = len(batch)
        columns, spans, valid = np.zeros(n, EVENT), np.zeros((n, len(IDS), 2), np.int64), np.zeros(n, np.bool_)
        buffer = np.frombuffer(batch.buffer or b"\0", np.uint8)
        parse(self._limits, buffer, batch.values, batch.keys, batch.timestamps_ms, columns, spans, valid)
        dead: list[DeadLetter] = []
        dropped = 0
        spelled = bytearray()  # ids that are not in the buffer as they are spelled
        for row in np.flatnonzero(~valid).tolist():
            try:
                event, unreadable = self._judge(batch, row)
            except RefusedError as refusal:
                dead.append(_dead_letter(batch, row, refusal, self._pseudonyms))
            else:
                _fill(columns[row : row + 1], spans[row], event, spelled, len(buffer))
                valid[row] = True
                dropped += unreadable
        columns["offset"] = batch.offsets
        if dead:
            columns, spans = columns[valid], spans[valid]
        if spelled:
            buffer = np.frombuffer(buffer.tobytes() + spelled, np.uint8)
        return self._batch(buffer, spans, columns, dropped), dead

    def _batch(
        self, buffer: NDArray[np.uint8], spans: NDArray[np.int64], columns: NDArray[np.void], dropped: int
    ) -> EventBatch:
        hash_ids(buffer, spans, columns)
        event_id, user_id, item_id, category_id = (
            _text(buffer, spans[:, which]) for which in (EVENT_ID, USER_ID, ITEM_ID, CATEGORY_ID)
        )
        if self._pseudonyms:
            named = columns["etype"] == ERASE_CODE  # by the published id
            ids = zip(user_id.values(), named.tolist(), strict=True)
            user_id = Text.of([user if is_published else self._pseudonyms.of(user) for user, is_published in ids])
            columns["user_key"] = user_id.keys()
        return EventBatch(columns, event_id, user_id, item_id, category_id, dropped)

    def _judge(self, batch: RecordBatch, row: int) -> tuple[Event, int]:
        """The event, or heartbeat, that record ``row`` is, and how many of its attributes were dropped.

        Raises:
            RefusedError: it is none.
        """
        value = batch.value(row)
        if value is None:
            raise _absent(batch.headers.get(row, ()))
        if len(value) > self._limits.value_bytes:
            raise RefusedError(Reason.TOO_LARGE, f"{len(value)} bytes; {self._limits.value_bytes} are allowed")
        if value.count(b"[") + value.count(b"{") > MAX_BRACKETS:
            raise RefusedError(Reason.TOO_DEEP, f"more than {MAX_BRACKETS} brackets; events are flat")
        try:
            event, dropped = self._parse(value)
            stamp_ms = int(batch.timestamps_ms[row])
            if event.event_type == ERASE:
                self._check_id("user_id", event.user_id, 1, self._longest_id)
            elif event.event_type == HEARTBEAT:
                self._check_time(event, stamp_ms, self._beat_future_ms)
            else:
                self._check(event, batch.key(row), stamp_ms)
        except (ValueError, RecursionError) as error:
            raise _diagnose(error) from None
        return event, dropped

    def _parse(self, value: bytes) -> tuple[Event, int]:
        try:
            return self._event.decode(value), 0
        except ValueError as error:
            if ATTRIBUTES not in str(error):
                return self._special(value, error), 0
        try:
            event = self._tolerant.decode(value)
        except ValueError as error:
            return self._special(value, error), 0
        bytes(event.attributes).decode()  # of what is not read, too, all must be text
        kept, dropped = self._readable(event.attributes)
        return msgspec.structs.replace(event, attributes=kept), dropped

    def _special(self, value: bytes, error: ValueError) -> Event:
        """The heartbeat or erasure that ``error`` says it is; another error is raised."""
        if f"'{HEARTBEAT}'" in str(error):
            beat = self._heartbeat.decode(value)
            return Event("", "", "", HEARTBEAT, beat.timestamp_ms)  # type: ignore[arg-type]  # a type of its own
        if f"'{ERASE}'" in str(error):
            return Event("", self._erase.decode(value).user_id, "", ERASE, 0)  # type: ignore[arg-type]  # likewise
        raise error

    def _check(self, event: Event, key: bytes | None, stamp_ms: int) -> None:
        """Refuse what the parser cannot see is wrong."""
        for name, least in (("event_id", 1), ("user_id", 1), ("item_id", 1), ("category_id", 0)):
            self._check_id(name, getattr(event, name), least, self._limits.id_bytes)
        self._check_time(event, stamp_ms, self._limits.future_ms)
        if key != _spelling(event.user_id):
            raise RefusedError(Reason.KEY_MISMATCH, "the record's key is not its user_id in UTF-8")
        self._check_number(event.attributes or {})

    def _readable(self, attributes: bytes) -> tuple[dict[str, str | float | bool] | None, int]:
        """The entries that are text, number or boolean, and how many are neither that nor null."""
        try:
            entries = _ENTRIES.decode(attributes)
        except ValueError:
            return None, 1  # no map at all
        self._check_number(entries)
        kept: dict[str, str | float | bool] = {}
        dropped = 0
        for name, raw in entries.items():
            try:
                entry = _ENTRY.decode(raw)
            except ValueError:
                dropped += 1
            else:
                if entry is not None:
                    kept[name] = entry
        return kept, dropped

    def _check_number(self, attributes: Mapping[str, object]) -> None:
        if len(attributes) > self._limits.attributes:
            raise RefusedError(
                Reason.OUT_OF_RANGE, f"{len(attributes)} attributes; {self._limits.attributes} are allowed"
            )

    def _check_id(self, name: str, identifier: str | int | None, least: int, most: int) -> None:
        size = len(_spelling(identifier))
        if not least <= size <= most:
            raise RefusedError(Reason.BAD_ID, f"{name} has {size} bytes; {least} to {most} are allowed")

    def _check_time(self, event: Event, stamp_ms: int, future_ms: int) -> None:
        if event.timestamp_ms < self._limits.earliest_ms:
            earlier = f"is before limits.earliest ({moment(self._limits.earliest_ms)})"
            raise RefusedError(Reason.BAD_TIMESTAMP, f"timestamp_ms {event.timestamp_ms} {earlier}")
        if event.timestamp_ms > stamp_ms + future_ms:
            later = f"is over {future_ms / 1000:g} s later than its record"
            raise RefusedError(Reason.BAD_TIMESTAMP, f"timestamp_ms {event.timestamp_ms} {later}")


def hidden(letter: DeadLetter, pseudonyms: Pseudonyms) -> DeadLetter:
    """What is left to see of a dead letter under pseudonyms: neither key, nor value, nor its record's own headers."""
    key, value = letter.key, letter.value
    digest = [("sie-value-bytes", b"%d" % len(value)), (VALUE_HMAC, pseudonyms.of(value))] if value is not None else []
    return replace(letter, key=None if key is None else pseudonyms.of(key), value=None, headers=digest)


def _fill(row: NDArray[np.void], spans: NDArray[np.int64], event: Event, spelled: bytearray, base: int) -> None:
    """Write ``event`` as the parser would: its numbers to ``row``, its ids to ``spelled``, which begins at ``base``."""
    row["time_ms"], row["etype"] = event.timestamp_ms, TYPE_CODES[event.event_type]
    for name in NUMBERS:
        number = getattr(event, name)
        row[name] = np.nan if number is None else number
    for span, name in zip(spans, IDS, strict=True):
        first = base + len(spelled)
        spelled += _spelling(getattr(event, name))
        span[:] = first, base + len(spelled)


def _spelling(identifier: str | int | None) -> bytes:
    """An id's text in UTF-8: decimal for integers, empty for None."""
    return b"" if identifier is None else str(identifier).encode()


def _text(buffer: NDArray[np.uint8], spans: NDArray[np.int64]) -> Text:
    offsets = np.zeros(len(spans) + 1, np.int32)
    np.cumsum(spans[:, 1] - spans[:, 0], out=offsets[1:])
    data = np.empty(max(int(offsets[-1]), 1), np.uint8)
    gather(buffer, spans, offsets, data)
    return Text(offsets, data)


def _absent(headers: Headers) -> RefusedError:
    """Why a record has no value."""
    try:
        first, records, *unreadable = map(int, dict(headers)[REFUSED_BATCH].split())
    except (KeyError, ValueError, AttributeError):
        return RefusedError(Reason.NULL_VALUE, "the record has no value")
    batch = f"the batch from offset {first} to here ({records} records)"
    if unreadable:
        return RefusedError(Reason.BATCH_UNREADABLE, f"{batch} is none of Kafka's: its producer wrote it wrong")
    return RefusedError(Reason.BATCH_TOO_LARGE, f"{batch} may hold more than kafka.batch_max_bytes, or is torn")


def _diagnose(error: Exception) -> RefusedError:
    """What a parser's error means."""
    text = str(error)
    if isinstance(error, UnicodeError):
        return RefusedError(Reason.BAD_UTF8, "the text is not valid UTF-8")
    if isinstance(error, RecursionError):
        return RefusedError(Reason.TOO_DEEP, "nested too deeply; events are flat")
    if not isinstance(error, msgspec.ValidationError):
        return RefusedError(Reason.BAD_JSON, text)
    if "unknown field" in text:
        return RefusedError(Reason.WRONG_TYPE, f"a record of type {ERASE} has a user_id and nothing else")
    if "missing required field" in text:
        return RefusedError(Reason.MISSING_FIELD, text)
    if "timestamp_ms" in text and (">=" in text or "<=" in text or "out of range" in text):
        return RefusedError(Reason.BAD_TIMESTAMP, text)
    if ">" in text or "<" in text or "out of range" in text:
        return RefusedError(Reason.OUT_OF_RANGE, text)
    return RefusedError(
        Reason.WRONG_TYPE, text if "enum" not in text else "event_type is none of " + ", ".join(EVENT_TYPES)
    )


def _dead_letter(batch: RecordBatch, row: int, refusal: RefusedError, hidden_by: Pseudonyms | None) -> DeadLetter:
    letter = DeadLetter(
        offset=int(batch.offsets[row]),
        timestamp_ms=int(batch.timestamps_ms[row]),
        reason=refusal.reason,
        detail=refusal.detail,
        key=batch.key(row),
        value=batch.value(row),
        headers=batch.headers.get(row, ()),
    )
    return hidden(letter, hidden_by) if hidden_by else letter
