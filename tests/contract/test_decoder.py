"""Every format keeps the port's promises; one that does not is found out."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from sie_online.contracts import TYPE_CODES
from sie_online.errors import SettingsError
from sie_online.ingest.events import Reason
from sie_online.ingest.formats import DECODERS, RecordDecoder, RefusedError, new_decoder
from sie_online.ingest.parser import IDS
from sie_online.ingest.records import RecordBatch
from sie_online.settings import load
from sie_online.shard import Shard
from tests.contract.decoder_contract import CHECKS, Fields, Format
from tests.support.events import EventRecord, heartbeat, random_events, run, samples, small_settings, weights


class MessagePack(RecordDecoder):
    """Maps in MessagePack."""

    def decode(self, value: bytes) -> object:
        try:
            return msgspec.msgpack.decode(value)
        except UnicodeError:
            raise
        except ValueError as error:
            raise RefusedError(Reason.MALFORMED, f"no MessagePack: {type(error).__name__}") from None


class FastMessagePack(MessagePack):
    """The same, sure of maps whose ids are short texts. In Python: it shows the contract, not speed."""

    def parse(self, limits: Any, batch: RecordBatch, columns: Any, spans: Any, sure: Any) -> None:
        for row in range(len(batch)):
            sure[row] = self._read(batch, row, columns[row : row + 1], spans[row])

    def _read(self, batch: RecordBatch, row: int, event: Any, spans: Any) -> bool:
        value, first = batch.value(row) or b"", int(batch.values[row, 0])
        try:
            fields = msgspec.msgpack.decode(value, type=dict[str, str | int | float])
        except ValueError:
            return False
        numbers = {"timestamp_ms": int, "position": int, "propensity": float, "price": float, "dwell_ms": float}
        for name, field in fields.items():
            if name in IDS:
                text = str(field).encode()
                at = value.find(text)
                if not isinstance(field, str) or not 0 < len(text) < 32 or at < 0:
                    return False
                spans[IDS.index(name)] = first + at, first + at + len(text)
            elif name == "event_type":
                event["etype"] = TYPE_CODES.get(str(field), -1)
            elif type(field) is numbers.get(name) and abs(field) < 1 << 60:
                event["time_ms" if name == "timestamp_ms" else name] = field
            else:
                return False
        return {*IDS[:3], "event_type", "timestamp_ms"} <= fields.keys()


def _json(fields: Fields) -> bytes | None:
    return json.dumps(fields).encode()


def _msgpack(fields: Fields) -> bytes | None:
    return msgspec.msgpack.encode(fields)


FORMATS = {
    "json": Format("json", _json),
    "msgpack": Format(f"{__name__}:MessagePack", _msgpack),
    "fast msgpack": Format(f"{__name__}:FastMessagePack", _msgpack),
}


def test_every_registered_format_is_held_to_the_contract() -> None:
    assert FORMATS.keys() >= DECODERS.keys(), "give the new format an encoder here"


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_format_keeps_its_promise(name: str, check: str) -> None:
    CHECKS[check](FORMATS[name])


@pytest.mark.parametrize("name", ["msgpack", "fast msgpack"])
def test_a_shard_says_the_same_whatever_the_format(name: str) -> None:
    sent = [*random_events(600, seed=11), heartbeat(40_000)]
    told = []
    for form in (FORMATS["json"], FORMATS[name]):
        shard = Shard(small_settings(events={"format": form.name}), 0)
        rows = [EventRecord(n, form.encode(one), str(one.get("user_id", "")).encode()) for n, one in enumerate(sent)]
        outputs = run(shard, rows, cuts=[100, 101, 350])
        told.append((weights(outputs).drop_columns("published_ms"), samples(outputs)))
        assert shard.stats().counts.dead_letters == 0
        shard.close()
    assert len(told[0][0]) > 600
    assert len(told[0][1])
    assert told[0][0].equals(told[1][0])
    assert told[0][1].equals(told[1][1])


class Lenient(MessagePack):
    """Reads times that are written as text."""

    def decode(self, value: bytes) -> object:
        fields = super().decode(value)
        return fields | {"timestamp_ms": int(fields.get("timestamp_ms") or 0)} if isinstance(fields, dict) else fields


class Quoting(MessagePack):
    """Says what it could not read."""

    def decode(self, value: bytes) -> object:
        try:
            return msgspec.msgpack.decode(value)
        except ValueError:
            raise RefusedError(Reason.MALFORMED, f"cannot read {value!r}") from None


class Remembering(MessagePack):
    """Fills in what a record lacks from the one before."""

    def __init__(self) -> None:
        self._last: dict[str, Any] = {}

    def decode(self, value: bytes) -> object:
        fields = super().decode(value)
        if isinstance(fields, dict):
            self._last = {"price": self._last.get("price")} | fields
            return self._last
        return fields


class Cocksure(FastMessagePack):
    """Is sure of a price that it has rounded."""

    def _read(self, batch: RecordBatch, row: int, event: Any, spans: Any) -> bool:
        sure = super()._read(batch, row, event, spans)
        event["price"] = np.round(event["price"])
        return sure


class Fragile(MessagePack):
    """Lets an exception of its own through."""

    def decode(self, value: bytes) -> object:
        try:
            return super().decode(value)
        except RefusedError as error:
            raise OSError("no such schema") from error


BROKEN = {
    Lenient: "the_same_fault_has_the_same_reason",
    Quoting: "no_bytes_whatever_stop_the_stream",
    Remembering: "a_record_is_judged_alone",
    Cocksure: "the_fast_path_is_sure_only_of_what_the_slow_one_says",
    Fragile: "no_bytes_whatever_stop_the_stream",
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_format_that_breaks_a_promise_is_found_out(broken: type[RecordDecoder]) -> None:
    with pytest.raises((AssertionError, OSError)):
        CHECKS[BROKEN[broken]](Format(f"{__name__}:{broken.__name__}", _msgpack))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("avro", "events.format: 'avro' is unknown: there are json, or write package.module:Class"),
        ("no.such:Thing", "events.format: cannot import 'no.such:Thing'"),
        ("json:loads", "events.format: 'json:loads' is no RecordDecoder"),
        ("sie_online.ingest.formats:RecordDecoder", "is no RecordDecoder"),
    ],
)
def test_a_format_that_there_is_not_is_refused(name: str, said: str) -> None:
    with pytest.raises(SettingsError) as refused:
        new_decoder(name)
    assert said in str(refused.value)


def test_a_format_of_ones_own_is_part_of_the_fingerprint_and_the_default_is_not() -> None:
    other = load({"events": {"format": "a:B"}}).fingerprint()
    assert other != load().fingerprint()
    assert load({"events": {"format": "json"}}).fingerprint() == load().fingerprint()
