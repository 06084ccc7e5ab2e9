"""The Parquet folder beside Kafka: at least once, whatever kills the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sie_online.shard import Shard, ShardOutput
from sie_online.tables import newest_statements
from streams.sinks import WEIGHTS, ParquetFolder, Rows, parquet
from tests.support.events import batch, random_events, records, run, small_settings
from tests.support.rows import weight_batch, weight_row


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def _rows(first: int, last: int, generation: int = 3) -> Rows:
    return Rows(WEIGHTS, 0, weight_batch(*(weight_row(n, generation=generation) for n in range(first, last))))


def test_one_file_per_stream_partition_and_flush(tmp_path: Path) -> None:
    async def fill() -> None:
        sink = ParquetFolder(tmp_path.as_uri())
        await sink.start()
        for first in (0, 10):
            await sink.add(_rows(first, first + 5))
            await sink.add(_rows(first + 5, first + 10))
            await sink.flush(0)

    asyncio.run(fill())
    assert _files(tmp_path) == ["weights/0/0000000003-000000.parquet", "weights/0/0000000003-000001.parquet"]
    assert pq.read_table(tmp_path / "weights")["offset"].to_pylist() == list(range(20))


def test_rows_beyond_the_buffer_do_not_wait_for_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BUFFER_BYTES", _rows(0, 10).batch.nbytes + 1)
    sink = ParquetFolder(tmp_path.as_uri())
    for first in (0, 10):
        asyncio.run(sink.add(_rows(first, first + 10)))
    assert len(_files(tmp_path)) == 1


def test_what_a_killed_owner_was_writing_is_swept_away(tmp_path: Path) -> None:
    folder = tmp_path / "weights" / "0"
    folder.mkdir(parents=True)
    (folder / "0000000002-000004.parquet.tmp").write_bytes(b"PAR1")
    sink = ParquetFolder(tmp_path.as_uri())

    async def fill() -> None:
        await sink.add(_rows(0, 1))
        await sink.flush(0)

    asyncio.run(fill())
    assert _files(tmp_path) == ["weights/0/0000000003-000000.parquet"]


def test_after_a_kill_the_folder_holds_every_row_as_if_nothing_had_happened(tmp_path: Path) -> None:
    settings, log = small_settings(), records(random_events(900, seed=3))
    whole = run(Shard(settings, 0, generation=1), log)

    async def fill(outputs: Sequence[ShardOutput], *, flushed: int) -> None:
        """As a worker does: rows are added as they come, and flushed before a checkpoint, which ``flushed`` is at."""
        sink = ParquetFolder(tmp_path.as_uri())
        for n, output in enumerate(outputs):
            if n == flushed:
                await sink.flush(0)
            await sink.add(Rows(WEIGHTS, 0, output.weights))
        if flushed >= len(outputs):
            await sink.flush(0)

    first = Shard(settings, 0, generation=1)
    before = run(first, log[:500])
    saved = first.snapshot()
    pieces = {name: bytes(piece) for name, piece in saved.changed.items()}
    lost: list[ShardOutput] = [*first.process(batch(log[500:700]))]
    asyncio.run(fill([*before, *lost], flushed=len(before)))  # killed: ``lost`` was never flushed
    again = Shard.restore(settings, 0, saved.meta, pieces, generation=2)
    asyncio.run(fill([*again.process(batch(log[500:]))], flushed=900))

    found = pa.concat_tables(map(pq.read_table, sorted(tmp_path.glob("weights/*/*.parquet"))))
    schema = whole[0].weights.schema
    expected = newest_statements([output.weights for output in whole], schema)
    merged = newest_statements(found.to_batches(), schema)
    same = [name for name in schema.names if name != "generation"]
    assert merged.select(same).equals(expected.select(same))


def test_a_bucket_takes_the_files_too(bucket: str) -> None:
    async def fill() -> None:
        sink = ParquetFolder(f"{bucket}/rows")
        await sink.add(_rows(0, 5))
        await sink.flush(0)

    asyncio.run(fill())
    assert pq.read_table(f"{bucket}/rows/weights/0/0000000003-000000.parquet")["offset"].to_pylist() == list(range(5))
