"""JSON: a kernel for what is plain, msgspec for the rest."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.events import Erase, Event, Heartbeat, Reason, RefusedError, struct_of
from sie_online.ingest.formats.port import RecordDecoder
from sie_online.ingest.judge import refusal
from sie_online.ingest.parser import ParserLimits, parse
from sie_online.ingest.records import RecordBatch

MAX_BRACKETS = 256
"""Brackets in a value; events are flat, and a parser's recursion limit must not decide what is valid."""

NAMES = frozenset(Event.__struct_fields__) - {"attributes"}


class _Kind(msgspec.Struct, gc=False):
    """What kind of record it is; anything else may be anything."""

    event_type: msgspec.Raw = msgspec.Raw(b"null")


class _Tolerant(Event, gc=False):
    """An event whose attributes may be anything."""

    attributes: msgspec.Raw = msgspec.Raw(b"null")  # type: ignore[assignment]  # read entry by entry


_KIND = msgspec.json.Decoder(_Kind)
_EVENT = msgspec.json.Decoder(Event)
_TYPED: dict[type, msgspec.json.Decoder[Event | Heartbeat | Erase]] = {
    Event: msgspec.json.Decoder(_Tolerant),
    Heartbeat: msgspec.json.Decoder(Heartbeat),
    Erase: msgspec.json.Decoder(Erase),
}
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTRIES = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_ENTRY = msgspec.json.Decoder(str | float | bool | None)


class JsonDecoder(RecordDecoder):
    """JSON objects in UTF-8 (RFC 8259)."""

    judges = True

    def parse(
        self,
        limits: ParserLimits,
        batch: RecordBatch,
        columns: NDArray[np.void],
        spans: NDArray[np.int64],
        sure: NDArray[np.bool_],
    ) -> None:
        """Flat objects of plain text; see `sie_online.ingest.parser`."""
        buffer = np.frombuffer(batch.buffer or b"\0", np.uint8)
        parse(limits, buffer, batch.values, batch.keys, batch.timestamps_ms, columns, spans, sure)

    def decode(self, value: bytes) -> object:
        """The event; where it is none as it stands, its fields."""
        if value.count(b"[") + value.count(b"{") > MAX_BRACKETS:
            raise RefusedError(Reason.TOO_DEEP, f"more than {MAX_BRACKETS} brackets; events are flat")
        try:
            return _EVENT.decode(value)
        except msgspec.ValidationError:  # JSON as far as it was read, of some other type or with a fault
            return _look_closer(value)
        except msgspec.DecodeError as error:
            raise RefusedError(Reason.BAD_JSON, str(error)) from None


def _look_closer(value: bytes) -> object:
    """What ``value`` is, if not an event as it stands: a heartbeat, an erasure, or one with odd attributes."""
    try:
        kind = struct_of(_plain(_KIND.decode(value).event_type))
        found = _TYPED[kind].decode(value)
    except msgspec.ValidationError:
        raise _refusal(value) from None
    except msgspec.DecodeError as error:
        raise RefusedError(Reason.BAD_JSON, str(error)) from None
    if isinstance(found, _Tolerant):
        return msgspec.structs.asdict(found) | {"attributes": _attributes(found.attributes)}
    return found


def _refusal(value: bytes) -> RefusedError:
    """Why ``value``, which is JSON, is no record that there is."""
    try:
        raw = _OBJECT.decode(value)
    except msgspec.ValidationError as error:
        return RefusedError(Reason.WRONG_TYPE, str(error))
    fields = {name: _plain(field) if name in NAMES else field for name, field in raw.items()}
    return refusal(fields, struct_of(fields.get("event_type")))


def _plain(raw: msgspec.Raw) -> object:
    try:
        return msgspec.json.decode(raw)
    except msgspec.ValidationError:  # any type is welcome: only a number can be too large for that
        return math.inf


def _attributes(raw: msgspec.Raw) -> object:
    """Entries as plain values, the unreadable ones as they are; all of it so, where it is no map."""
    bytes(raw).decode()  # of what is not read, too, all must be text
    try:
        entries = _ENTRIES.decode(raw)
    except ValueError:
        return raw
    return None if entries is None else {name: _entry(entry) for name, entry in entries.items()}


def _entry(raw: msgspec.Raw) -> object:
    try:
        return _ENTRY.decode(raw)
    except ValueError:
        return raw
