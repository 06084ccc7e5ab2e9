"""The sink that is one table in one file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa

from sie_online import tables
from streams.sinks.port import Rows, Sink


class TableFile(Sink):
    """Keeps all rows; every flush makes ``path`` the table that ``merge`` makes of them, whole or not at all."""

    def __init__(self, path: Path, merge: Callable[[Sequence[pa.RecordBatch]], pa.Table]) -> None:
        self._path = path
        self._merge = merge
        self._batches: list[pa.RecordBatch] = []
        self.written = 0
        """Rows in the file."""

    async def add(self, rows: Rows) -> None:
        """Keep ``rows``."""
        self._batches.append(rows.batch)

    def count(self) -> int:
        """Rows that the file would have now."""
        return len(self._merge(self._batches))

    async def flush(self, partition: int | None = None) -> None:
        """Merge and write."""
        table = self._merge(self._batches)
        await asyncio.to_thread(tables.write_parquet, table, self._path)
        self.written = len(table)
