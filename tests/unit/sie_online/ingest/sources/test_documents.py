"""JSON lines reach the worker as they lie in the file: every line gets the verdict and the values it has of its own."""

from __future__ import annotations

import codecs
import json
import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import DeadLetter, EventBatch
from sie_online.ingest.sources import Reading, read_events
from sie_online.settings import Settings
from tests.fuzz.mutate import TEXT, mutated
from tests.fuzz.targets import TARGETS
from tests.support.events import EventRecord, batch, random_events, records

BLANKS = b" \t\r\n"
T = 1_700_000_000_000
BY_HAND = [
    b'{"event_id":"e1","user_id":"u1","item_id":"i1","event_type":"view","timestamp_ms":1700000000001,"price":NaN}',
    b'{"event_id":"e2","user_id":"u1","item_id":"i1","event_type":"view","timestamp_ms":1700000000001,"price":Infinity}',
    b'{"event_id":"e3","user_id":7,"item_id":"i1","event_type":"view","timestamp_ms":-Infinity}',
    b'{"event_type":"heartbeat","timestamp_ms":1700000000002}',
    b'{"event_type":"erase","user_id":"u1"}',
    b'{"event_type":"erase","user_id":"u1","timestamp_ms":1700000000002}',
    b'{"event_id":"e4","user_id":"u\xff","item_id":"i1","event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e5","user_id":"\xc3\xa9","item_id":"i1","event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e6","user_id":"\\u00e9","item_id":"i1","event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e7","user_id":"\\ud83d\\ude00","item_id":"i1","event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e8","user_id":"\\ud800","item_id":"i1","event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e9","user_id":12345678901234567890123,"item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e10","user_id":-5,"item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e11","user_id":5.0,"item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e12","user_id":"","item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e13","user_id":null,"item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"user_id":"a","user_id":"b","event_id":"e14","item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e15","\\u0075ser_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e16","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001,"tags":["user_id"]}',
    b'{"other":{"user_id":"x"},"event_id":"e17","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e18","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001} trailing',
    b'{"event_id":"e19","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001}{}',
    b'{"event_id":"e20","user_id":"u1","item_id":1,"event_type":"teleport","timestamp_ms":1700000000001}',
    b'{"event_id":"e21","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001000}',
    b'{"event_id":"e22","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001,"attributes":{"a":null}}',
    b'{"event_id":"e23","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001,"attributes":{"a":[1]}}',
    b'{"event_id":"e24","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":"1700000000001"}',
    b'{"event_id":"e25","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001.5}',
    b'{"event_id":"e26","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":17e11}',
    b'{"event_id":"e27","user_id":"u\x00","item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"event_id":"e28","user_id":"u\xe2\x80\xa8x","item_id":"\xc2\x85","event_type":"view","timestamp_ms":1700000000001}',
    b'\x0c{"event_id":"e29","user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b'{"user_id":"u1","item_id":1,"event_type":"view","timestamp_ms":1700000000001}',
    b"[" * 3_000,
    b'{"a":' * 2_000,
    b"null",
    b"42",
    b'"text"',
    b"[]",
    b"{",
    b"\xff\xfe\xfd",
    b"# a comment",
    b"event_id,user_id,item_id,event_type,timestamp_ms",
]
GOOD = records(random_events(30, seed=5))


class Addressed(msgspec.Struct):
    """What of an event says whose it is; like the worker, it looks at nothing else."""

    user_id: str | int


@cache
def _decoder() -> Decoder:
    return Decoder(Settings())


def verdicts(values: Sequence[bytes], keys: Sequence[bytes | None]) -> tuple[EventBatch, list[DeadLetter]]:
    """What the worker makes of these records."""
    return _decoder().decode(
        batch([EventRecord(at, value, key) for at, (value, key) in enumerate(zip(values, keys, strict=True))])
    )


def right_key(value: bytes) -> bytes | None:
    """The key that a producer gives a record: its user, where it has one."""
    try:
        return str(msgspec.json.decode(value, type=Addressed).user_id).encode()
    except (ValueError, RecursionError):
        return None


def compare(path: Path, values: Sequence[bytes], lines: Sequence[int], reading: Reading | None = None) -> None:
    """Hold the reader's records against ``values``, each a record of its own, that begin at ``lines``."""
    chunks = list(read_events([path], reading))
    found = [record for chunk in chunks for record in chunk.records]
    assert [int(line) for chunk in chunks if chunk.origin for line in chunk.origin.lines] == list(lines)
    mine, dead = verdicts([one.value or b"" for one in found], [one.key for one in found])
    theirs, theirs_dead = verdicts(values, [right_key(value) for value in values])
    assert [(one.offset, one.reason, one.detail) for one in dead] == [
        (one.offset, one.reason, one.detail) for one in theirs_dead
    ]
    assert mine.columns.tobytes() == theirs.columns.tobytes()
    for name in ("event_id", "user_id", "item_id", "category_id"):
        assert list(getattr(mine, name).values()) == list(getattr(theirs, name).values())


def compare_lines(path: Path, content: bytes, reading: Reading | None = None) -> None:
    """Hold the reader's records against the lines of ``content`` without a byte order mark."""
    lines = content.removeprefix(codecs.BOM_UTF8).split(b"\n")
    told = [(number, line.strip(BLANKS)) for number, line in enumerate(lines, 1) if line.strip(BLANKS)]
    path.write_bytes(content)
    compare(path, [line for _, line in told], [number for number, _ in told], reading)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b" \n\t\n"], ids=["lf", "crlf", "blank-lines", "blanks"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "marked"])
def test_every_line_has_the_verdict_of_a_record_of_its_own(tmp_path: Path, end: bytes, mark: bytes) -> None:
    values = [*(record.value or b"" for record in GOOD), *BY_HAND]
    compare_lines(tmp_path / "events.jsonl", mark + end.join(values) + end)
    compare_lines(tmp_path / "unended.jsonl", mark + end.join(values))


def test_the_records_by_hand_are_of_every_verdict() -> None:
    valid, dead = verdicts(BY_HAND, [right_key(value) for value in BY_HAND])
    assert len(valid) >= 10
    assert {letter.reason for letter in dead} >= {
        "bad_json", "bad_utf8", "missing_field", "wrong_type", "bad_timestamp", "bad_id", "too_deep",
    }  # fmt: skip


@settings(max_examples=60)
@given(seed=st.integers(0, 1 << 32), end=st.sampled_from([b"\n", b"\r\n"]))
def test_damaged_lines_have_the_verdict_of_a_record_of_their_own(
    seed: int, end: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rng, seeds = random.Random(seed), [*TARGETS["events"].seeds(), *BY_HAND]
    damaged = [mutated(rng, seeds, TEXT) for _ in range(24)]
    content = (GOOD[0].value or b"") + end + end.join(damaged)
    compare_lines(tmp_path_factory.getbasetemp() / "damaged.jsonl", content, Reading(encoding="utf-8"))


def test_huge_lines_are_dead_letters_and_their_neighbours_live(tmp_path: Path) -> None:
    huge = json.dumps({"query": "x" * 3_000_000}).encode()
    attributed = json.loads(GOOD[1].value or b"") | {"attributes": {"long": "y" * 1_200_000}}
    values = [GOOD[0].value or b"", huge, json.dumps(attributed).encode(), GOOD[2].value or b""]
    compare_lines(tmp_path / "huge.jsonl", b"\n".join(values))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_other_encodings_read_as_utf8(tmp_path: Path, encoding: str) -> None:
    values = [value for value in BY_HAND if right_key(value)]
    text = "\r\n".join(value.decode() for value in values)
    (tmp_path / "events.jsonl").write_text(text, encoding=encoding, newline="")
    lines = range(1, len(values) + 1)
    compare(tmp_path / "events.jsonl", values, lines, Reading(encoding="" if encoding != "utf-16-le" else encoding))


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "marked"])
@pytest.mark.parametrize("between", [b",", b",\n", b"\n ,\r\n\n"], ids=["one-line", "lines", "odd"])
def test_every_element_of_an_array_has_the_verdict_of_a_record_of_its_own(
    tmp_path: Path, mark: bytes, between: bytes
) -> None:
    values = [*(record.value or b"" for record in GOOD), *(value for value in BY_HAND if _is_json(value))]
    opening = b" [\n" if b"\n" in between else b"["
    (tmp_path / "events.json").write_bytes(mark + opening + between.join(values) + b"\n]\n")
    step, first = between.count(b"\n"), 1 + opening.count(b"\n")
    lines = [first + step * number for number in range(len(values))]
    compare(tmp_path / "events.json", values, lines)


def test_an_array_may_be_of_any_size_and_be_laid_out_for_people(tmp_path: Path) -> None:
    events = random_events(9_000, seed=6)
    (tmp_path / "events.json").write_text(json.dumps(events, indent=2))
    sizes = [len(event) + 2 for event in events]
    lines = [2 + sum(sizes[:at]) for at in (0, 1, 2)]
    chunks = list(read_events([tmp_path / "events.json"]))
    assert [json.loads(record.value or b"") for chunk in chunks for record in chunk.records] == events
    assert chunks[0].origin is not None
    assert chunks[0].origin.lines[:3].tolist() == lines


def _is_json(value: bytes) -> bool:
    """What every parser of JSON takes as a value."""
    try:
        msgspec.json.decode(value)
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True
