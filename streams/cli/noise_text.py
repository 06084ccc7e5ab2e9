"""What fits of the noise model have to say on a terminal, and the model that one has left in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from sie_online.moments import moment
from streams.cli.common import err
from streams.cli.text import figure

if TYPE_CHECKING:
    from models.manifest import Manifest
    from streams.trainer.offline_noise import NoiseFitted

AUC = "auc."
MEANINGS = {
    "median_auc": "AUC of detection, median family",
    "worst_auc": "AUC of detection, worst family",
    "innocent": "mean P(noise) of innocent behaviours",
    "clean": "mean P(noise) of what is not suspected now",
    "kept": "AUC of detection, what is taken for noise now",
    "gain": "P of polluting events above all others'",
}


def given(folder: Path) -> tuple[bytes, Manifest]:
    """Artifact and manifest of the noise model announced last in ``folder``.

    Raises:
        UsageError: there is none.
    """
    from sie_online.announcements import NOISE
    from streams.model_registry.recorded import newest_version

    return newest_version(folder, NOISE)


def show_begin(begun: NoiseFitted) -> None:
    """A fit beside an evaluation begins."""
    err.print(f"Noise model {begun.number} at {moment(begun.clock_ms)}: {begun.events:,} events ...", soft_wrap=True)


def show_end(done: NoiseFitted) -> None:
    """What became of it."""
    accepted = done.outcome == "accepted"
    what = f"accepted as {done.version}" if accepted else "; ".join((f"{done.outcome}", *done.reasons))
    if done.withdrawn:
        what += f"; the one in force is withdrawn: {'; '.join(done.withdrawn)}"
    worst, median = done.metrics.get("worst_auc"), done.metrics.get("median_auc")
    if worst is not None and median is not None:
        what += f" (AUC on unknown behaviours: median {median:.2f}, worst {worst:.2f})"
    err.print(f"Noise model {done.number}: {what} ({done.seconds:.0f} s)", soft_wrap=True)


def table_of(candidate: Mapping[str, float | None], current: Mapping[str, float | None]) -> Table:
    """Figures of a candidate beside those of the model that it was judged against, families that are hard first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("on behaviours that it was not fitted on")
    for title in ("fitted", "default"):
        table.add_column(title, justify="right")
    families = {name: value for name, value in candidate.items() if name.startswith(AUC)}
    for name, meaning in MEANINGS.items():
        table.add_row(meaning, figure(candidate.get(name)), figure(current.get(name)))
    for name in sorted(families, key=lambda each: families[each] or 0.0):
        family = name.removeprefix(AUC).replace("_", " ")
        table.add_row(f"  AUC of {family}", figure(candidate[name]), figure(current.get(name)))
    return table
