"""Dead letters of a source as a table: what could not be read, where it stands, and why."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.contracts import DEAD_LETTER_VALUE_BYTES
from sie_online.evaluation.inspection import Inspected
from sie_online.ingest.decoder import hidden
from sie_online.pseudonyms import pseudonyms
from sie_online.settings import Settings

SCHEMA = pa.schema(
    [
        pa.field("file", pa.string()),
        pa.field("line", pa.int64()),  # of CSV and JSON, from 1; of Parquet the row of the file, from 1
        pa.field("row_group", pa.int64()),  # of Parquet, from 0
        pa.field("reason", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
    ]
)
BUFFER_ROWS = 10_000
BUFFER_BYTES = 8 << 20


class DeadLetterTable:
    """Writes a Parquet file as chunks come; it is whole when the ``with`` block has ended."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._pseudonyms = pseudonyms(settings)
        self._writer = pq.ParquetWriter(path, SCHEMA)
        self._rows: list[dict[str, object]] = []
        self._bytes = 0

    def __enter__(self) -> DeadLetterTable:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def add(self, inspected: Inspected) -> None:
        """Take the dead letters of a chunk; values are cut as on the topic of dead letters."""
        origin = inspected.chunk.origin
        for one in inspected.rejected:
            at = one.letter.offset
            letter = hidden(one.letter, self._pseudonyms) if self._pseudonyms else one.letter
            value = None if letter.value is None else letter.value[:DEAD_LETTER_VALUE_BYTES]
            self._rows.append(
                {
                    "file": None if origin is None else origin.file_of(at),
                    "line": None if origin is None else int(origin.lines[at]),
                    "row_group": None if origin is None else origin.row_group_of(at),
                    "reason": str(letter.reason),
                    "detail": one.detail,
                    "key": letter.key,
                    "value": value,
                }
            )
            self._bytes += len(value or b"")
            if len(self._rows) >= BUFFER_ROWS or self._bytes >= BUFFER_BYTES:
                self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, SCHEMA))
        self._rows, self._bytes = [], 0
