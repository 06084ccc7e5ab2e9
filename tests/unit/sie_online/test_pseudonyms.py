"""With ``privacy.hmac_key_file`` set, nothing that leaves the process tells a user's id."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sie_online.contracts import to_message
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import DeadLetter, Reason
from sie_online.settings import Settings
from sie_online.shard import Shard
from streams.worker.publisher import dead_letter
from tests.support.events import EventRecord, batch, event, heartbeat, run, small_settings

WHO = "mallory@mail.example"
KEY = b"k" * 32


@pytest.fixture
def keyed(tmp_path: Path) -> Settings:
    file = tmp_path / "key"
    file.write_bytes(KEY)
    return small_settings(privacy={"hmac_key_file": str(file)})


def pseudonym(text: bytes) -> bytes:
    return hmac.new(KEY, text, hashlib.sha256).hexdigest().encode()


def valid(n: int, **more: Any) -> dict[str, Any]:
    """An event that carries the id wherever a shop might put it."""
    return event(n, user=WHO, at_s=n, session_id=f"{WHO}-1", query=f"orders of {WHO}", attributes={WHO: WHO}, **more)


MALFORMED = [
    f'{{"user_id": "{WHO}"',
    f'{{"user_id": "{WHO}"}}',
    f"\x1b[31m{WHO}",
    json.dumps(valid(1) | {"event_type": WHO}),
    json.dumps(valid(1) | {"timestamp_ms": WHO}),
    json.dumps(valid(1) | {"price": -1}),
    json.dumps(valid(1) | {"position": WHO}),
    json.dumps(valid(1) | {"attributes": {WHO: [WHO]}, "price": WHO}),
    json.dumps(valid(1) | {"attributes": {f"{WHO}{n}": 1 for n in range(65)}}),
    json.dumps(valid(1) | {"item_id": WHO * 100}),
    json.dumps(valid(1) | {"timestamp_ms": 5}),
    json.dumps({"event_type": "erase", "user_id": WHO, WHO: 1}),
    json.dumps({"event_type": "heartbeat", "timestamp_ms": WHO}),
    "[" * 300 + WHO,
    json.dumps(valid(1) | {"query": WHO * 20_000}),
]


def told() -> list[EventRecord]:
    """Valid events, malformed ones, a record with another's key and one without a value."""
    values = [json.dumps(valid(n, item=f"i{n % 3}")) for n in range(2, 9)] + [
        json.dumps(valid(9) | {"event_type": "purchase"})
    ]
    headers = (("trace", WHO.encode()), (WHO, b"1"))
    rows = [
        EventRecord(at, value.encode(), WHO.encode(), headers=headers) for at, value in enumerate([*values, *MALFORMED])
    ]
    rows.append(EventRecord(len(rows), json.dumps(valid(10)).encode(), f"not {WHO}".encode(), headers=headers))
    rows.append(EventRecord(len(rows), None, WHO.encode(), headers=headers))
    rows.append(EventRecord(len(rows), json.dumps(heartbeat(9_000)).encode(), None))
    return rows


def test_no_output_state_or_log_line_carries_a_raw_user_id(keyed: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shard = Shard(keyed, 0)
    outputs = run(shard, told())
    letters = [letter for output in outputs for letter in output.dead_letters]
    assert len(letters) == len(MALFORMED) + 2
    out = [to_message(table) for output in outputs for table in (output.weights, output.gathered.samples)]
    out += [part or b"" for output in outputs for statement in output.gathered.entities for part in statement]
    for key, value, headers in (dead_letter("sie.events", 0, letter) for letter in letters):
        out += [key or b"", value or b"", *(name.encode() + content for name, content in headers)]
    out += [bytes(piece) for piece in shard.snapshot().changed.values()]
    out += [str(output.counts).encode() for output in outputs] + [caplog.text.encode()]
    everything = b"\n".join(out)
    assert pseudonym(WHO.encode()) in everything
    assert WHO.encode() not in everything
    unkeyed, _ = Decoder(small_settings()).decode(batch(told()[:1]))
    assert unkeyed.columns["user_key"].tobytes() not in everything  # a hash that whoever lists the ids can look up


def test_a_dead_letter_is_still_known_by_place_reason_size_and_keyed_digest(keyed: Settings) -> None:
    value = f'{{"user_id": "{WHO}"'.encode()
    (letter,) = letters_of([EventRecord(0, value, WHO.encode(), headers=(("trace", WHO.encode()),))], keyed)
    key, shown, headers = dead_letter("sie.events", 3, letter)
    named = dict(headers)
    assert (key, shown) == (pseudonym(WHO.encode()), None)
    assert named["sie-value-bytes"] == str(len(value)).encode()
    assert named["sie-value-hmac-sha256"] == pseudonym(value)
    assert (named["sie-reason"], named["sie-source-partition"], named["sie-source-offset"]) == (b"bad_json", b"3", b"0")
    assert "trace" not in named


def test_without_a_key_a_dead_letter_is_the_record_as_it_came() -> None:
    headers = (("trace", b"t"),)
    (letter,) = letters_of([EventRecord(0, b"{", b"k", headers=headers)], small_settings())
    key, value, shown = dead_letter("sie.events", 3, letter)
    assert (key, value, letter.reason) == (b"k", b"{", Reason.BAD_JSON)
    assert shown[0] == ("trace", b"t")


def letters_of(rows: list[EventRecord], settings: Settings) -> list[DeadLetter]:
    _, dead = Decoder(settings).decode(batch(rows))
    return dead
