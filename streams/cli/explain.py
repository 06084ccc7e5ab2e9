"""``sie explain``: why an event has its weight, from what was published about it."""

from __future__ import annotations

import asyncio
import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.compute as pc
import typer
from rich.table import Table
from rich.text import Text

from sie_online import contracts, tables
from sie_online.client.reader import Message, TopicReader
from sie_online.client.rows import Source, WeightRow, read_batch, weight_rows
from sie_online.errors import UsageError
from sie_online.settings import Settings
from streams.cli.common import Json, get_settings, out, print_json
from streams.cli.progress import progress
from streams.cli.tail import share_read
from streams.cli.text import figure, moment, safe

BAR_CELLS = 12  # to either side of zero
IDLE_S = 2.0  # a partition's last records may be gaps; then only the broker can tell that all is read
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


@dataclass
class Scan:
    """What was looked at, and the messages' rows about the event."""

    event_id: str
    messages: int = 0
    rows: int = 0
    found: list[pa.RecordBatch] = field(default_factory=list)

    def look(self, message: Message) -> None:
        """Keep the rows of ``message`` that are about the event; raises ``MessageError`` for a foreign message."""
        source = Source(message.topic, message.partition, message.offset)
        batch = read_batch(message.value, source)
        self.messages += 1
        self.rows += len(batch)
        hits = pc.equal(batch.column("event_id"), pa.scalar(self.event_id))
        if hits.true_count:
            self.found.append(read_batch(message.value, source, contracts.WEIGHTS).filter(hits))


def command(
    ctx: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="The event's event_id.", show_default=False)],
    since: Annotated[
        str,
        typer.Option(
            metavar="WHEN",
            help="Begin at what was published then: 30m, 2h or 7d ago, an ISO time, an offset, or earliest.",
        ),
    ] = "earliest",
    as_json: Json = False,
) -> None:
    """Why an event has its weight: label, scores, each part's share of the weight, and all its revisions.

    Reads the weights topic to its end. With --json, one line per event of that id (ids are unique where producers keep
    them so). Exit code 2 if nothing was published about it.

    [bold]Examples[/bold]
      sie explain 9f3a-17
      sie explain 9f3a-17 --since 2h
      sie explain 9f3a-17 --since 2030-01-31T12:00 --json
    """
    settings = get_settings(ctx)
    scan = asyncio.run(_scan(settings, event_id, since))
    if not scan.found:
        raise UsageError(_not_found(scan, settings.topics.weights, since))
    table = tables.newest_statements(scan.found, scan.found[0].schema)
    rows = [row for batch in table.to_batches() for row in weight_rows(batch)]
    for _, revisions in groupby(rows, key=lambda row: (row.partition, row.offset)):
        show = _print_json if as_json else _print
        show(list(revisions))


async def _scan(settings: Settings, event_id: str, since: str) -> Scan:
    scan = Scan(event_id)
    begin = parse_since(since, datetime.datetime.now(datetime.UTC))
    async with TopicReader(settings, settings.topics.weights) as reader:
        if isinstance(begin, datetime.datetime):
            await reader.seek_to_time(int(begin.timestamp() * 1000))
        elif begin:
            await reader.seek_to(begin)
        begins, spans = reader.positions, await reader.spans()
        with progress(f"Reading {reader.topic}", "rows") as report:
            while not await reader.reached(spans):
                for message in await reader.poll(IDLE_S):
                    scan.look(message)
                report(scan.rows, share_read(begins, reader.positions, spans))
    return scan


def parse_since(text: str, now: datetime.datetime) -> datetime.datetime | int:
    """A moment, or an offset (``earliest`` is 0).

    Raises:
        UsageError: it is neither.
    """
    if text == "earliest":
        return 0
    if text.isdecimal():
        return int(text)
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return now - datetime.timedelta(milliseconds=float(ago[1]) * UNITS_MS[ago[2]])
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"--since {text}: write 30m, 2h or 7d, an ISO time as in 2030-01-31T12:00 (UTC), an offset, or earliest"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


def _not_found(scan: Scan, topic: str, since: str) -> str:
    begun = "from its start" if since == "earliest" else f"since {since}"
    return (
        f"nothing about event {safe(scan.event_id)} in {topic}: read {begun} to its end, {scan.rows:,} rows in "
        f"{scan.messages:,} messages. It may be older, a duplicate, a dead letter, or not yet processed."
    )


def shares(row: WeightRow) -> dict[str, float]:
    """Each part's share of the weight: |part| over the sum of all |parts| of log weight; zeros where all are zero."""
    total = sum(abs(part) for part in row.factors.values())
    return {name: abs(part) / total if total else 0.0 for name, part in row.factors.items()}


def _print_json(revisions: Sequence[WeightRow]) -> None:
    newest = revisions[-1]
    parts = shares(newest)
    document: dict[str, Any] = {
        **newest._asdict(),
        "factors": {
            name: {"log": part, "multiplier": math.exp(part), "share": parts[name]}
            for name, part in newest.factors.items()
        },
        "revisions": [row._asdict() for row in revisions],
    }
    print_json(document)


def _print(revisions: Sequence[WeightRow]) -> None:
    newest = revisions[-1]
    out.print(_headline(newest))
    out.print(_scores(newest))
    out.print(_parts(newest))
    out.print(_history(revisions))


def _headline(row: WeightRow) -> Text:
    return Text.assemble(
        ("weight ", "bold"),
        (figure(row.weight), "bold cyan"),
        f" ± {figure(row.uncertainty)}  ",
        f"{safe(row.event_type)} {safe(row.event_id)}: user {safe(row.user_id)}, item {safe(row.item_id)}, ",
        f"{moment(row.event_time_ms)} UTC, partition {row.partition}, offset {row.offset}",
    )


def _scores(row: WeightRow) -> Text:
    label = {None: "unknown", 0: "0, did not convert", 1: "1, converted"}[row.label]
    settled = "final" if row.final else "not final yet"
    error = "unknown" if row.error is None else figure(row.error)
    return Text(
        f"label {label} ({settled})   probability {figure(row.probability)}   error {error}   "
        f"feature score {figure(row.feature_score)}   noise probability {figure(row.noise_probability)}   "
        f"model {safe(row.model_version)}"
    )


def _parts(row: WeightRow) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("part")
    for title in ("log weight", "times", "share"):
        table.add_column(title, justify="right")
    table.add_column("lowers │ raises", justify="left", no_wrap=True)
    largest = max((abs(part) for part in row.factors.values()), default=0.0)
    for name, share in shares(row).items():
        part = row.factors[name]
        table.add_row(safe(name), f"{part:+.3f}", f"{math.exp(part):.3f}", f"{share:.0%}", _bar(part, largest))
    total = sum(row.factors.values())
    table.add_row("sum", f"{total:+.3f}", f"{math.exp(total):.3f}", "", "", style="bold")
    return table


def _bar(part: float, largest: float) -> Text:
    cells = round(BAR_CELLS * abs(part) / largest) if largest else 0
    left, right = (cells, 0) if part < 0 else (0, cells)
    return Text.assemble(
        " " * (BAR_CELLS - left), ("█" * left, "red"), "│", ("█" * right, "green"), " " * (BAR_CELLS - right)
    )


def _history(revisions: Sequence[WeightRow]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("revision", justify="right")
    table.add_column("known since (UTC)")
    for title in ("label", "probability", "noise", "weight", "generation"):
        table.add_column(title, justify="right")
    table.add_column("")
    for row in revisions:
        label = "·" if row.label is None else str(row.label)
        figures = (figure(row.probability), figure(row.noise_probability), figure(row.weight))
        final = "final" if row.final else ""
        table.add_row(str(row.revision), moment(row.published_ms), label, *figures, str(row.generation), final)
    return table
