"""``sie replay``: write a file of events to the input topic, at a chosen rate."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sie_online.source_clock import SourceClock
from sie_online.sources import Reading, read_events
from streams.cli.common import Json, err, get_settings, out, print_json
from streams.cli.progress import progress
from streams.pacing import Rate
from streams.replay import replay


def command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines in the documented schema.")],
    rate: Annotated[
        str,
        typer.Option(help="max, events per second, realtime, or realtime×N (realtimexN): event time N times faster."),
    ] = "max",
    preset: Annotated[str, typer.Option(help="taobao: the raw UserBehavior.csv.")] = "",
    flush: Annotated[
        bool | None,
        typer.Option(
            "--flush/--no-flush",
            help="End with heartbeats, so that all windows mature; by default where nothing was written before.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N events.")] = None,
    as_json: Json = False,
) -> None:
    """Write a file of events to the input topic: key = user_id, placed by Kafka's default partitioner.

    [bold]Examples[/bold]
      sie replay events.parquet --rate 5000
      sie replay events.csv --rate realtime×60
      sie replay UserBehavior.csv --preset taobao --limit 1000000
      sie replay lost_hour.parquet --no-flush
    """
    settings = get_settings(ctx)
    pace = Rate.parse(rate)
    chunks = read_events([file], Reading(preset=preset), limit=limit)
    with err.status("Compiling the kernels (kept for the next time) ..."):
        SourceClock(settings)
    with progress("Replay") as report:
        done = asyncio.run(replay(settings, chunks, pace, flush=flush, on_progress=report))
    if done.disorder_ms > settings.labels.window_s * 1_000:
        hours = f"{done.disorder_ms / 3.6e6:.1f} h, more than the attribution window"
        err.print(f"Note: event time runs backwards by up to {hours}: sort the file by time.")
    if flush is None and not done.flushed:
        err.print(
            f"Note: {settings.topics.events} held records before, so no heartbeats were sent: they would have settled"
            " everybody's open views. --flush sends them."
        )
    if as_json:
        print_json(asdict(done) | {"events_per_s": done.events_per_s})
        return
    out.print(
        f"{done.records:,} events and {done.heartbeats} heartbeats to {settings.topics.events} "
        f"({done.partitions} partitions) in {done.seconds:.1f} s: {done.events_per_s:,.0f} events/s",
    )
