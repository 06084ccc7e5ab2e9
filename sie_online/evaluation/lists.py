"""The lists that users would have been shown, as a table: of every event the list as it stood before it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.contracts import WEIGHTS
from sie_online.shard.ranking import ListBefore

SCHEMA = pa.schema([WEIGHTS.field("event_id"), pa.field("items", pa.list_(pa.string()), nullable=False)])


class ListTable:
    """Writes a Parquet file of `SCHEMA`, best items first; it is whole when it is closed.

    Attributes:
        written: lists so far.
        cold: those of users of whom nothing was known.
    """

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA)
        self.written = self.cold = 0

    def add(self, lists: Sequence[ListBefore]) -> None:
        """Write ``lists``, in order."""
        if not lists:
            return
        columns = [[each.event_id for each in lists], [each.items for each in lists]]
        self._writer.write_table(pa.Table.from_arrays(list(map(pa.array, columns)), schema=SCHEMA))
        self.written += len(lists)
        self.cold += sum(each.cold for each in lists)

    def close(self) -> None:
        """End the file."""
        self._writer.close()
