"""``sie replay``: write files of events to the input topic, at a chosen rate."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from sie_online.evaluation.inspection import Inspector
from sie_online.ingest.sources import read_events
from sie_online.settings import Settings
from streams.cli import findings
from streams.cli import reading as read
from streams.cli.common import Json, err, get_settings, out, print_json
from streams.cli.options import with_groups
from streams.cli.progress import compiling, progress
from streams.tools.pacing import ReplayRate
from streams.tools.replay import Replayed, replay


@with_groups
def command(
    ctx: typer.Context,
    files: read.Files,
    given: read.Given,
    rate: Annotated[
        str,
        typer.Option(help="max, events per second, realtime, or realtime×N (realtimexN): event time N times faster."),
    ] = "max",
    flush: Annotated[
        bool | None,
        typer.Option(
            "--flush/--no-flush",
            help="End with heartbeats, so that all windows mature; by default where nothing was written before.",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write files of events to the input topic: key = user_id, placed by Kafka's default partitioner.

    A row that is no valid event is written, too, as far as it can be: the worker makes it a dead letter. Whatever ends
    the command early, it says how much was written, and up to which line. Rows that are written twice are recognised
    by their event id (dedupe.events).

    [bold]Examples[/bold]
      sie replay events.parquet --rate 5000
      sie replay monday.csv.gz tuesday.csv.gz --rate realtime×60
      sie replay UserBehavior.csv --preset taobao --limit 1000000
      zcat dump.jsonl.gz | sie replay - --format jsonl
      sie replay lost_hour.parquet --no-flush --strict
    """
    settings = get_settings(ctx)
    pace = ReplayRate.parse(rate)
    reading = given.reading(settings.limits.earliest_ms)
    chunks = read_events(files, reading, limit=given.limit, note=read.print_note)
    with compiling():
        Inspector(settings)
    with progress("Replay") as report:
        writing = replay(
            settings, chunks, pace, flush=flush, strict=given.strict, on_progress=report, on_stop=_print_stopped
        )
        done = asyncio.run(writing)
    _print_summary(done, settings, flush)
    if as_json:
        print_json(findings.flat(asdict(done)) | {"events_per_s": done.events_per_s})
        return
    out.print(
        f"{done.records:,} events and {done.heartbeats} heartbeats to {settings.topics.events} "
        f"({done.partitions} partitions) in {done.seconds:.1f} s: {done.events_per_s:,.0f} events/s",
    )


def _print_stopped(records: int, place: str) -> None:
    """Say what an early end has left on the topic."""
    if not records:
        err.print("Stopped early: nothing was written")
        return
    up_to = f", all of them up to {place}" if place else ""
    err.print(f"Stopped early: {records:,} records were written and acknowledged{up_to}", soft_wrap=True)


def _print_summary(done: Replayed, settings: Settings, flush: bool | None) -> None:
    if done.source.dead_letters_by_reason:
        err.print("A worker will make dead letters of these:", findings.dead_letters(done.source), soft_wrap=True)
    findings.warn_disorder(done.source, settings)
    if flush is None and not done.flushed:
        err.print(
            f"Note: {settings.topics.events} held records before, so no heartbeats were sent: they would have settled"
            " everybody's open views. --flush sends them."
        )
