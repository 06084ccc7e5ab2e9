"""The same core without a broker: the records of a file through shards, and what they say as tables.

Owns the loop that stands in for Kafka (placement, offsets, batches) and the order of the tables; knows no clock, so
the caller says what time the records carry. Rows go through a spill file per partition: memory holds the rows of
one partition at a time, when they are sorted. Which models the shards adopt is the model source's
matter: a trainer beside the records, or somebody who repeats what was announced before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.contracts import WEIGHTS, weights_schema
from sie_online.evaluation.dead_letters import DeadLetterTable
from sie_online.evaluation.inspection import Inspector
from sie_online.evaluation.lists import ListTable
from sie_online.evaluation.report import EvaluationReport, ListFigures, Progressive
from sie_online.ingest.partitioner import Placer
from sie_online.ingest.records import LogRecord, RecordBatch
from sie_online.ingest.wire import Chunk, WireRecord, final_heartbeats
from sie_online.settings import Settings
from sie_online.shard import Shard
from sie_online.tables import newest_statements

BATCH_RECORDS = 4_000  # as a worker is handed by default; rows do not depend on it
LOOK_EVERY = 1_000
"""Records, all partitions together in the source's order, from one look of a model source to the next."""
WEIGHTS_FILE = "weights.parquet"
PREDICTIONS_FILE = "predictions.parquet"
DEAD_LETTERS_FILE = "dead_letters.parquet"
LISTS_FILE = "recs.parquet"
PREDICTIONS = pa.schema([WEIGHTS.field("event_id"), WEIGHTS.field("probability")])

Progress = Callable[[int, float], None]
"""Called after every chunk: records processed so far, and the share of the source in [0, 1]."""


class Listener(Protocol):
    """Hears what goes into the shards and which samples settle."""

    def heard(self, batch: RecordBatch) -> None:
        """Take records that a shard is to process next: those of a partition come in order."""

    def settled(self, samples: pa.RecordBatch) -> None:
        """Take settled samples, columns of ``sie.samples.v1``: those of a partition come in order."""


class ModelSource(Listener, Protocol):
    """Has the shards adopt models while the records run (``Shard.schedule``)."""

    def look(self, shards: Sequence[Shard]) -> None:
        """Schedule what is to be adopted: before the first record, and every ``LOOK_EVERY``.

        All shards have processed every record of the source so far, so what is known here depends on the source and
        on the number of partitions alone.
        """


def evaluate(
    chunks: Iterable[Chunk],
    settings: Settings,
    out: Path,
    *,
    partitions: int,
    started_ms: int,
    on_progress: Progress | None = None,
    model_source: ModelSource | None = None,
    listeners: Sequence[Listener] = (),
    strict: bool = False,
    lists: bool = False,
) -> EvaluationReport:
    """Run ``chunks`` through ``partitions`` shards, then a heartbeat to each; write the tables into ``out``.

    ``out/weights.parquet`` has the columns of ``sie.weights.v1``, sorted by partition, offset and revision,
    ``out/predictions.parquet`` the probability of revision 0, and ``out/dead_letters.parquet`` what is no valid event
    (``dead_letters.SCHEMA``), in the source's order. ``started_ms`` is every record's Kafka timestamp. ``listeners``
    change nothing. With ``lists``, for which ``recommend`` must be enabled, ``out/recs.parquet`` has of every event the
    user's list as it stood before (``lists.SCHEMA``).

    Raises:
        UsageError: no record of the source is a valid event, or it cannot be read on, or it has a dead letter and we
            are ``strict``.
    """
    inspector = Inspector(settings, strict=strict)
    report = EvaluationReport(
        partitions=partitions, settings_fingerprint=settings.fingerprint(), source=inspector.findings
    )
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".spill-", dir=out) as spill, ExitStack() as open_lines:
        hearing = [*listeners, *([model_source] if model_source else [])]
        table = ListTable(Path(spill) / LISTS_FILE) if lists else None
        lines = [_Line(settings, number, started_ms, Path(spill), hearing, table) for number in range(partitions)]
        for line in lines:
            open_lines.callback(line.close)
        if table:
            open_lines.callback(table.close)
        with DeadLetterTable(Path(spill) / DEAD_LETTERS_FILE, settings) as dead_letters:
            accounted = _inspected(chunks, inspector, dead_letters, started_ms)
            _feed(lines, accounted, settings, report, on_progress or (lambda _records, _share: None), model_source)
        open_lines.close()
        if table:
            (Path(spill) / LISTS_FILE).replace(out / LISTS_FILE)
            report.lists = ListFigures.of(table.written, table.cold)
        _write_tables(lines, Path(spill), out, report, settings.labels.window_ms)
    return report


class _Line:
    """One partition: its log so far, its shard, and the rows it has said, in a file."""

    def __init__(
        self,
        settings: Settings,
        partition: int,
        started_ms: int,
        spill: Path,
        listeners: Sequence[Listener],
        lists: ListTable | None,
    ) -> None:
        self.shard = Shard(settings, partition, scratch=spill)
        self._lists = lists
        if lists:
            self.shard.list_before_events()
        self.path = spill / f"{partition}.arrow"
        self._topic = settings.topics.events
        self._partition = partition
        self._started_ms = started_ms
        self._listeners = listeners
        self._pending: list[WireRecord] = []
        self._sink = pa.OSFile(str(self.path), "wb")
        self._rows = pa.ipc.new_stream(self._sink, weights_schema(self._topic))

    def append(self, record: WireRecord) -> bool:
        """Add a record to the log; whether a batch is full."""
        self._pending.append(record)
        return len(self._pending) >= BATCH_RECORDS

    def process(self, report: EvaluationReport) -> None:
        """Process what is pending, if anything is."""
        if not self._pending:
            return
        start, records = self.shard.next_offset, self._pending
        self._pending = []
        batch = RecordBatch.of(
            [LogRecord(offset, self._started_ms, key, value) for offset, (key, value, _) in enumerate(records, start)],
            topic=self._topic,
            partition=self._partition,
            epoch=0,
            start=start,
            end=start + len(records),
        )
        for listener in self._listeners:
            listener.heard(batch)
        for output in self.shard.process(batch):
            self._rows.write_batch(output.weights)
            for listener in self._listeners if len(output.gathered.samples) else ():
                listener.settled(output.gathered.samples)
            if self._lists:
                self._lists.add(output.lists_before)
            report.events_in += output.counts.events_in
            report.events_weighted += sum(output.counts.weighted)
            report.duplicates += sum(output.counts.duplicates)
            report.heartbeats += output.counts.heartbeats
            report.erasures += output.counts.erasures
            report.dead_letters += output.counts.dead_letters
            report.rows += len(output.weights)

    def close(self) -> None:
        """End the file and release the shard."""
        self._rows.close()
        self._sink.close()
        self.shard.close()

    def sorted_rows(self) -> pa.Table:
        """All rows, by offset and revision."""
        with pa.memory_map(str(self.path)) as source, pa.ipc.open_stream(source) as reader:
            return newest_statements(reader, weights_schema(self._topic))


def _inspected(
    chunks: Iterable[Chunk], inspector: Inspector, dead_letters: DeadLetterTable, started_ms: int
) -> Iterator[Chunk]:
    """The chunks, each looked through before anybody processes it; at the end there must have been an event."""
    for chunk in chunks:
        dead_letters.add(inspector.inspect(chunk, started_ms))
        yield chunk
    inspector.require_events()


def _feed(
    lines: list[_Line],
    chunks: Iterable[Chunk],
    settings: Settings,
    report: EvaluationReport,
    on_progress: Progress,
    model_source: ModelSource | None,
) -> None:
    place, seen = Placer(len(lines)), 0
    for chunk in chunks:
        for number, record in enumerate(chunk.records, seen):
            if model_source and number % LOOK_EVERY == 0:
                _look(model_source, lines, report)
            line = lines[_partition(record, place)]
            if line.append(record):
                line.process(report)
        seen += len(chunk)
        on_progress(seen, chunk.progress)
    for line in lines:
        line.process(report)
    last_ms = max(line.shard.end_ms for line in lines)  # no row of the source that was refused has a say in it
    for line, beat in zip(lines, final_heartbeats(settings, last_ms, len(lines)), strict=False):
        line.append(beat)
        line.process(report)


def _look(model_source: ModelSource, lines: list[_Line], report: EvaluationReport) -> None:
    for line in lines:
        line.process(report)
    model_source.look([line.shard for line in lines])


def _partition(record: WireRecord, place: Placer) -> int:
    if record.partition is not None:
        return record.partition % place.partitions
    return 0 if record.key is None else place(record.key)


def _write_tables(lines: list[_Line], spill: Path, out: Path, report: EvaluationReport, window_ms: int) -> None:
    found: list[Progressive] = []
    versions: Counter[str] = Counter()
    with ExitStack() as open_files:
        weights: pq.ParquetWriter | None = None
        predictions = open_files.enter_context(pq.ParquetWriter(spill / PREDICTIONS_FILE, PREDICTIONS))
        for line in lines:
            rows = line.sorted_rows()
            if weights is None:
                weights = open_files.enter_context(pq.ParquetWriter(spill / WEIGHTS_FILE, rows.schema))
            weights.write_table(rows)
            first = rows.filter(pa.array(rows["revision"].to_numpy() == 0)).select(PREDICTIONS.names)
            predictions.write_table(first.cast(PREDICTIONS))
            found.append(Progressive.of(rows))
            versions.update({one["values"]: one["counts"] for one in rows["model_version"].value_counts().to_pylist()})
    for name in (WEIGHTS_FILE, PREDICTIONS_FILE, DEAD_LETTERS_FILE):  # whole or not there
        (spill / name).replace(out / name)
    report.rows_by_model = dict(sorted(versions.items()))
    report.conclude(found, window_ms)
