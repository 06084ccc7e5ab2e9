"""What ``sie explain`` says on a terminal: an event's weight, its parts, and what moved the net's f(x)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from sie_online.client.rows import WeightRow
from sie_online.escape import safe
from sie_online.moments import moment
from streams.cli.common import out
from streams.cli.text import figure
from streams.tools.explanation import shares
from streams.tools.influence import Contribution, Influence

BAR_CELLS = 12  # to either side of zero
INPUTS_SHOWN = 8


def show(revisions: Sequence[WeightRow], influence: Influence | str) -> None:
    """Print all there is to say of one event; ``influence`` may be the sentence that says why there is none."""
    newest = revisions[-1]
    out.print(_headline(newest))
    out.print(_scores(newest))
    out.print(_parts(newest))
    if isinstance(influence, str):
        out.print(f"what moved f(x) is not known: {influence}")
    else:
        out.print(_net(influence))
        out.print(_inputs(influence))
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
        table.add_row(safe(name), f"{part:+.3f}", f"{math.exp(part):.3f}", f"{share:.0%}", bar(part, largest))
    total = sum(row.factors.values())
    table.add_row("sum", f"{total:+.3f}", f"{math.exp(total):.3f}", "", "", style="bold")
    return table


def _net(found: Influence) -> Text:
    return Text.assemble(
        ("f(x) ", "bold"),
        (figure(found.f), "bold cyan"),
        f" of net {safe(found.version)}, whose mean is {figure(found.mean_f)}; "
        f"{figure(found.baseline_f)} for an average sample of its type with nothing known. What moved it:",
    )


def _inputs(found: Influence) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("input")
    for title in ("value", "logit f"):
        table.add_column(title, justify="right")
    table.add_column("lowers │ raises", justify="left", no_wrap=True)
    shown, rest = found.contributions[:INPUTS_SHOWN], found.contributions[INPUTS_SHOWN:]
    largest = max(abs(each.logit) for each in shown)
    for each in shown:
        value = "" if each.value is None else figure(each.value)
        table.add_row(safe(each.name), value, f"{each.logit:+.3f}", bar(each.logit, largest))
    table.add_row(f"{len(rest)} others", "", f"{_total(rest):+.3f}", bar(_total(rest), largest))
    table.add_row("sum", "", f"{_total(found.contributions):+.3f}", "", style="bold")
    return table


def _total(contributions: Iterable[Contribution]) -> float:
    return sum(each.logit for each in contributions)


def bar(part: float, largest: float) -> Text:
    """``part`` to the left or right of zero; ``largest`` fills a side."""
    cells = min(BAR_CELLS, round(BAR_CELLS * abs(part) / largest)) if largest else 0
    left, right = (cells, 0) if part < 0 else (0, cells)
    return Text.assemble(
        " " * (BAR_CELLS - left), ("█" * left, "red"), "│", ("█" * right, "green"), " " * (BAR_CELLS - right)
    )


def _history(revisions: Sequence[WeightRow]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))  # fits 80 columns
    table.add_column("revision", justify="right")
    table.add_column("known since (UTC)", no_wrap=True)
    for title in ("label", "probability", "noise", "weight", "generation"):
        table.add_column(title, justify="right")
    table.add_column("")
    for row in revisions:
        label = "·" if row.label is None else str(row.label)
        figures = (figure(row.probability), figure(row.noise_probability), figure(row.weight))
        final = "final" if row.final else ""
        table.add_row(str(row.revision), moment(row.published_ms), label, *figures, str(row.generation), final)
    return table
