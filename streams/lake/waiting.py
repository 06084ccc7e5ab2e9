"""Rows that wait for the next commit, and the marks after them. Bounded: when they are due is said here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from streams.lake.layout import KNOWN_MS, integers, lake_batch, lake_schema, newest_rows
from streams.lake.marks import Mark, said
from streams.lake.port import FINAL, Flush


@dataclass(frozen=True, slots=True)
class Limits:
    """When what waits is written: whatever comes first. ``n_bytes`` are those of Arrow in memory."""

    rows: int = 1_000_000
    n_bytes: int = 64 << 20
    every_s: float = 60.0


EMPTY_EVERY_S = 600.0
"""Messages without a row for the table move the marks so often: else retention could leave a gap of nothing."""


class WaitingRows:
    """Of ``stream``, of which ``kept`` (FINAL or ALL) go to the table; ``marks`` are those that the table has."""

    def __init__(
        self,
        stream: str,
        kept: str,
        marks: Mapping[int, Mark],
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.rows = 0
        self.n_bytes = 0
        self.marks = dict(marks)
        self._stream = stream
        self._kept = kept
        self._limits = limits
        self._clock = clock
        self._known_ms = KNOWN_MS[stream]
        self._schema = lake_schema(stream)
        self._batches: list[pa.RecordBatch] = []
        self._moved: set[int] = set()
        self._is_mixed = False
        self._since = self._emptied = clock()

    def pass_over(self, partition: int, offset: int) -> None:
        """A message at ``offset`` of ``partition`` is dealt with."""
        self.marks[partition] = self.marks.get(partition, Mark())._replace(next_offset=offset + 1)
        self._moved.add(partition)

    def add(self, partition: int, offset: int, batch: pa.RecordBatch, settings: int) -> None:
        """The rows of such a message, of which ``settings`` are those of its publisher."""
        mark = self.marks.get(partition, Mark())
        for each in said(*(integers(batch, name) for name in ("generation", "offset", self._known_ms))):
            mark = mark.heard(each, settings)
        self.marks[partition] = mark
        self.pass_over(partition, offset)
        self._is_mixed |= bool((integers(batch, "partition") != partition).any())  # none of ours is: marks are no help
        rows = batch.filter(batch["final"]) if self._kept == FINAL and "final" in batch.schema.names else batch
        if len(rows):
            self._keep(lake_batch(rows))

    @property
    def due_s(self) -> float:
        """Seconds until what waits is to be written; not above 0: now."""
        if self.rows >= self._limits.rows or self.n_bytes >= self._limits.n_bytes:
            return 0.0
        since, every_s = (self._since, self._limits.every_s) if self.rows else (self._emptied, EMPTY_EVERY_S)
        return since + every_s - self._clock()

    def take(self) -> Flush | None:
        """What waits, which then waits no more; None where nothing has moved."""
        self._since = self._emptied = self._clock()
        if not self._moved:
            return None
        table = newest_rows(self._batches, self._schema)
        marks = {number: self.marks[number] for number in self._moved}
        is_doubtful = len(table) > 0 and (self._is_mixed or self._doubts(table, marks))
        self._batches, self._moved, self.rows, self.n_bytes, self._is_mixed = [], set(), 0, 0, False
        return Flush(table, marks, is_doubtful)

    def _keep(self, rows: pa.RecordBatch) -> None:
        if not self.rows:
            self._since = self._clock()
        self._batches.append(rows)
        self.rows += len(rows)
        self.n_bytes += rows.nbytes

    def _doubts(self, table: pa.Table, marks: Mapping[int, Mark]) -> bool:
        of = integers(table, "partition")
        columns = [integers(table, name) for name in ("generation", "offset", self._known_ms)]
        return any(mark.doubts(*(column[of == number] for column in columns)) for number, mark in marks.items())
