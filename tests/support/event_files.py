"""What comes out of a file that a person has: the events, the rows that are none and why, or the refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.ingest.decoder import Decoder
from sie_online.ingest.sources import Reading, read_events
from sie_online.settings import Settings
from tests.support.events import EventRecord, batch

T = 1_750_000_000_000
"""2025-06-15 15:06:40 UTC."""
ARRIVAL = T + 86_400_000
"""When brokers got the records, ms."""
HEAD = "event_id,user_id,item_id,event_type,timestamp_ms"
Content = bytes | str | pa.Table


def made(n: int = 1, **more: Any) -> dict[str, Any]:
    """The event that row ``n`` of a made-up file is."""
    return {"event_id": f"e{n}", "user_id": "u1", "item_id": "i1", "event_type": "view", "timestamp_ms": T + n} | more


def csv(*rows: str, head: str = HEAD, end: str = "\n") -> str:
    """Text of a CSV file."""
    return end.join([head, *rows]) + end


def table(rows: int = 3, **columns: Any) -> pa.Table:
    """Rows 1 to ``rows`` as a table; ``columns`` (lists, or arrays) take the place of others, or are added."""
    plain = {name: [made(n)[name] for n in range(1, rows + 1)] for name in made()}
    return pa.table(plain | columns)


def write(path: Path, content: Content) -> Path:
    """Write a file, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, pa.Table):
        pq.write_table(content, path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@dataclass
class Outcome:
    """What a worker makes of the records that were read.

    Attributes:
        events: JSON values of those that are events, or heartbeats, in order.
        dead: place (line, or row) and reason of the others.
        faults: what the reader said about them, by place.
        places: as they are called for people, of all records.
        skipped: rows that were left out.
        notes: what a person was told.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    dead: list[tuple[int, str]] = field(default_factory=list)
    faults: dict[int, str] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)
    skipped: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        """Of the events."""
        return [event["event_id"] for event in self.events]


def outcome(paths: Path | str | Sequence[Path | str], limit: int | None = None, **says: Any) -> Outcome:
    """Read ``paths`` as ``Reading(**says)`` says, and decode what comes.

    Raises:
        UsageError: see ``read_events``.
    """
    found, paths = Outcome(), [paths] if isinstance(paths, Path | str) else paths
    for chunk in read_events(paths, Reading(**says), limit=limit, note=found.notes.append):
        found.skipped += chunk.skipped
        records = [EventRecord(at, record.value, record.key, ARRIVAL) for at, record in enumerate(chunk.records)]
        _, letters = _decoder().decode(batch(records))
        refused = {letter.offset: str(letter.reason) for letter in letters}
        for at, record in enumerate(records):
            assert chunk.origin is not None
            line = int(chunk.origin.lines[at])
            found.places.append(chunk.origin.place(at))
            if at in chunk.origin.faults:
                found.faults[line] = chunk.origin.faults[at]
            if at in refused:
                found.dead.append((line, refused[at]))
            else:
                found.events.append(json.loads(record.value or b""))
    return found


def read(tmp_path: Path, name: str, content: Content, **says: Any) -> Outcome:
    """Write one file, and read it."""
    return outcome(write(tmp_path / name, content), **says)


def without(event: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """``event`` without some of its fields."""
    return {name: value for name, value in event.items() if name not in names}


@cache
def _decoder() -> Decoder:
    return Decoder(Settings())
