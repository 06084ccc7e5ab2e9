"""The sink that is a folder of Parquet files, for whoever reads the rows with DuckDB, Spark or pandas."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.errors import SettingsError
from streams.sinks.port import Rows, Sink
from streams.store import TEMPORARY, Part, open_store

BUFFER_BYTES = 16 << 20
"""Rows of one partition that wait for a flush; beyond it they become a file of their own at once."""

Key = tuple[str, int]


@dataclass
class _Waiting:
    """Rows for the next file."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    n_bytes: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        self.batches.append(batch)
        self.n_bytes += batch.nbytes


class ParquetFolder(Sink):
    """``parquet=URL``: one file per stream, partition and flush, in any store (``file:///data/rows``):
    ``<stream>/<partition>/<generation>-<number>.parquet``.

    A file is there with all its rows or not at all, and never changes. After a kill -9, rows since the last checkpoint
    come again in files of a higher generation; of one (partition, offset, revision) the highest generation counts. A
    file that was being written may leave ``*.parquet.tmp``, which the partition's next owner removes: read
    ``*/*/*.parquet``.
    """

    def __init__(self, url: str) -> None:
        if "://" not in url:
            raise SettingsError(f"sinks: parquet needs a place, as in parquet=file:///data/rows, not {url!r}")
        self._store = open_store(url)
        self._waiting: defaultdict[Key, _Waiting] = defaultdict(_Waiting)
        self._written: defaultdict[Key, int] = defaultdict(int)

    async def start(self) -> None:
        """Find out whether the place can be reached."""
        await asyncio.to_thread(self._store.list, "")

    async def add(self, rows: Rows) -> None:
        """Keep ``rows`` until the next flush, or write them where too many wait."""
        if not rows.batch.num_rows:
            return
        if rows.partition is None:
            raise ValueError(f"rows of {rows.stream} without a partition")
        key = rows.stream, rows.partition
        self._waiting[key].add(rows.batch)
        if self._waiting[key].n_bytes >= BUFFER_BYTES:
            await self._write(key)

    async def flush(self, partition: int | None = None) -> None:
        """Write what waits."""
        for key in list(self._waiting):
            if partition in (None, key[1]):
                await self._write(key)

    async def _write(self, key: Key) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            number = self._written[key]
            self._written[key] += 1
            await asyncio.to_thread(self._put, key, number, pa.Table.from_batches(waiting.batches))

    def _put(self, key: Key, number: int, rows: pa.Table) -> None:
        folder = f"{key[0]}/{key[1]}"
        if number == 0:
            self._sweep(folder)
        file = pa.BufferOutputStream()
        pq.write_table(rows, file, compression="zstd")
        generation = rows["generation"][-1].as_py()
        name = f"{folder}/{generation:010d}-{number:06d}.parquet"
        self._store.put(
            name, [Part.of(memoryview(file.getvalue()).cast("B"))]
        )  # a bucket's client takes no signed bytes

    def _sweep(self, folder: str) -> None:
        """Remove what a predecessor was writing when it was killed."""
        for name in self._store.list(folder):
            if name.endswith(f".parquet{TEMPORARY}"):
                self._store.delete(f"{folder}/{name}")
