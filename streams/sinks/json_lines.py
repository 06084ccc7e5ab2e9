"""The sink that is a stream of text, with one JSON object per row."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import IO, Any

from sie_online.escape import safe_json
from streams.sinks.port import Rows, Sink

Row = Mapping[str, Any]


class JsonLines(Sink):
    """Rows on ``file``, each as ``document`` makes JSON of it; handed on at once: a pipe's reader must not wait."""

    def __init__(self, file: IO[str], document: Callable[[dict[str, Any]], Row] = dict) -> None:
        self._file = file
        self._document = document

    async def add(self, rows: Rows) -> None:
        """Write ``rows``."""
        for row in rows.batch.to_pylist():
            line = json.dumps(self._document(row), ensure_ascii=False, allow_nan=False)
            self._file.write(safe_json(line) + "\n")
        await self.flush()

    async def flush(self, partition: int | None = None) -> None:
        """Hand on what is buffered."""
        self._file.flush()
