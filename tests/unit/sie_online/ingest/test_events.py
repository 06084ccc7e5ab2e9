"""Every bad record is one dead letter with a usable reason, and leaves no trace."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.contracts import EVENT_TYPES
from sie_online.errors import SettingsError
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import Reason
from sie_online.ingest.records import REFUSED_BATCH
from sie_online.settings import Settings, load
from sie_online.shard import Shard
from tests.support.events import (
    ARRIVAL_MS,
    START_MS,
    EventRecord,
    batch,
    event,
    heartbeat,
    random_events,
    records,
    run,
    small_settings,
    weights,
)


def encoded(**changes: Any) -> bytes:
    """A valid event with some fields changed; a field set to ... is left out."""
    return json.dumps({k: v for k, v in (event(1) | changes).items() if v is not ...}).encode()


DAY_95_MS = 788_918_400_000  # 1995-01-01
DEEP = b"[" * 300 + b"]" * 300
POISON: dict[str, tuple[bytes | None, Reason]] = {
    "null value": (None, Reason.NULL_VALUE),
    "empty value": (b"", Reason.BAD_JSON),
    "bad UTF-8": (encoded(event_id="X").replace(b"X", b"\xff\xfe"), Reason.BAD_UTF8),
    "bad JSON": (b'{"event_id": ', Reason.BAD_JSON),
    "not an object": (b"[1]", Reason.WRONG_TYPE),
    "trailing text": (encoded() + b" x", Reason.BAD_JSON),
    "missing field": (encoded(item_id=...), Reason.MISSING_FIELD),
    "wrong type": (encoded(timestamp_ms="yesterday"), Reason.WRONG_TYPE),
    "id is a float": (encoded(item_id=1.5), Reason.WRONG_TYPE),
    "id is null": (encoded(item_id=None), Reason.WRONG_TYPE),
    "unknown event type": (encoded(event_type="stare"), Reason.WRONG_TYPE),
    "NaN": (encoded(price=float("nan")), Reason.BAD_JSON),
    "infinity": (encoded(price=float("inf")), Reason.BAD_JSON),
    "number beyond float": (encoded(price=1).replace(b'"price": 1', b'"price": 1e999'), Reason.OUT_OF_RANGE),
    "negative price": (encoded(price=-1), Reason.OUT_OF_RANGE),
    "propensity above 1": (encoded(propensity=1.5), Reason.OUT_OF_RANGE),
    "10 MB value": (encoded(query="x" * 10_000_000), Reason.TOO_LARGE),
    "deep nesting": (b"[" * 100_000 + b"]" * 100_000, Reason.TOO_DEEP),
    "deep nesting in an unknown field": (encoded(z=0).replace(b": 0}", b": " + DEEP + b"}"), Reason.TOO_DEEP),
    "too many unreadable attributes": (encoded(attributes={f"a{n}": [] for n in range(99)}), Reason.OUT_OF_RANGE),
    "bad UTF-8 in an unreadable attribute": (encoded(attributes={"a": ["X"]}).replace(b"X", b"\xff"), Reason.BAD_UTF8),
    "bad UTF-8 beside one": (encoded(attributes={"a": [1], "b": "X"}).replace(b"X", b"\xff"), Reason.BAD_UTF8),
    "attributes that are no JSON": (encoded(attributes={"a": float("nan")}), Reason.BAD_JSON),
    "too many attributes": (encoded(attributes={f"a{n}": n for n in range(99)}), Reason.OUT_OF_RANGE),
    "timestamp in seconds": (encoded(timestamp_ms=START_MS // 1000), Reason.BAD_TIMESTAMP),
    "timestamp before the earliest": (encoded(timestamp_ms=DAY_95_MS - 1), Reason.BAD_TIMESTAMP),
    "timestamp in microseconds": (encoded(timestamp_ms=START_MS * 1000), Reason.BAD_TIMESTAMP),
    "timestamp in the future": (encoded(timestamp_ms=ARRIVAL_MS + 600_001), Reason.BAD_TIMESTAMP),
    "timestamp beyond int64": (encoded(timestamp_ms=10**30), Reason.BAD_TIMESTAMP),
    "id of 100 KB": (encoded(item_id="i" * 100_000), Reason.BAD_ID),
    "empty id": (encoded(event_id=""), Reason.BAD_ID),
    "lone surrogate": (encoded(event_id="X").replace(b"X", b"\\ud800"), Reason.BAD_JSON),
    "key is another user": (encoded(user_id="u2"), Reason.KEY_MISMATCH),
    "heartbeat without time": (b'{"event_type": "heartbeat"}', Reason.MISSING_FIELD),
}  # fmt: skip


@pytest.mark.parametrize("name", POISON)
def test_poison_becomes_one_dead_letter_and_the_stream_goes_on(name: str) -> None:
    value, reason = POISON[name]
    rows = [
        EventRecord(0, encoded(), b"u1"),
        EventRecord(1, value, b"u1"),
        EventRecord(2, encoded(event_id="e2"), b"u1"),
    ]
    shard = Shard(small_settings(), 0)
    outputs = run(shard, rows)
    (letter,) = [letter for one in outputs for letter in one.dead_letters]
    assert (letter.offset, letter.reason, letter.value, letter.key) == (1, reason, value, b"u1")
    assert letter.detail
    assert len(letter.detail) < 200
    assert weights(outputs)["event_id"].to_pylist() == ["e1", "e2"]
    assert shard.clock_ms == START_MS


def test_a_batch_that_was_not_decompressed_is_one_dead_letter_that_names_its_offsets() -> None:
    stand_in = EventRecord(149, None, None, headers=((REFUSED_BATCH, b"100 50"),))
    _, (letter,) = Decoder(small_settings()).decode(batch([stand_in]))
    assert (letter.offset, letter.reason, letter.value) == (149, Reason.BATCH_TOO_LARGE, None)
    assert "from offset 100 to here (50 records)" in letter.detail
    unread = replace(stand_in, headers=((REFUSED_BATCH, b"100 50 1"),))
    _, (letter,) = Decoder(small_settings()).decode(batch([unread]))
    assert letter.reason == Reason.BATCH_UNREADABLE
    _, (forged,) = Decoder(small_settings()).decode(batch([replace(stand_in, headers=((REFUSED_BATCH, b"x"),))]))
    assert forged.reason == Reason.NULL_VALUE


def test_poison_all_at_once_is_reported_in_order_of_offset() -> None:
    rows = [EventRecord(n, value, b"u1") for n, (value, _) in enumerate(POISON.values())]
    decoded, dead = Decoder(load()).decode(batch(rows))
    assert len(decoded) == 0
    assert [letter.reason for letter in dead] == [reason for _, reason in POISON.values()]


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise(value: bytes) -> None:
    decoded, dead = Decoder(Settings()).decode(batch([EventRecord(0, value, b"u1")]))
    assert len(decoded) + len(dead) == 1


@given(
    st.lists(
        st.tuples(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8), st.sampled_from(EVENT_TYPES)),
        max_size=20,
    )
)
def test_valid_events_arrive_in_columns_as_they_were_sent(told: list[tuple[str, str, str]]) -> None:
    told = [(user, item, kind) for user, item, kind in told if (user + item).isprintable()]
    sent = [event(n, kind, at_s=n, user=user, item=item, price=n) for n, (user, item, kind) in enumerate(told)]
    rows = [EventRecord(n, json.dumps(one).encode(), one["user_id"].encode()) for n, one in enumerate(sent)]
    decoded, dead = Decoder(load()).decode(batch(rows))
    assert dead == []
    assert decoded.columns["time_ms"].tolist() == [one["timestamp_ms"] for one in sent]
    assert [EVENT_TYPES[code] for code in decoded.columns["etype"]] == [kind for _, _, kind in told]
    assert decoded.columns["price"].tolist() == list(range(len(told)))
    assert np.isnan(decoded.columns["dwell_ms"]).all()
    text = [value.decode() for value in decoded.item_id.values()]
    assert text == [item for _, item, _ in told]


# What the fast path may meet: plain, odd and wrong values of every field, in JSON as senders write it.
VALUES: dict[str, list[str]] = {
    "event_id": ['"e1"', '"é"', '"a\\n"', '"\\u0041"', "7", "-7", "-0", "00", "1.0", "9" * 20, "null", '""'],
    "user_id": ['"u1"', '"u2"', "1", '"u1 "'],
    "item_id": ['"i1"', "42", '"' + "i" * 300 + '"', "true"],
    "event_type": ['"view"', '"purchase"', '"heartbeat"', '"stare"', '"View"', '""', "1"],
    "timestamp_ms": [str(START_MS), str(START_MS) + ".0", f"{START_MS}e0", "5", f"-{START_MS}", str(10**30), '"1"'],
    "category_id": ['"c1"', "null", '""', "3", "[]"],
    "session_id": ['"s1"', "null", "9"],
    "position": ["0", "3", "3.0", "-1", "1000000", "1000001", "null", '"3"'],
    "propensity": ["0.25", "1", "0", "1.5", "1e-3", "null"],
    "price": ["9.5", "0", "-1", "-0.0", "0.1", "19.99", "123456789.123456789", "1.", ".5", "01", "1e999", "NaN"],
    "dwell_ms": ["1200", "0.30000000000000004", "1E2", "null", "1200 "],
    "rating": ["4.5", "-2", "-0", "null", "--1", "1.2.3"],
    "query": ['"shoes"', "null", '"\\""', "3", '"\t"'],
    "attributes": ["{}", "null", '{"a": 1, "b": "x", "c": true}', '{"a": null}', '{"a": [1]}', '{"a" : -1.5 ,"a":2}']
    + ['{"a": null, "b": {"c": [1]}, "d": "\\n"}', '{"a": 1e999}', "[1]", '"text"', "3", '{"a": nul}', '{"a": "\xff"}']
    + ["{" + ", ".join(f'"a{n}": {n}' for n in range(count)) + "}" for count in (64, 65, 99)] + ['{"a"}'],
    "other": ["1", '"x"', "null", "false", "-0", "1e5", "{}", "[1, 2]", "nulls", "tru"],
}  # fmt: skip
REQUIRED = ("event_id", "user_id", "item_id", "event_type", "timestamp_ms")
BLANKS = ["", "", " ", "\n\t ", "\r"]


@st.composite
def json_objects(draw: st.DrawFn) -> bytes:
    """Objects near to events: mostly valid, with odd fields, blanks, repetitions and what follows."""
    names = [*REQUIRED, *draw(st.lists(st.sampled_from([*VALUES, "other"]), max_size=6))]
    if draw(st.integers(0, 9)) == 0:
        names.remove(draw(st.sampled_from(REQUIRED)))
    names = draw(st.permutations(names))
    odd = draw(st.lists(st.sampled_from(names), max_size=2))

    def blank() -> str:
        return draw(st.sampled_from(BLANKS))

    def value(name: str) -> str:
        return draw(st.sampled_from(VALUES[name])) if name in odd or name not in REQUIRED else VALUES[name][0]

    fields = [f'{blank()}"{name}"{blank()}:{blank()}{value(name)}{blank()}' for name in names]
    text = f"{blank()}{{{','.join(fields)}}}{blank()}{draw(st.sampled_from(['', '', '', ',', '}', 'x']))}"
    return text.encode()


@settings(max_examples=500)
@given(st.lists(json_objects(), min_size=1, max_size=8))
def test_the_fast_path_says_what_the_parser_says(values: list[bytes]) -> None:
    rows = batch([EventRecord(n, value, b"u1") for n, value in enumerate(values)])
    fast, dead = Decoder(Settings()).decode(rows)
    with patch("sie_online.ingest.formats.json.parse"):  # nothing is sure any more
        slow, slow_dead = Decoder(Settings()).decode(rows)
    assert dead == slow_dead
    assert fast.columns.tobytes() == slow.columns.tobytes()
    for name in ("event_id", "user_id", "item_id", "category_id"):
        assert list(getattr(fast, name).values()) == list(getattr(slow, name).values())


@pytest.mark.parametrize(
    ("attributes", "dropped"),
    [
        ({"a": None}, 0),
        ({"a": "x", "b": None, "c": 1.5, "d": True}, 0),
        ({"a": ["x"]}, 1),
        ({"a": {"b": 1}, "c": "x", "d": []}, 2),
        ([1, 2], 1),
        ("text", 1),
        (None, 0),
    ],
)
def test_an_attribute_that_cannot_be_read_is_dropped_and_counted_and_costs_no_event(
    attributes: Any, dropped: int
) -> None:
    shard = Shard(small_settings(), 0)
    value = encoded(attributes=attributes)
    (output,) = run(
        shard, [EventRecord(0, value, b"u1"), EventRecord(1, encoded(event_id="e2", attributes={"a": []}), b"u1")]
    )
    assert sum(output.counts.weighted) == 2
    assert output.counts.attributes_dropped == dropped + 1
    assert shard.stats().counts.attributes_dropped == dropped + 1


def test_what_tolerates_attributes_tolerates_nothing_else() -> None:
    for value in (encoded(attributes=[], price="x"), encoded(attributes=[]).replace(b"[]", b"[]]")):
        assert Decoder(Settings()).decode(batch([EventRecord(0, value, b"u1")]))[1]
    beat = b'{"attributes": 3, "event_type": "heartbeat", "timestamp_ms": 1700000000000}'
    decoded, dead = Decoder(Settings()).decode(batch([EventRecord(0, beat, None)]))
    assert (len(decoded), dead) == (1, [])


@pytest.mark.parametrize("written", ["1980-01-01", "1980-01-01T02:00:00+02:00"])
def test_the_earliest_time_is_a_setting(written: str) -> None:
    settings = load({"limits": {"earliest": written}})
    first_ms = 315_532_800_000
    assert settings.limits.earliest_ms == first_ms
    rows = [EventRecord(n, encoded(timestamp_ms=first_ms - n), b"u1") for n in range(2)]
    decoded, (letter,) = Decoder(settings).decode(batch(rows))
    assert decoded.columns["time_ms"].tolist() == [first_ms]
    assert "before limits.earliest (1980-01-01 00:00:00)" in letter.detail


@pytest.mark.parametrize("written", ["1970-01-01", "2100-01-02", "soon"])
def test_an_earliest_time_that_makes_no_sense_is_refused(written: str) -> None:
    with pytest.raises(SettingsError, match=r"limits\.earliest"):
        load({"limits": {"earliest": written}})


def test_plain_events_take_the_fast_path() -> None:
    rows = records(random_events(200, seed=1))
    with patch.object(Decoder, "_judge", side_effect=AssertionError("not plain enough")):
        decoded, dead = Decoder(Settings()).decode(batch(rows))
    assert (len(decoded), dead) == (200, [])


def test_integer_ids_become_decimal_text() -> None:
    rows = [
        EventRecord(0, encoded(user_id=7, item_id=10**25), b"7"),
        EventRecord(1, encoded(user_id="7", event_id="e2"), b"7"),
    ]
    out = weights(run(Shard(small_settings(), 0), rows))
    assert out["user_id"].to_pylist() == ["7", "7"]
    assert out["item_id"][0].as_py() == str(10**25)


def test_heartbeats_are_trusted_and_move_the_clock() -> None:
    shard = Shard(small_settings(), 0)
    beat = EventRecord(0, json.dumps(heartbeat(400 * 86_400)).encode(), None)
    (output,) = run(shard, [beat])
    assert output.counts.heartbeats == 1
    assert shard.clock_ms == ARRIVAL_MS, "no other event is needed to agree"


def test_user_ids_are_published_as_keyed_hashes_when_a_key_is_set(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    settings = small_settings(privacy={"hmac_key_file": key})
    out = weights(run(Shard(settings, 0), [EventRecord(0, encoded(), b"u1")]))
    assert out["user_id"].to_pylist() == [hmac.new(b"k" * 32, b"u1", hashlib.sha256).hexdigest()]


def test_a_short_or_missing_key_is_refused(tmp_path: Path) -> None:
    for content in (b"short", None):
        file = tmp_path / "key"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(SettingsError, match=r"privacy\.hmac_key_file"):
            Decoder(load({"privacy": {"hmac_key_file": file}}))
