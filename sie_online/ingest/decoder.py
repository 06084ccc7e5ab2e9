"""Decoding: record batches into columns of valid events, and dead letters for the rest.

Owns what becomes of a record. How its bytes are read is a format's matter (`sie_online.ingest.formats`): most records
are plain enough for its fast path, which reads them without an object each; every other one is read, judged
(`sie_online.ingest.judge`) and, if it is no valid event, refused here.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import DEAD_LETTER_VALUE_HMAC as VALUE_HMAC
from sie_online.contracts import ERASE_CODE, TYPE_CODES
from sie_online.ingest.events import (
    EVENT,
    DeadLetter,
    Event,
    EventBatch,
    Reason,
    Text,
)
from sie_online.ingest.formats import JsonDecoder, RefusedError, new_decoder
from sie_online.ingest.headers import Headers
from sie_online.ingest.judge import NUMBERS, Judge, admit, spelling
from sie_online.ingest.parser import CATEGORY_ID, EVENT_ID, IDS, ITEM_ID, USER_ID, ParserLimits, gather, hash_ids
from sie_online.ingest.records import REFUSED_BATCH, RecordBatch
from sie_online.ingest.wire import maturing_ms
from sie_online.pseudonyms import Pseudonyms, pseudonyms
from sie_online.settings import Settings

DATA_ERRORS = (ValueError, LookupError, TypeError, ArithmeticError, EOFError, RecursionError)
"""What a format may raise that trips over a record, beside ``RefusedError``."""

JSON_MARK = b"{"
"""Whatever begins so is JSON, on a topic of any format."""


class Decoder:
    """Decodes record batches of the format that ``events.format`` names, under one set of limits.

    >>> from sie_online.settings import Settings
    >>> decoder = Decoder(Settings())
    """

    def __init__(self, settings: Settings) -> None:
        limits = settings.limits
        future_ms = round(limits.future_s * 1000)
        self._limits = ParserLimits(
            limits.value_bytes, limits.id_bytes, limits.attributes, limits.earliest_ms, future_ms
        )
        self._pseudonyms = pseudonyms(settings)
        self._judged = Judge(self._limits, future_ms + maturing_ms(settings)).judged
        self._format = new_decoder(settings.events.format)
        self._json = JsonDecoder()

    def decode(self, batch: RecordBatch) -> tuple[EventBatch, list[DeadLetter]]:
        """Split ``batch`` into its valid events and its dead letters, both in order."""
        n = len(batch)
        columns, spans, valid = np.zeros(n, EVENT), np.zeros((n, len(IDS), 2), np.int64), np.zeros(n, np.bool_)
        buffer = np.frombuffer(batch.buffer or b"\0", np.uint8)
        self._parse(batch, columns, spans, valid)
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

    def _parse(
        self, batch: RecordBatch, columns: NDArray[np.void], spans: NDArray[np.int64], sure: NDArray[np.bool_]
    ) -> None:
        """What the format's fast path is sure of."""
        if self._format.judges:
            self._format.parse(self._limits, batch, columns, spans, sure)
            return
        for name in NUMBERS:
            columns[name] = np.nan
        self._format.parse(self._limits, batch, columns, spans, sure)
        admit(self._limits, batch, columns, spans, sure)

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
        decoder = self._json if value.startswith(JSON_MARK) else self._format
        try:
            return self._judged(decoder.decode(value), batch.key(row), int(batch.timestamps_ms[row]))
        except DATA_ERRORS as error:
            raise _unreadable(error) from None


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
        spelled += spelling(getattr(event, name))
        span[:] = first, base + len(spelled)


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


def _unreadable(error: Exception) -> RefusedError:
    """What it means that a format tripped over a record; its words may quote the payload."""
    if isinstance(error, UnicodeError):
        return RefusedError(Reason.BAD_UTF8, "the text is not valid UTF-8")
    if isinstance(error, RecursionError):
        return RefusedError(Reason.TOO_DEEP, "nested too deeply; events are flat")
    return RefusedError(Reason.MALFORMED, f"{type(error).__name__} where the record was read")


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
