"""``sie tail``: read one of the topics as lines, as JSON, or into a Parquet file."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Protocol

import pyarrow as pa
import typer

from sie_online import tables
from sie_online.client.reader import Span, TopicReader
from sie_online.client.unreadable import Unreadable
from sie_online.errors import UsageError
from streams.cli.common import Json, Strict, err, get_settings, out, print_json, require_writable, warn_unreadable
from streams.cli.progress import progress
from streams.cli.views import VIEWS, Kind, TopicView

HEADING_EVERY = 40  # lines: about a screen


class From(enum.StrEnum):
    """Where to begin."""

    EARLIEST = "earliest"
    LATEST = "latest"


class Sink(Protocol):
    """Takes rows as they come."""

    def write(self, batch: pa.RecordBatch) -> None:
        """Take some rows."""

    def progress(self, share: float) -> None:
        """``share`` of what the log held at the start has been written."""

    def close(self) -> None:
        """All rows have come."""


def command(
    ctx: typer.Context,
    kind: Annotated[Kind, typer.Argument(help="Which topic.", show_default=False)],
    as_json: Json = False,
    parquet: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one table instead; needs --until-idle or --limit.")
    ] = None,
    until_idle: Annotated[
        float | None, typer.Option(metavar="S", min=0.1, help="End when nothing has come for S seconds.")
    ] = None,
    start: Annotated[
        From | None,
        typer.Option("--from", help="Where to begin: earliest where the command ends by itself, else latest."),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="End after N rows.")] = None,
    strict: Strict = False,
) -> None:
    """Follow a topic: one line per row, as published (a replay's repeats included). Ctrl-C ends it.

    With --parquet, the table has exactly the topic's columns, the highest generation per partition, offset and
    revision, sorted by these; it is written when all has been read, or not at all.

    [bold]Examples[/bold]
      sie tail weights
      sie tail dead-letters --from earliest --until-idle 2
      sie tail weights --json --from earliest --limit 3
      sie tail weights --parquet weights.parquet --until-idle 5
    """
    _check(as_json, parquet, until_idle, limit)
    view = VIEWS[kind](get_settings(ctx))
    ends = until_idle is not None or limit is not None
    begin, unreadable = start or (From.EARLIEST if ends else From.LATEST), Unreadable(strict=strict)
    if parquet is None:
        sink = JsonSink(view) if as_json else LineSink(view)
        asyncio.run(_tail(view, sink, begin, until_idle, limit, unreadable))
    else:
        with progress(view.topic, "rows") as report:
            asyncio.run(_tail(view, ParquetSink(view, parquet, report), begin, until_idle, limit, unreadable))
    warn_unreadable(unreadable, view.topic)


def _check(as_json: bool, parquet: Path | None, until_idle: float | None, limit: int | None) -> None:
    if parquet is None:
        return
    if as_json:
        raise UsageError("--json and --parquet exclude each other")
    if until_idle is None and limit is None:
        raise UsageError("--parquet writes when all has been read: say when, as in --until-idle 5")
    if not parquet.parent.is_dir():
        raise UsageError(f"--parquet: {parquet.parent} is no directory")
    if parquet.is_dir():
        raise UsageError(f"--parquet: {parquet} is a directory: name the file")
    require_writable("--parquet", parquet.parent)


async def _tail(
    view: TopicView, sink: Sink, begin: From, until_idle: float | None, limit: int | None, unreadable: Unreadable
) -> None:
    left = limit
    async with TopicReader(view.settings, view.topic, begin.value) as reader:
        if begin is From.LATEST:
            err.print(f"Waiting for new records on {view.topic}; --from earliest shows those there are.", style="dim")
        begins, spans = reader.positions, await reader.spans()
        while left != 0 and (records := await reader.read_on(until_idle)):
            for batch in view.read(records, unreadable):
                rows = batch.slice(0, left)
                left = None if left is None else left - len(rows)
                sink.write(rows)
            sink.progress(share_read(begins, reader.positions, spans))
    sink.close()


def share_read(begins: Mapping[int, int], positions: Mapping[int, int], spans: Mapping[int, Span]) -> float:
    """Share of the records from ``begins`` to the ends of ``spans`` that lie before ``positions``, in [0, 1]."""
    total = sum(span.end - begins[number] for number, span in spans.items())
    left = sum(max(0, span.end - positions[number]) for number, span in spans.items())
    return 1.0 - left / total if total else 1.0


class JsonSink:
    """One JSON object per line."""

    def __init__(self, view: TopicView) -> None:
        self._view = view

    def write(self, batch: pa.RecordBatch) -> None:
        """Print the rows."""
        for row in batch.to_pylist():
            print_json(self._view.document(row))

    def progress(self, share: float) -> None:
        """Hand on what is buffered: a pipe's reader must not wait for a full buffer."""
        out.file.flush()

    def close(self) -> None:
        """Hand on the rest."""
        out.file.flush()


class LineSink:
    """Aligned lines; on a terminal the heading comes again on every screen."""

    def __init__(self, view: TopicView) -> None:
        self._view = view
        self._lines = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Print the rows."""
        for row in batch.to_pylist():
            if self._lines == 0 or (out.is_terminal and self._lines % HEADING_EVERY == 0):
                out.print(self._view.heading(), soft_wrap=True)
            out.print(self._view.line(row), soft_wrap=True)
            self._lines += 1

    def progress(self, share: float) -> None:
        """Hand on what is buffered."""
        out.file.flush()

    def close(self) -> None:
        """Tell how many there were."""
        err.print(f"{self._lines:,} rows", style="dim")


class ParquetSink:
    """Keeps all rows and writes them once."""

    def __init__(self, view: TopicView, path: Path, report: Callable[[int, float], None]) -> None:
        self._view = view
        self._path = path
        self._report = report
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Keep the rows."""
        self._batches.append(batch)
        self._rows += len(batch)

    def progress(self, share: float) -> None:
        """Move the bar."""
        self._report(self._rows, share)

    def close(self) -> None:
        """Merge and write."""
        table = self._view.merge(self._batches)
        tables.write_parquet(table, self._path)
        err.print(f"{self._path}: {len(table):,} rows of {self._rows:,} read")
