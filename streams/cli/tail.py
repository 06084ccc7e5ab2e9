"""``sie tail``: read one of the topics as lines, as JSON, or into a Parquet file."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from sie_online.client.reader import Span, TopicReader
from sie_online.client.subsample import check_options, subsample
from sie_online.client.unreadable import Unreadable
from sie_online.errors import UsageError
from streams.cli.common import Json, Strict, err, get_settings, out, require_writable, warn_unreadable
from streams.cli.progress import progress
from streams.cli.views import VIEWS, Kind, TopicView
from streams.sinks import JsonLines, Rows, Sink, TableFile

HEADING_EVERY = 40  # lines: about a screen


class From(enum.StrEnum):
    """Where to begin."""

    EARLIEST = "earliest"
    LATEST = "latest"


Report = Callable[[int, float], None]
"""Called with the rows so far, and the share of what the log held at the start."""


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
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="End after N rows: lines, or rows of the table.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Of samples, with --parquet: this share of them, all positives among it."),
    ] = None,
    strict: Strict = False,
) -> None:
    """Follow a topic: one line per row, as published (a replay's repeats included). Ctrl-C ends it.

    With --parquet, the table has exactly the topic's columns, the highest generation per partition, offset and
    revision, sorted by these; it is written when all has been read, or not at all.

    With --budget, negatives are thinned, and one more column, log_odds_correction, says what the loss adds to the logit
    of a model that is trained on what is left (docs/subsampling.md).

    [bold]Examples[/bold]
      sie tail weights
      sie tail dead-letters --from earliest --until-idle 2
      sie tail recs --from earliest --until-idle 2
      sie tail weights --json --from earliest --limit 3
      sie tail weights --parquet weights.parquet --until-idle 5
      sie tail samples --parquet samples.parquet --until-idle 5 --budget 0.1
    """
    _check(as_json, parquet, until_idle, limit)
    if budget is not None:
        _check_budget(budget, kind, parquet, limit)
    view = VIEWS[kind](get_settings(ctx))
    ends = until_idle is not None or limit is not None
    begin, unreadable = start or (From.EARLIEST if ends else From.LATEST), Unreadable(strict=strict)
    if parquet is None:
        sink = JsonLines(out.file, view.document) if as_json else Lines(view)
        asyncio.run(_tail(view, sink, begin, until_idle, limit, unreadable))
    else:
        table = TableFile(parquet, view.merge if budget is None else lambda rows: subsample(view.merge(rows), budget))
        with progress(view.topic, "rows") as report:
            read = asyncio.run(_tail(view, table, begin, until_idle, limit, unreadable, report, table.count))
        err.print(f"{parquet}: {table.written:,} rows of {read:,} read")
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


def _check_budget(budget: float, kind: Kind, parquet: Path | None, limit: int | None) -> None:
    if kind is not Kind.SAMPLES or parquet is None:
        raise UsageError("--budget thins a table of samples: sie tail samples --parquet FILE --budget SHARE")
    if limit is not None:
        raise UsageError("--budget is a share of all there is, so --limit says nothing: end with --until-idle")
    check_options(budget)


async def _tail(
    view: TopicView,
    sink: Sink,
    begin: From,
    until_idle: float | None,
    limit: int | None,
    unreadable: Unreadable,
    report: Report = lambda _rows, _share: None,
    count: Callable[[], int] | None = None,
) -> int:
    """Read rows into ``sink`` until the end; how many there were.

    ``count`` says how many rows ``sink`` has made of them, where repeats make none; it is these that ``limit`` is of.
    """
    taken, end = 0, limit
    async with TopicReader(view.settings, view.topic, begin.value) as reader:
        if begin is From.LATEST:
            err.print(f"Waiting for new records on {view.topic}; --from earliest shows those there are.", style="dim")
        begins, spans = reader.positions, await reader.spans()
        while taken != end and (records := await reader.read_on(until_idle)):
            for batch in view.read(records, unreadable):
                while len(batch) and taken != end:
                    rows = batch if end is None else batch.slice(0, end - taken)
                    batch = batch.slice(len(rows))
                    taken += len(rows)
                    await sink.add(Rows(view.topic, None, rows))
                    if limit is not None and taken == end and count is not None:
                        end += limit - count()
            report(taken, share_read(begins, reader.positions, spans))
    await sink.flush()
    await sink.close()
    return taken


Log = TypeVar("Log")
"""What names one of the logs that are read: a partition."""


def share_read(begins: Mapping[Log, int], positions: Mapping[Log, int], spans: Mapping[Log, Span]) -> float:
    """Share of the records from ``begins`` to the ends of ``spans`` that lie before ``positions``, in [0, 1]."""
    total = sum(span.end - begins[number] for number, span in spans.items())
    left = sum(max(0, span.end - positions[number]) for number, span in spans.items())
    return 1.0 - left / total if total else 1.0


class Lines(Sink):
    """Aligned lines; on a terminal the heading comes again on every screen."""

    def __init__(self, view: TopicView) -> None:
        self._view = view
        self._lines = 0

    async def add(self, rows: Rows) -> None:
        """Print ``rows``."""
        for row in rows.batch.to_pylist():
            if self._lines == 0 or (out.is_terminal and self._lines % HEADING_EVERY == 0):
                out.print(self._view.heading(), soft_wrap=True)
            out.print(self._view.line(row), soft_wrap=True)
            self._lines += 1
        await self.flush()

    async def flush(self, partition: int | None = None) -> None:
        """Hand on what is buffered."""
        out.file.flush()

    async def close(self) -> None:
        """Tell how many there were."""
        err.print(f"{self._lines:,} rows", style="dim")
