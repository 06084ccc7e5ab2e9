"""``sie sink``: write weights and samples into tables of a lake, until stopped."""

from __future__ import annotations

import asyncio
import enum
import logging
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from sie_online.errors import UsageError
from streams.cli.common import Strict, err, get_settings, warn_unreadable
from streams.cli.progress import progress
from streams.cli.tail import share_read
from streams.observe import logs

if TYPE_CHECKING:
    from sie_online.settings import Settings
    from streams.lake.places import Place
    from streams.lake.port import Flush
    from streams.lake.writer import Order, TableWriter, Watch

log = logging.getLogger(__name__)

STREAMS = ("weights", "samples")
BOTH = ",".join(STREAMS)
SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
SECONDS = {None: 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}
MEGABYTE = 1 << 20


class Format(enum.StrEnum):
    """Of a table."""

    DELTA = "delta"
    PARQUET = "parquet"


To = Annotated[str, typer.Option("--to", metavar="URL", help="delta+file:///data/lake, parquet+s3://bucket/lake, …")]
NamedFormat = Annotated[
    Format | None, typer.Option("--format", help="Where the URL does not begin with it.", show_default=False)
]
Topics = Annotated[str, typer.Option(metavar="NAMES", help="weights, samples, or both.")]
FinalOnly = Annotated[
    bool,
    typer.Option(
        "--final-only/--all-revisions", help="Of weights one row an event, once it is final; or every revision."
    ),
]
Every = Annotated[str, typer.Option(metavar="SPAN", help="Commit at least so often: 60s, 5m, 1h.")]
Rows = Annotated[int, typer.Option(min=1, help="Commit as soon as so many rows wait.")]
Megabytes = Annotated[int, typer.Option(min=1, help="Commit as soon as rows of so many MB wait in memory, per topic.")]
CompactAfter = Annotated[
    float, typer.Option(metavar="H", min=0, help="Merge files of an hour that got none for H hours; 0: never.")
]
Compact = Annotated[bool, typer.Option("--compact", help="Merge the small files there are, now, and end.")]
UntilIdle = Annotated[float | None, typer.Option(metavar="S", min=0.1, help="End when nothing has come for S seconds.")]
AcceptGap = Annotated[
    bool, typer.Option("--accept-gap", help="Go on though retention was faster, and messages are missing.")
]
MetricsPort = Annotated[
    int | None,
    typer.Option(metavar="PORT", min=0, max=65_535, help="Serve /metrics, /healthz, /readyz there, on web.host."),
]


def command(
    ctx: typer.Context,
    to: To,
    table_format: NamedFormat = None,
    topics: Topics = BOTH,
    final_only: FinalOnly = True,
    every: Every = "60s",
    rows: Rows = 1_000_000,
    megabytes: Megabytes = 64,
    compact_after_h: CompactAfter = 2.0,
    compact: Compact = False,
    until_idle: UntilIdle = None,
    accept_gap: AcceptGap = False,
    metrics_port: MetricsPort = None,
    strict: Strict = False,
) -> None:
    """Write weights and samples into tables of a lake, each row once, until stopped.

    Makes, below the URL, a table for each topic: .../weights and .../samples, partitioned by day and hour (UTC) of the
    event. Each (partition, offset, revision) is there once, whatever is killed when; where two owners of a shard have
    said it, the newer counts. It goes on where the table ends: started again, it needs no other memory.

    SIGTERM and Ctrl-C have it commit what it has read and end with 0. Ends with 2 where topics, rights, the URL or the
    package deltalake (extra 'lake') are missing, 3 where broker or store do not answer, and 78 where a person decides:
    retention was faster (--accept-gap), the topic was made anew, or another sink writes the same table.

    docs/lakes.md says how DuckDB, Polars and Spark read it.

    [bold]Examples[/bold]
      sie sink --to delta+file:///data/lake
      sie sink --to parquet+s3://my-bucket/lake --topics samples --every 5m
      sie sink --to delta+s3://my-bucket/lake --all-revisions --metrics-port 9108
      sie sink --to delta+file:///data/lake --until-idle 10
      sie sink --to delta+file:///data/lake --compact
    """
    from streams.lake.places import Place
    from streams.lake.port import ALL, FINAL
    from streams.lake.waiting import Limits
    from streams.lake.writer import Order

    place = Place.of(to, table_format.value if table_format else "")
    streams = _streams(topics)
    if compact:
        _compact(place, streams)
        return
    limits = Limits(rows, megabytes * MEGABYTE, _seconds(every))
    kept = FINAL if final_only else ALL
    order = Order(place, kept, limits, compact_after_h, until_idle, accept_gap, strict)
    _sink(get_settings(ctx), streams, order, metrics_port)


def _compact(place: Place, streams: Sequence[str]) -> None:
    from streams.lake.process import compact

    for stream in streams:
        err.print(f"{place.table_url(stream)}: {compact(place, stream):,} files merged")


def _sink(settings: Settings, streams: Sequence[str], order: Order, metrics_port: int | None) -> None:
    logs.set_up(settings.log_level)
    for writer in _run(settings, streams, order, metrics_port):
        err.print(f"{writer.url}: {writer.rows:,} rows of {writer.rows_read:,} read", soft_wrap=True)
        warn_unreadable(writer.unreadable, writer.topic)


def _run(settings: Settings, streams: Sequence[str], order: Order, metrics_port: int | None) -> list[TableWriter]:
    from streams.lake.metrics import SinkMetrics
    from streams.lake.process import serve
    from streams.lake.site import SinkSite

    metrics = SinkMetrics(streams)

    def site(writers: Sequence[TableWriter]) -> AbstractAsyncContextManager[object]:
        return nullcontext() if metrics_port is None else SinkSite(settings.web, metrics_port, metrics, writers)

    if not (err.is_terminal or order.idle_s):  # a service: its log tells of every commit
        return asyncio.run(serve(settings, streams, order, Watches(metrics, CommitLog()), site))
    with progress("sink", "rows") as report:
        return asyncio.run(serve(settings, streams, order, Watches(metrics, ProgressBar(report)), site))


def _streams(names: str) -> list[str]:
    found = [name.strip() for name in names.split(",") if name.strip()]
    if unknown := [name for name in found if name not in STREAMS]:
        raise UsageError(f"--topics: {unknown[0]!r} is none of {', '.join(STREAMS)}")
    if not found:
        raise UsageError(f"--topics: name {' or '.join(STREAMS)}")
    return list(dict.fromkeys(found))


def _seconds(span: str) -> float:
    """A span of time in seconds, as in 60s, 5m, 1h; above 0."""
    match = SPAN.fullmatch(span.strip())
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if not seconds:
        raise UsageError(f"--every {span}: a span of time is written 60s, 5m or 1h")
    return seconds


class Watches:
    """Several that watch."""

    def __init__(self, *watches: Watch) -> None:
        self._watches = watches

    def has_read(self, writer: TableWriter) -> None:
        """Tell them."""
        for watch in self._watches:
            watch.has_read(writer)

    def has_committed(self, writer: TableWriter, flush: Flush, took_s: float, lag: int | None) -> None:
        """Tell them."""
        for watch in self._watches:
            watch.has_committed(writer, flush, took_s, lag)


class CommitLog:
    """A line of the log for each commit."""

    def has_read(self, writer: TableWriter) -> None:
        """Nothing is said of it."""

    def has_committed(self, writer: TableWriter, flush: Flush, took_s: float, lag: int | None) -> None:
        """Say what is in the table now."""
        figures = {"table": writer.url, "rows": len(flush.table), "took_s": round(took_s, 3), "lag_messages": lag}
        log.info("committed", extra=figures)


class ProgressBar:
    """All writers together, against what the topics held when they began."""

    def __init__(self, report: Callable[[int, float], None]) -> None:
        self._report = report
        self._writers: dict[str, TableWriter] = {}

    def has_read(self, writer: TableWriter) -> None:
        """Move on."""
        self._writers[writer.stream] = writer
        begins, positions, spans = (
            {(each.stream, number): at for each in self._writers.values() for number, at in getattr(each, name).items()}
            for name in ("begins", "positions", "spans")
        )
        self._report(sum(each.rows_read for each in self._writers.values()), share_read(begins, positions, spans))

    def has_committed(self, writer: TableWriter, flush: Flush, took_s: float, lag: int | None) -> None:
        """A commit is no progress of reading."""
