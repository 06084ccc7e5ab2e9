"""A release's checkpoint, and what that release said of the records after it: a golden file, kept for ever.

Run by path, so that it is the code of ``PYTHONPATH`` that writes:

    git worktree add /tmp/release v0.2.0
    PYTHONPATH=/tmp/release python tests/contract/checkpoint_files.py

It writes ``tests/contract/golden/checkpoint-<version>.tar.xz``, and touches none that exists: `FILES` of one partition
of a generated log with unreadable records, duplicates and an erasure, half of it before the checkpoint.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from sie_online.contracts import CODE_VERSION
from sie_online.ingest.records import RecordBatch
from sie_online.ingest.wire import WireRecord, erasure, final_heartbeats
from sie_online.settings import Settings, load
from sie_online.shard import Shard, ShardOutput
from sie_online.simulator import Scenario, simulate
from streams.checkpoint import CheckpointStore

GOLDEN = Path(__file__).parent / "golden"
FILES = {
    "settings.json": "what the release was told",
    "store/…": "the checkpoint, as the release's worker would find it",
    "records.json": "keys and values of the whole log, in latin-1: none of them need be text",
    "said.json": "the messages that followed in latin-1, and digests of their columns as the release itself read them",
}
CLAIMS = "epochs"
"""Folder of the claims, which name the machine that wrote them, and which a manifest makes good."""
EVENTS = 1_200
BATCH = 200
ARRIVED_MS = 1_900_000_000_000
"""Kafka's timestamp of every record: later than all events."""
GIVEN: dict[str, Any] = {
    "group": "golden",
    "labels": {"window_s": 3_600, "max_open_views": 1_024},
    "dedupe": {"events": 64},
    "entities": {"users": 64, "items": 64, "categories": 64, "pairs": 128, "interests": 64},
}
"""Tables so small that entities make room for others."""


class LogRecord(NamedTuple):
    """A consumer record, as far as batches are built from it."""

    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int = ARRIVED_MS
    headers: Sequence[tuple[str, bytes]] = ()


def batches(records: Sequence[LogRecord], size: int) -> Iterator[RecordBatch]:
    """``records``, so many at once."""
    for first in range(0, len(records), size):
        rows = records[first : first + size]
        start, end = rows[0].offset, rows[-1].offset + 1
        yield RecordBatch.of(rows, topic="sie.events", partition=0, epoch=1, start=start, end=end)


def digests(table: pa.Table) -> dict[str, str]:
    """A digest of every column, to the bit, but of the owner's generation."""
    return {name: _digest(table[name]) for name in table.column_names if name != "generation"}


def _digest(column: pa.ChunkedArray) -> str:
    text = json.dumps(column.to_pylist(), default=str)  # a float is written so that it reads the same to the bit
    return hashlib.sha256(text.encode()).hexdigest()


def table_of(batches_of_rows: Iterable[pa.RecordBatch]) -> pa.Table:
    """Rows, one after the other."""
    return pa.Table.from_batches(list(batches_of_rows))


def said(outputs: Sequence[ShardOutput]) -> dict[str, Any]:
    """What ``outputs`` hold, for `said.json`."""
    framed = {
        "weights": [one.framed for one in outputs],
        "samples": [one.gathered.framed for one in outputs if len(one.gathered.framed)],
    }
    return {
        "messages": {
            kind: [_text(message) for one in each for message in one.messages] for kind, each in framed.items()
        },
        "digests": {kind: digests(table_of(one.batch for one in each)) for kind, each in framed.items()},
        "entities": newest_entities(outputs),
        "dead_letters": [letter.offset for one in outputs for letter in one.dead_letters],
    }


def newest_entities(outputs: Iterable[ShardOutput]) -> dict[str, str | None]:
    """The newest statement about each entity, by key."""
    found = {key: value for one in outputs for key, value in one.gathered.entities}
    return {key.decode("latin-1"): _text(value) for key, value in sorted(found.items())}


def log_of(settings: Settings) -> list[LogRecord]:
    """The generated log: half of it, an erasure, the other half, a heartbeat that settles everything."""
    stream = simulate(Scenario(events=EVENTS, seed=7, hours=8.0))
    wire: list[WireRecord] = [*stream.records()]
    half = len(wire) // 2
    user = next(record.key for record in reversed(wire[:half]) if record.key)
    wire[half + BATCH : half + BATCH] = [erasure(user.decode(), 0)]
    wire += final_heartbeats(settings, stream.last_event_ms, 1)
    return [LogRecord(offset, record.value, record.key) for offset, record in enumerate(wire)]


def make(folder: Path) -> Mapping[str, bytes]:
    """The golden file's content, with a store in ``folder``."""
    settings = load({**GIVEN, "store": folder.as_uri()})
    records, shard = log_of(settings), Shard(settings, 0, generation=1)
    half = BATCH * (len(records) // 2 // BATCH)
    for batch in batches(records[:half], BATCH):
        for _ in shard.process(batch):
            pass
    store = CheckpointStore(settings, settings.topics.events, input_partitions=1)
    store.write(0, store.claim(0, 1), shard.snapshot())
    after = list(itertools.chain.from_iterable(shard.process(batch) for batch in batches(records[half:], BATCH)))
    lines = [[_text(record.key), _text(record.value)] for record in records]
    made = {"settings.json": GIVEN, "records.json": lines, "said.json": said(after)}
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    stored = {path.relative_to(folder): path for path in files if path.parent.name != CLAIMS}
    return {name: json.dumps(what).encode() for name, what in made.items()} | {
        f"store/{name}": path.read_bytes() for name, path in stored.items()
    }


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("latin-1")


def main() -> None:
    """Make the file of the code that is imported, if there is none."""
    path = GOLDEN / f"checkpoint-{CODE_VERSION}.tar.xz"
    with tempfile.TemporaryDirectory() as folder:
        content = make(Path(folder))
    with path.open("xb") as file, tarfile.open(fileobj=file, mode="w:xz", preset=9) as archive:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    sys.stdout.write(f"made {path} of {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
