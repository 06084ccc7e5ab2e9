"""``sie evaluate``: weigh a file of events without a broker."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from sie_online.evaluation import Report, evaluate
from sie_online.shard import warm_up
from sie_online.sources import read_events
from streams.cli.common import Json, err, get_settings, out, print_json
from streams.cli.progress import progress


def command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Parquet, CSV or JSON lines in the documented schema.")],
    directory: Annotated[Path, typer.Option("--out", help="Folder for the tables and the report.")],
    partitions: Annotated[int, typer.Option(min=1, max=4_096, help="As many shards as the topic has partitions.")] = 1,
    preset: Annotated[str, typer.Option(help="taobao: the raw UserBehavior.csv.")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N events.")] = None,
    as_json: Json = False,
) -> None:
    """Weigh a file of events without a broker: the very rows that workers would publish.

    Writes weights.parquet (the columns of sie.weights.v1), predictions.parquet (event_id, probability as first
    stated) and report.json.

    [bold]Examples[/bold]
      sie evaluate events.parquet --out results
      sie --set importance.combine=product evaluate events.parquet --out product --partitions 4
    """
    settings = get_settings(ctx)
    chunks = read_events(file, preset=preset, limit=limit)
    with err.status("Compiling the kernels (kept for the next time) ..."):
        warm_up()
    begin = time.monotonic()
    with progress("Evaluate") as tell:
        report = evaluate(
            chunks, settings, directory, partitions=partitions, started_ms=int(time.time() * 1_000), on_progress=tell
        )
    seconds = time.monotonic() - begin
    document = asdict(report) | {"seconds": seconds, "events_per_s": report.events_in / max(seconds, 1e-9)}
    (directory / "report.json").write_text(json.dumps(document, indent=2) + "\n")
    if as_json:
        print_json(document)
        return
    out.print(_summary(report, document))
    err.print(f"Tables and report are in {directory}", markup=False)


def _summary(report: Report, document: dict[str, Any]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows: list[tuple[str, Any]] = [
        ("events in", report.events_in),
        ("  weighted", report.events_weighted),
        ("  duplicates", report.duplicates),
        ("  heartbeats", report.heartbeats),
        ("  dead letters", report.dead_letters),
        *((f"    {reason}", count) for reason, count in report.dead_letters_by_reason.items()),
        ("rows", report.rows),
        ("samples matured", report.samples_matured),
        ("  positive", report.samples_positive),
        ("log loss", report.log_loss),
        ("AUC", report.auc),
        ("mean probability / positive rate", report.calibration),
        ("mean weight", report.weight_mean),
        *((f"  quantile {q}", value) for q, value in report.weight_quantiles.items()),
        ("seconds", document["seconds"]),
        ("events/s", round(document["events_per_s"])),
    ]
    for name, value in rows:
        table.add_row(name, "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4f}")
    return table
