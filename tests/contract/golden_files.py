"""The golden files: one message per topic, made once from hand-written rows and then kept for ever.

``python -m tests.contract.golden_files`` makes those that are missing; it never touches one that exists, since that is
what old topics hold. When a contract gains columns, write ``<topic>-2.rows.json`` and run it again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from models.manifest import Manifest
from sie_online import announcements, content, contracts, ndjson_text, statements
from sie_online.client.entities import parse_key
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import DeadLetter, EventBatch, Reason
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from streams.worker.publisher import dead_letter
from tests.support.rows import packed, packed_samples

DIRECTORY = Path(__file__).parent / "golden"
SOURCE = "sie.events"
FEATURE_SCHEMA = "0123456789abcdef"


def rows(name: str) -> list[dict[str, Any]]:
    """The hand-written rows of ``name``, as in ``weights-1``."""
    return json.loads((DIRECTORY / f"{name}.rows.json").read_text("utf-8"))


def arrow_schema(name: str, first: dict[str, Any]) -> pa.Schema:
    """Today's schema of the topic of ``name``, cut to the columns that its rows have."""
    if name.startswith("weights"):
        schema = contracts.weights_schema(SOURCE)
    else:
        schema = contracts.samples_schema(SOURCE, len(first["features"]), len(first["dense"]), FEATURE_SCHEMA)
    return pa.schema([field for field in schema if field.name in first], metadata=schema.metadata)


def arrow_message(name: str) -> bytes:
    """The message of weights or samples."""
    content = rows(name)
    return contracts.to_message(pa.RecordBatch.from_pylist(content, schema=arrow_schema(name, content[0])))


def packed_message(name: str) -> bytes:
    """The message of weights or samples in layout 2."""
    content = rows(name)
    pack = packed if name.startswith("weights") else packed_samples
    (message,) = pack(pa.RecordBatch.from_pylist(content, schema=arrow_schema(name, content[0]))).messages
    return message


def json_message(name: str) -> bytes:
    """The message of weights or samples as JSON lines; it has the rows of the one in layout 1."""
    name = name.replace("-json", "")
    stored = rows(name)
    (message,) = ndjson_text.messages(pa.RecordBatch.from_pylist(stored, schema=arrow_schema(name, stored[0])), 900_000)
    return message


def headers_of_all(name: str) -> bytes:
    """What every kind of message says of itself: headers by kind, a line each."""
    said = {
        **{
            content.of_rows(*kind).schema: content.of_rows(*kind)
            for kind in product(("weights", "samples"), content.LAYOUTS)
        },
        **{
            key: content.of_model(key.encode())
            for key in ("net/01J", "net/announcement/7", "net/current", "net/adopted/3/7", "net/trainer/lease")
        },
        "entities": content.ENTITIES,
        "recommendations": content.RECOMMENDATIONS,
        "events": content.EVENTS,
        "dead letters": content.DEAD_LETTERS,
    }
    lines = [json.dumps({"of": kind, "headers": _texts(one.headers)}) for kind, one in said.items()]
    first = rows("samples-1")[0]
    schema = contracts.samples_schema(SOURCE, len(first["features"]), len(first["dense"]), FEATURE_SCHEMA, ["a"], ["x"])
    metadata = content.of_metadata({**schema.metadata, b"code_version": b"0.2.0"})
    lines.append(json.dumps({"of": "metadata of samples as JSON lines", "headers": _texts(metadata)}))
    return "".join(f"{line}\n" for line in lines).encode()


def _texts(headers: Iterable[content.Header]) -> list[list[str]]:
    return [[name, value.decode()] for name, value in headers]


def entity_lines(name: str) -> bytes:
    """Keys and values, tab-separated, a line per record."""
    lines = []
    for row in rows(name):
        entity, partition = parse_key(row["key"].encode())
        key, value = row["key"].encode(), b""
        if row["value"] is not None:
            state = statements.EntityState(**row["value"])
            key, value = statements.encode(entity.kind, entity.id.encode(), partition or 0, state)
        lines.append(key + b"\t" + value + b"\n")
    return b"".join(lines)


def recommendation_lines(name: str) -> bytes:
    """Keys and values, tab-separated, a line per record."""
    lines = []
    for row in rows(name):
        key, value = row["key"].encode(), b""
        if row["value"] is not None:
            key, value = statements.encode_recommendations(statements.Recommendations(**row["value"]))
        lines.append(key + b"\t" + value + b"\n")
    return b"".join(lines)


def dead_letter_lines(name: str) -> bytes:
    """Key, value and headers as JSON, a line per record."""
    return b"".join(json.dumps(_dead_letter(row)).encode() + b"\n" for row in rows(name))


def _dead_letter(row: dict[str, Any]) -> dict[str, Any]:
    letter = DeadLetter(
        offset=row["offset"],
        timestamp_ms=row["timestamp_ms"],
        reason=Reason(row["reason"]),
        detail=row["detail"],
        key=_encoded(row["key"]),
        value=_encoded(row["value"]),
        headers=[(name, value.encode()) for name, value in row["headers"]],
    )
    key, value, headers = dead_letter(SOURCE, row["partition"], letter)
    return {"key": _decoded(key), "value": _decoded(value), "headers": [[n, v.decode()] for n, v in headers]}


def model_lines(name: str) -> bytes:
    """Keys and values of the models topic, tab-separated, a line per record."""
    return b"".join(row["key"].encode() + b"\t" + _model_record(row) + b"\n" for row in rows(name))


def _model_record(row: dict[str, Any]) -> bytes:
    kind, value = row["key"].split("/")[1], row["value"]
    if kind == "current":
        return b"%d" % value
    if kind in ("announcement", "adopted"):
        record = announcements.Announcement if kind == "announcement" else announcements.Adopted
        return announcements.encode(msgspec.convert(value, record, str_keys=True, strict=False))
    return Manifest.from_json(json.dumps(value)).to_json().encode()


def event_lines(name: str) -> bytes:
    """Values as producers write them, a line per record."""
    return b"".join(msgspec.json.encode(row) + b"\n" for row in rows(name))


def event_table(values: list[bytes]) -> list[dict[str, Any]]:
    """What the decoder makes of ``values``: ids as text, absent numbers as None."""
    records = [_KeyedRecord(offset, value) for offset, value in enumerate(values)]
    batch = RecordBatch.of(records, topic=SOURCE, partition=0, epoch=1, start=0, end=len(values))
    events, dead = Decoder(Settings()).decode(batch)
    if dead:
        raise ValueError(dead)
    return list(_event_rows(events))


class _KeyedRecord:
    """A Kafka record, keyed as our producers key it and written long after its event."""

    def __init__(self, offset: int, value: bytes) -> None:
        user_id = json.loads(value).get("user_id")
        self.offset, self.value, self.timestamp = offset, value, 4_000_000_000_000
        self.key = None if user_id is None else str(user_id).encode()
        self.headers: list[tuple[str, bytes]] = []


def _event_rows(events: EventBatch) -> Iterator[dict[str, Any]]:
    ids = {name: getattr(events, name) for name in ("event_id", "user_id", "item_id", "category_id")}
    for at, columns in enumerate(events.columns):
        numbers = {name: float(columns[name]) for name in ("position", "propensity", "price", "dwell_ms", "rating")}
        yield {
            **{name: bytes(text.data[text.offsets[at] : text.offsets[at + 1]]).decode() for name, text in ids.items()},
            "type": (*contracts.EVENT_TYPES, contracts.HEARTBEAT)[columns["etype"]],
            "time_ms": int(columns["time_ms"]),
            "offset": int(columns["offset"]),
            "has_session": bool(columns["session_key"]),
            **{name: None if number != number else number for name, number in numbers.items()},
        }


def event_table_lines(name: str) -> bytes:
    """The decoded table as JSON, a line per event."""
    values = (DIRECTORY / f"{name}.jsonl").read_bytes().splitlines()
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in event_table(values))


def _encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _decoded(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


BUILDERS = {
    "weights-1.arrow": arrow_message,
    "samples-1.arrow": arrow_message,
    "weights-packed-1.arrow": packed_message,
    "samples-packed-1.arrow": packed_message,
    "entities-1.tsv": entity_lines,
    "weights-json-1.ndjson": json_message,
    "samples-json-1.ndjson": json_message,
    "recs-1.tsv": recommendation_lines,
    "dead-letters-1.jsonl": dead_letter_lines,
    "dead-letters-2.jsonl": dead_letter_lines,
    "headers-1.jsonl": headers_of_all,
    "models-1.tsv": model_lines,
    "events-1.jsonl": event_lines,
    "events-1.table.jsonl": event_table_lines,
}


FORMER = {"dead-letters-1.jsonl": "without the headers content-type and sie-schema"}
"""Files that today's code would write otherwise, and in what way."""


def build(name: str) -> bytes:
    """The content of golden file ``name`` as today's code would make it."""
    return BUILDERS[name](name.partition(".")[0])


def main() -> None:
    """Make the missing files."""
    for name in BUILDERS:
        path = DIRECTORY / name
        if not path.exists():
            path.write_bytes(build(name))
            sys.stdout.write(f"made {path.name}\n")


if __name__ == "__main__":
    main()
