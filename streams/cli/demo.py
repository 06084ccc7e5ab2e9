"""``sie demo``: a generated event stream through broker and worker on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sie_online.errors import SieError, UsageError
from streams import extras
from streams.cli.common import Json, err, get_settings, out, print_json

if TYPE_CHECKING:
    from streams.demo import DemoReport
    from streams.demo.training import Trained

NEXT = """What to try next{first}
  sie demo --rate 10000                 the same stream, faster
  sie demo --seed 7                     other people, other noise
  sie --set guard.strength=0 demo       uniform weights: what weighting is worth
  sie evaluate FILE --out results       your own events, without a broker
  sie topics create && sie worker       on your own Kafka (SIE_BROKER=host:port)"""


def command(
    ctx: typer.Context,
    rate: Annotated[float | None, typer.Option(min=1, help="Events per second.")] = None,
    seconds: Annotated[float | None, typer.Option(min=1, help="How long to stream; default 40.")] = None,
    events: Annotated[int | None, typer.Option(min=1_000, help="How many events; default 60,000.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another stream.")] = 0,
    directory: Annotated[Path, typer.Option("--out", help="Folder for everything it writes.")] = Path("build/demo"),
    trainer: Annotated[bool, typer.Option(help="Train and announce an importance net beside the stream.")] = True,
    as_json: Json = False,
) -> None:
    """A generated e-commerce stream through an embedded broker and a worker, on this machine; ends by itself.

    People browse and buy; crawlers, brushed orders and misclicks pollute the log. You see how well they are found,
    and what the weights do for a recommender. Ctrl-C ends it cleanly at any point.

    [bold]Examples[/bold]
      sie demo
      sie demo --rate 5000 --seed 7
    """
    _require_extras(trainer)
    from streams.demo import DemoPlan, run_demo

    plan = DemoPlan.of(rate, seconds, events, seed, directory, trainer)
    report = run_demo(plan, get_settings(ctx), err)
    if as_json:
        print_json(report.document())
    else:
        _print_report(report, plan.directory, out)
    if report.problems:
        raise SieError("the demo's books do not balance: " + "; ".join(report.problems))


def _require_extras(trainer: bool) -> None:
    """Raises UsageError with the line that installs what is missing."""
    wanted = ("demo", "trainer") if trainer else ("demo",)
    extras.require("the demo", ("matplotlib", "noida_db"), *wanted)
    if trainer:
        try:
            extras.require("the demo's trainer", ("torch",), *wanted)
        except UsageError as error:
            raise UsageError(f"{error} (or leave the trainer out: --no-trainer)") from None


def _print_report(report: DemoReport, directory: Path, console: Console) -> None:
    console.print(_books(report))
    console.print()
    if report.net:
        console.print(_net(report.net))
        if report.net.refusal:
            console.print(f"The newest refused: {'; '.join(report.net.refusal)}", soft_wrap=True, markup=False)
        console.print()
    console.print(_models(report))
    console.print()
    console.print(f"Picture and figures: report.png and report.json in {directory}", soft_wrap=True)
    console.print()
    activate = extras.activate_line()
    console.print(Text(NEXT.format(first=f" (after {activate})" if activate else "")), soft_wrap=True)


def _books(report: DemoReport) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    found = {f"  {kind}": value for kind, value in report.noise_auc_by_kind.items()}
    for name, value in {
        "events in": report.events_in,
        "  weighed": report.events_weighted,
        "  duplicates": report.duplicates,
        "  heartbeats": report.heartbeats,
        "  dead letters": report.dead_letters,
        "lag at the end": report.lag_end,
        "events/s": round(report.events_per_s),
        "noise found (AUC, bots and brushing)": report.noise_auc,
        **found,
    }.items():
        table.add_row(name, "–" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3f}")
    return table


def _net(net: Trained) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(justify="right")
    change = "–" if net.mean_change is None else f"×/÷ {net.mean_change:.2f}"
    for name, value in {
        "fine-tunes of the importance net": str(net.fine_tunes),
        "  announced, with evidence of gain": str(net.accepted),
        "  refused": str(net.refused),
        "versions that weighed something": str(len(net.versions_seen)),
        "weighed under an announced net": f"{net.under_net:.0%}",
        "  mean change of a weight by it": change,
        "poisoned candidate": "refused" if net.poisoned_refused else "PASSED",
    }.items():
        table.add_row(name, value)
    return table


def _models(report: DemoReport) -> Table:
    from streams.demo.picture import MEASURES, NAMES, UNIFORM

    names = NAMES | {"weighted": "with the weights"}
    views = next(iter(report.models.values())).views
    caption = f"scored on {views:,} clean held-out views; ±: 95 % interval, by users"
    table = Table("A small recommender", box=None, header_style="bold", pad_edge=False, caption=caption)
    for title in (*MEASURES.values(), "AUC − without"):
        table.add_column(title, justify="right")
    for name, score in report.models.items():
        gain = f"{score.auc_gain:+.4f} ± {score.auc_gain_half:.4f}"
        figures = (f"{getattr(score, measure):.4f}" for measure in MEASURES)
        table.add_row(names[name], *figures, "" if name == UNIFORM else gain)
    return table
