"""Records in order of time, whatever the order of their rows: all of them are read first, and wait on disk."""

from __future__ import annotations

import tempfile
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from sie_online.ingest.wire import Chunk, Origin, Records

SCHEMA = pa.schema(
    [
        ("key", pa.large_binary()),
        ("value", pa.large_binary()),
        ("file", pa.large_string()),
        ("line", pa.int64()),
        ("row_group", pa.int64()),
        ("fault", pa.large_string()),
    ]
)
READING = 0.5
"""Share of the whole that ends when everything is read."""


class _Timed(msgspec.Struct):
    timestamp_ms: int = 0


def by_time(chunks: Iterator[Chunk], rows: int) -> Iterator[Chunk]:
    """The records of ``chunks``, which come from files, in chunks of ``rows`` by the time that each claims.

    Those of the same time stay in their order; one that claims none follows its predecessor. While they are read there
    are only empty chunks, which tell the progress.
    """
    times = array("q")
    with tempfile.TemporaryDirectory(prefix="sie-sort-") as folder:
        path = Path(folder) / "records.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for chunk in chunks:
                _note_times(times, chunk)
                writer.write_table(_table(chunk))
                yield Chunk([], READING * chunk.progress, None, chunk.skipped)
        order = np.argsort(np.frombuffer(times, np.int64), kind="stable")
        with pa.memory_map(str(path)) as source:
            records = pa.ipc.open_file(source).read_all()
            for begin in range(0, len(order), rows):
                share = READING + (1 - READING) * min(1.0, (begin + rows) / len(order))
                yield _chunk(records.take(pa.array(order[begin : begin + rows])), share)


def _note_times(times: array[int], chunk: Chunk) -> None:
    decode = msgspec.json.Decoder(_Timed).decode
    latest = times[-1] if times else 0
    for record in chunk.records:
        with suppress(ValueError, RecursionError):  # no event, or none that tells a time
            latest = decode(record.value or b"").timestamp_ms or latest
        times.append(latest)


def _table(chunk: Chunk) -> pa.Table:
    n, origin = len(chunk), chunk.origin
    columns: list[Any] = [[record.key for record in chunk.records], [record.value for record in chunk.records]]
    if origin is None:
        columns += [pa.nulls(n, kind) for kind in SCHEMA.types[2:]]
    else:
        groups = pa.nulls(n, pa.int64()) if origin.row_groups is None else origin.row_groups
        faults = [origin.faults.get(at) for at in range(n)] if origin.faults else pa.nulls(n, SCHEMA.types[-1])
        columns += [[origin.file_of(at) for at in range(n)], origin.lines, groups, faults]
    return pa.table([pa.array(column, kind) for column, kind in zip(columns, SCHEMA.types, strict=True)], schema=SCHEMA)


def _chunk(table: pa.Table, share: float) -> Chunk:
    keys, values, files, lines, groups, faults = (table[name] for name in SCHEMA.names)
    records = Records(keys.to_pylist(), values.to_pylist())
    known_faults = (
        {at: fault for at, fault in enumerate(faults.to_pylist()) if fault is not None} if _any(faults) else {}
    )
    row_groups = groups.fill_null(-1).to_numpy() if _any(groups) else None
    return Chunk(records, share, Origin(files.to_pylist(), lines.to_numpy(), row_groups, known_faults))


def _any(column: Any) -> bool:
    return bool(column.null_count < len(column))
