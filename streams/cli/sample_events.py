"""``sie sample-events``: a file of generated events, for those who have none at hand yet."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from sie_online.errors import UsageError
from sie_online.simulator import Scenario, Simulation, SimulationFiles, simulate
from sie_online.simulator.scenario import MAX_HOURS
from streams.cli.common import Json, err, out, print_json, require_writable
from streams.cli.progress import progress

AS_DEMO = Scenario()


def command(
    path: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="Ends in .parquet, .csv, .jsonl, .csv.gz or .jsonl.gz.")
    ],
    events: Annotated[int, typer.Option(min=1_000, help="About how many.")] = AS_DEMO.events,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other people.")] = AS_DEMO.seed,
    hours: Annotated[float, typer.Option(min=1, max=MAX_HOURS, help="Event time covered.")] = AS_DEMO.hours,
    noise: Annotated[bool, typer.Option(help="Bots, brushed orders and misclicks among the events.")] = True,
    duplicates: Annotated[
        bool,
        typer.Option("--duplicates", help="One event in a hundred twice, as by a resending producer; .jsonl only."),
    ] = False,
    malformed: Annotated[
        int, typer.Option(metavar="N", min=0, help="N lines that are no events, for dead letters; .jsonl only.")
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a file of generated events, as a shop would export them, and the truth about each beside it.

    The events are the demo's: people browse and buy; crawlers, brushed orders and misclicks pollute the log. What each
    event is in truth (event_id, event_type, kind, noisy) goes to a file of its own, events.truth.parquet: to compare
    the weights with. The same options give the same bytes.

    [bold]Examples[/bold]
      sie sample-events --out events.parquet
      sie sample-events --out month.csv.gz --events 1000000 --hours 720 --seed 7
      sie sample-events --out untidy.jsonl --duplicates --malformed 20
    """
    target = SimulationFiles.named(path)
    if (duplicates or malformed) and not target.in_lines:
        raise UsageError(f"{path}: --duplicates and --malformed are for .jsonl and .jsonl.gz, which hold any record")
    scenario = replace(AS_DEMO, events=events, seed=seed, hours=hours, malformed=malformed)
    if not noise:
        scenario = replace(scenario, misclick_share=0.0, bot_share=0.0, brushing_share=0.0)
    _require_free(target, force)
    require_writable("--out", path.parent)
    begin = time.monotonic()
    with err.status("Generating ..."):
        simulation = simulate(scenario)
    if not duplicates:
        simulation = simulation.without_duplicates()
    with progress("Write") as advance:
        _write(target, simulation, advance)
    if as_json:
        print_json(_document(target, simulation) | {"seconds": time.monotonic() - begin})
    else:
        _print_summary(target, simulation)


def _require_free(target: SimulationFiles, force: bool) -> None:
    for path in (target.path, target.truth):
        if path.is_dir():
            raise UsageError(f"--out: {path} is a folder")
        if path.exists() and not force:
            raise UsageError(f"--out: {path} exists: choose another name, or replace it with --force")


def _write(target: SimulationFiles, simulation: Simulation, advance: Callable[[int, float], None]) -> None:
    try:
        target.write(simulation, advance)
    except OSError as error:
        raise UsageError(f"--out: cannot write {target.path}: {error.strerror or error}") from None


def _document(target: SimulationFiles, simulation: Simulation) -> dict[str, object]:
    return {
        "file": str(target.path),
        "truth": str(target.truth),
        "bytes": target.path.stat().st_size,
        "records": len(simulation),
        "events": simulation.events,
        "events_by_kind": simulation.counts_by_kind(),
        "duplicates": simulation.duplicates,
        "malformed": simulation.malformed,
        "first_event_ms": int(simulation.columns.time_ms[0]),
        "last_event_ms": simulation.last_event_ms,
        "seed": simulation.scenario.seed,
    }


def _print_summary(target: SimulationFiles, simulation: Simulation) -> None:
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in simulation.counts_by_kind().items() if count)
    size = f"{target.path.stat().st_size / 1e6:.1f} MB"
    out.print(f"{target.path}: {simulation.events:,} events ({kinds}), {size}", soft_wrap=True)
    if simulation.duplicates or simulation.malformed:
        out.print(f"  and {simulation.duplicates:,} duplicates, {simulation.malformed:,} lines that are no events")
    out.print(f"{target.truth}: what each event is in truth", soft_wrap=True)
    file = shlex.quote(str(target.path))
    out.print(Text(f"\nWhat to do next\n  sie evaluate {file} --out results\n  sie replay {file}"), soft_wrap=True)
