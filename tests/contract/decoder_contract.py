"""What every format of the input topic must do: see `sie_online.ingest.formats.port`. A new one is one more ``Format``
in ``test_decoder``.

JSON is the measure: the same fields in another format are the same event, or a dead letter for the same reason.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple
from unittest.mock import patch

from sie_online.ingest.decoder import JSON_MARK, Decoder
from sie_online.ingest.events import DeadLetter, EventBatch, Reason
from sie_online.settings import Settings, load
from tests.support.events import ARRIVAL_MS, START_MS, EventRecord, batch, event, heartbeat, random_events

Fields = Mapping[str, Any]
SECRET = "hushhush"
"""Stands in payloads; no dead letter may quote it."""


class Format(NamedTuple):
    """A format as ``events.format`` names it, and how a producer writes ``fields`` in it: None where it cannot."""

    name: str
    encode: Callable[[Fields], bytes | None]


OPTIONAL: list[dict[str, Any]] = [
    {},
    {"category_id": "c-ü", "session_id": "s 1", "query": "schöne Schuhe \U0001f45f"},
    {"position": 0, "propensity": 1.0, "price": 0.0, "dwell_ms": 0.1, "rating": -2.5},
    {"position": 1_000_000, "propensity": 1e-12, "price": 19.99, "dwell_ms": 123_456_789.25, "rating": 1e300},
    {"price": 7, "category_id": 12, "item_id": 10**12, "attributes": {"a": 1.5, "b": "x", "c": True, "d": None}},
    {"category_id": None, "query": None, "position": None, "propensity": None, "rating": None, "attributes": None},
    {"event_id": "ü" * 128, "attributes": {}},
]
FAULTY: dict[str, dict[str, Any]] = {
    "an id is missing": {"item_id": ...},
    "the time is missing": {"timestamp_ms": ...},
    "an id is empty": {"event_id": ""},
    "an id is too long": {"item_id": SECRET * 100},
    "an id is null": {"user_id": None},
    "an id is a float": {"item_id": 1.5},
    "an id is a list": {"item_id": [SECRET]},
    "the type is unknown": {"event_type": SECRET},
    "the type is a number": {"event_type": 4},
    "the time is text": {"timestamp_ms": SECRET},
    "the time is a float": {"timestamp_ms": START_MS + 0.5},
    "the time is in seconds": {"timestamp_ms": START_MS // 1000},
    "the time is far ahead": {"timestamp_ms": ARRIVAL_MS + 600_001},
    "the time is beyond the calendar": {"timestamp_ms": 2**62},
    "the position is negative": {"position": -1},
    "the position is too large": {"position": 1_000_001},
    "the position is a float": {"position": 2.0},
    "the propensity is 0": {"propensity": 0.0},
    "the propensity is above 1": {"propensity": 1.0001},
    "the price is negative": {"price": -0.01},
    "the dwell time is text": {"dwell_ms": SECRET},
    "the rating is a boolean": {"rating": True},
    "the query is a number": {"query": 5},
    "the key is another user": {"user_id": SECRET},
    "attributes are too many": {"attributes": {f"{SECRET}{n}": n for n in range(65)}},
}
NOT_FINITE = [{name: number} for name in ("price", "dwell_ms", "rating", "propensity") for number in (1e400, -1e400)]
NAN = [{name: float("nan")} for name in ("price", "dwell_ms", "rating", "propensity")]
ODD_ATTRIBUTES: list[Any] = [{"a": [1], "b": "x", "c": {"d": 1}}, [1, 2], "text", 3]


def check_the_same_fields_are_the_same_event(form: Format) -> None:
    sent = [event(n, kind="purchase" if n % 2 else "view", at_s=n) | more for n, more in enumerate(OPTIONAL * 3)]
    _equal_to_json(form, [*sent, *random_events(300, seed=4)])


def check_the_same_fault_has_the_same_reason(form: Format) -> None:
    for more in FAULTY.values():
        fields = {name: value for name, value in (event(1) | more).items() if value is not ...}
        _equal_to_json(form, [event(0), fields, event(2)], key=b"u1")


def check_a_number_that_is_none_is_refused(form: Format) -> None:
    for more in NOT_FINITE + NAN:
        if (value := form.encode(event(1) | more)) is not None:
            (letter,) = _decoded(form, [value])[1]
            assert letter.reason in (Reason.OUT_OF_RANGE, Reason.BAD_JSON)


def check_odd_attributes_cost_no_event(form: Format) -> None:
    _equal_to_json(form, [event(n) | {"attributes": odd} for n, odd in enumerate(ODD_ATTRIBUTES)])


def check_heartbeats_and_erasures_can_be_written_in_it(form: Format) -> None:
    _equal_to_json(form, [heartbeat(5), {"event_type": "erase", "user_id": "u1"}, {"event_type": "heartbeat"}])
    _equal_to_json(form, [{"event_type": "erase", "user_id": "u1", "item_id": "i"}, {"event_type": "erase"}])


def check_json_is_understood_beside_it(form: Format) -> None:
    sent = [event(0), heartbeat(5), {"event_type": "erase", "user_id": "u1"}]
    decoded, dead = _decoded(form, [json.dumps(fields).encode() for fields in sent])
    assert dead == []
    assert len(decoded) == 3


def check_no_record_looks_like_json(form: Format) -> None:
    if form.name != "json":
        assert not any(value.startswith(JSON_MARK) for value in _valid(form))


def check_no_bytes_whatever_stop_the_stream(form: Format) -> None:
    """Neighbours stay what they are; no dead letter quotes the payload."""
    good = _valid(form)[0]
    for value in _mutated(form):
        decoded, dead = _decoded(form, [good, value, good])
        assert len(decoded) + len(dead) == 3
        assert decoded.columns["offset"][[0, -1]].tolist() == [0, 2]
        for letter in dead:
            assert letter.value == value
            assert letter.detail
            assert len(letter.detail) < 200
            assert SECRET not in letter.detail


def check_the_fast_path_is_sure_only_of_what_the_slow_one_says(form: Format) -> None:
    decoder = _decoder(form)
    values = [*_valid(form), *_mutated(form), *_of(form, FAULTY.values()), *_of(form, NOT_FINITE + NAN)]
    fast, dead = decoder.decode(_records(values))
    with patch.object(type(decoder._format), "parse", _never_sure):
        slow, slow_dead = decoder.decode(_records(values))
    assert dead == slow_dead
    _assert_equal(fast, slow)


def check_a_record_is_judged_alone(form: Format) -> None:
    values = list(itertools.chain.from_iterable(zip(_valid(form), _mutated(form), strict=False)))
    together, _ = _decoded(form, values)
    alone = [_decoder(form).decode(batch([EventRecord(n, value, b"u1")]))[0] for n, value in enumerate(values)]
    assert together.columns.tobytes() == b"".join(one.columns.tobytes() for one in alone)


CHECKS: dict[str, Callable[[Format], None]] = {
    name.removeprefix("check_"): check for name, check in list(globals().items()) if name.startswith("check_")
}


@cache
def _settings(name: str) -> Settings:
    return load({"events": {"format": name}})


def _decoder(form: Format) -> Decoder:
    return Decoder(_settings(form.name))


def _records(values: list[bytes]) -> Any:
    return batch([EventRecord(n, value, b"u1") for n, value in enumerate(values)])


def _decoded(form: Format, values: list[bytes]) -> tuple[EventBatch, list[DeadLetter]]:
    return _decoder(form).decode(_records(values))


def _of(form: Format, changes: Any) -> list[bytes]:
    sent = [{name: value for name, value in (event(1) | more).items() if value is not ...} for more in changes]
    return [value for fields in sent if (value := form.encode(fields)) is not None]


def _valid(form: Format) -> list[bytes]:
    return _of(form, [*OPTIONAL, {"query": SECRET}])


def _mutated(form: Format) -> list[bytes]:
    """Records cut short, with bytes changed, put in and left out; and what is none at all."""
    chance, found = random.Random(7), [b"", b"\0", b"\xff" * 40, SECRET.encode()]
    for value in _valid(form) * 8:
        at = chance.randrange(len(value))
        byte = bytes([chance.randrange(256)])
        found += [value[:at], value[:at] + byte + value[at + 1 :], value[:at] + byte + value[at:], value + byte]
        found += [value[:at] + value[at + 1 :], value[:at] + b"\xff" + value[at + 1 :]]
    return found


def _never_sure(*_: Any) -> None:
    pass


def _equal_to_json(form: Format, sent: list[Fields], key: bytes | None = None) -> None:
    written = [(fields, value) for fields in sent if (value := form.encode(fields)) is not None]

    def rows(values: Iterator[bytes]) -> Any:
        keys = (str(fields.get("user_id", "")).encode() if key is None else key for fields, _ in written)
        return batch([EventRecord(n, value, one) for n, (value, one) in enumerate(zip(values, keys, strict=True))])

    ours, dead = _decoder(form).decode(rows(value for _, value in written))
    theirs, theirs_dead = Decoder(Settings()).decode(rows(json.dumps(fields).encode() for fields, _ in written))
    assert [(one.offset, one.reason) for one in dead] == [(one.offset, one.reason) for one in theirs_dead]
    assert all(SECRET not in letter.detail for letter in dead)
    _assert_equal(ours, theirs)


def _assert_equal(one: EventBatch, other: EventBatch) -> None:
    assert one.columns.tobytes() == other.columns.tobytes()
    assert one.attributes_dropped == other.attributes_dropped
    for name in ("event_id", "user_id", "item_id", "category_id"):
        assert list(getattr(one, name).values()) == list(getattr(other, name).values())
