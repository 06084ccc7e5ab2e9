"""Settled samples of an evaluation as a Parquet file: what a worker would publish to ``sie.samples.v1``."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.contracts import samples_schema
from sie_online.features import N_DENSE, N_FEATURES, schema_hash
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.tables import whole_file

SAMPLES_FILE = "samples.parquet"


class SampleTable:
    """Writes samples as they settle (`sie_online.evaluation.run.Listener`), those of a partition in that order.

    The file gets its name when the ``with`` block has ended well; until then what had that name stays.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._topic = settings.topics.events
        self._open = ExitStack()
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._writing(samples_schema(self._topic, N_FEATURES, N_DENSE, schema_hash()))  # where none has settled
        self._open.__exit__(kind, error, trace)

    def heard(self, batch: RecordBatch) -> None:
        """Records are of no interest."""

    def settled(self, samples: pa.RecordBatch) -> None:
        """Take columns of ``sie.samples.v1``."""
        self._writing(samples.schema).write_batch(samples)

    def _writing(self, schema: pa.Schema) -> pq.ParquetWriter:
        if self._writer is None:
            file = self._open.enter_context(whole_file(self._path))
            self._writer = self._open.enter_context(pq.ParquetWriter(file, schema))
        return self._writer
