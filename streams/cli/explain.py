"""``sie explain``: why an event has its weight, from what was published about it."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import typer

from sie_online import contracts, tables
from sie_online.client.reader import Message, TopicReader
from sie_online.client.rows import SAMPLES, WeightRow, read_batch, statements, weight_rows
from sie_online.client.unreadable import Unreadable
from sie_online.errors import SieError, UsageError
from sie_online.escape import safe
from sie_online.moments import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from sie_online.settings import Settings
from streams.cli.common import Json, Strict, get_settings, print_json, warn_unreadable
from streams.cli.explain_noise import noise_opinion, show_noise
from streams.cli.explain_text import show
from streams.cli.progress import progress
from streams.cli.tail import share_read
from streams.model_registry.history import read_registered
from streams.store import open_store
from streams.tools.explanation import document
from streams.tools.influence import Influence, UnexplainedError, influence, require_net

BEFORE_MS = MINUTE_MS  # samples are written just after the final weights; brokers' and workers' clocks may differ
IDLE_S = 2.0  # a partition's last records may be gaps; then only the broker can tell that all is read
UNITS_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}


@dataclass
class Scan:
    """What was looked at in one topic, and its rows about the event; ``schema``: the columns that they are to have.

    ``settled_at_ms``: when the first message with a final row was written (Kafka timestamp).
    """

    event_id: str
    schema: pa.Schema
    unreadable: Unreadable
    messages: int = 0
    rows: int = 0
    found: list[pa.RecordBatch] = field(default_factory=list)
    settled_at_ms: int | None = None

    def look(self, messages: Iterable[Message]) -> None:
        """Keep the rows of ``messages`` that are about the event; what cannot be read is passed over."""
        for message, batch in self.unreadable.readable(messages, self._read):
            self.messages += 1
            self.rows += len(batch)
            hits = pc.equal(batch.column("event_id"), pa.scalar(self.event_id))
            if hits.true_count:
                self._keep(batch.filter(hits), message.timestamp)

    def _read(self, message: Message) -> tuple[Message, pa.RecordBatch]:
        return message, read_batch(message.value, message, self.schema, message.headers)

    def _keep(self, found: pa.RecordBatch, written_ms: int) -> None:
        self.found.append(found)
        if self.settled_at_ms is None and statements(found)["final"].any():
            self.settled_at_ms = written_ms

    def about(self, row: WeightRow) -> pa.RecordBatch | None:
        """One row found that is about the event of ``row``: events may share an id."""
        for batch in self.found:
            same = pc.and_(pc.equal(batch["partition"], row.partition), pc.equal(batch["offset"], row.offset))
            if same.true_count:
                return batch.filter(same).slice(0, 1)
        return None


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
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence", help="Which evidence of noise moved P: processes the partition's log up to the event anew."
        ),
    ] = False,
    as_json: Json = False,
    strict: Strict = False,
) -> None:
    """Why an event has its weight: label, scores, each part's share of the weight, and all its revisions.

    Names the noise model in force at the event. With --evidence also what each signal of the evidence added to its
    opinion; that is published nowhere, so the log must still begin at its beginning, and it takes as long as a worker
    would need for it.

    Of a settled sample also which inputs moved f(x), the net's factor, while its row of the samples topic and the net
    are kept. Reads the weights topic to its end. With --json, one line per event of that id (ids are unique where
    producers keep them so). Exit code 2 if nothing was published about it.

    [bold]Examples[/bold]
      sie explain 9f3a-17
      sie explain 9f3a-17 --since 2h
      sie explain 9f3a-17 --evidence
      sie explain 9f3a-17 --since 2030-01-31T12:00 --json
    """
    settings = get_settings(ctx)
    begin = parse_since(since, datetime.datetime.now(datetime.UTC))
    scan = Scan(event_id, contracts.WEIGHTS, Unreadable(strict=strict))
    asyncio.run(_scan(settings, settings.topics.weights, scan, begin))
    warn_unreadable(scan.unreadable, settings.topics.weights)
    if not scan.found:
        raise UsageError(_not_found(scan, settings.topics.weights, since))
    table = tables.newest_statements(scan.found, scan.found[0].schema)
    rows = [row for batch in table.to_batches() for row in weight_rows(batch)]
    for _, group in groupby(rows, key=lambda row: (row.partition, row.offset)):
        revisions = list(group)
        found = _influence(settings, revisions[-1], scan)
        noise = noise_opinion(settings, revisions[0], evidence=evidence)
        if as_json:
            print_json(document(revisions, found) | noise.document())
        else:
            show(revisions, found)
            show_noise(noise)


async def _scan(
    settings: Settings,
    topic: str,
    scan: Scan,
    begin: datetime.datetime | int,
    is_enough: Callable[[], bool] = lambda: False,
) -> None:
    """Read ``topic`` from ``begin`` to its end, or until it is enough."""
    async with TopicReader(settings, topic) as reader:
        if isinstance(begin, datetime.datetime):
            await reader.seek_to_time(int(begin.timestamp() * 1000))
        elif begin:
            await reader.seek_to(begin)
        begins, spans = reader.positions, await reader.spans()
        with progress(f"Reading {topic}", "rows") as report:
            while not is_enough() and not reader.reached(spans):
                scan.look(await reader.poll(IDLE_S))
                report(scan.rows, share_read(begins, reader.positions, spans))


def _influence(settings: Settings, row: WeightRow, scan: Scan) -> Influence | str:
    """What moved f(x) of ``row``, or the sentence that says why that is not known."""
    try:
        require_net(row)
        return asyncio.run(_explained(settings, row, scan.settled_at_ms or 0))
    except SieError as error:
        return str(error)


async def _explained(settings: Settings, row: WeightRow, settled_at_ms: int) -> Influence:
    samples, topic = Scan(row.event_id, SAMPLES, Unreadable()), settings.topics.samples
    begin = datetime.datetime.fromtimestamp(max(0, settled_at_ms - BEFORE_MS) / 1000, datetime.UTC)
    await _scan(settings, topic, samples, begin, lambda: samples.about(row) is not None)
    sample = samples.about(row)
    if sample is None:
        raise UnexplainedError(f"its row is no longer in {topic}: retention has cut it")
    return influence(row, sample, await read_registered(settings), open_store(settings.store))


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
