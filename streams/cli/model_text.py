"""What ``sie model`` shows on a terminal: all versions in short, all of one version, two beside each other."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from models.manifest import Manifest, Verdict
from sie_online.announcements import NET, NOISE, PRIORS, Announcement
from sie_online.contracts import BUILTIN_MODEL
from sie_online.escape import safe
from sie_online.moments import moment
from streams.cli.text import Column, figure
from streams.model_registry.history import VersionEntry

FIGURE_CELLS = 6
PLACES_SHOWN = 8
"""Partitions that are named one by one."""


class Shown(NamedTuple):
    """Of a gate's report the figure that lists show: whose it is, whose it is held against, its name and title."""

    of: str
    against: str
    figure: str
    title: str


SHOWN = {
    NET: Shown("candidate", "uniform", "nll", "NLL"),
    PRIORS: Shown("pooled", "published", "nll", "NLL"),
    NOISE: Shown("candidate", "current", "worst_auc", "worst AUC"),
}


# -- all versions


def listing(found: Sequence[VersionEntry], model: str) -> Iterator[RenderableType]:
    """For each version a line of less than 80 cells, and below it, in words, what else deserves to be known."""
    shown = SHOWN[model]
    columns = (
        Column("version", 26, lambda row: row["version"]),
        Column("state", 13, lambda row: row["state"]),
        Column("made (UTC)", 16, lambda row: row["made"]),
        Column(shown.title, max(FIGURE_CELLS, len(shown.title)), lambda row: row["of"], right=True),
        Column(shown.against, max(FIGURE_CELLS, len(shown.against)), lambda row: row["against"], right=True),
    )
    yield Text("  ").join(column.heading() for column in columns)
    for entry in found:
        row, style = _row(entry, shown), "bold green" if entry.state == "in force" else ""
        line = Text("  ").join(column.cell(row) for column in columns)
        line.rstrip()
        line.stylize(style)
        yield line
        for remark in _remarks(entry):
            yield Padding(Text(safe(remark), style="dim"), (0, 0, 0, 4), expand=False)


def _row(entry: VersionEntry, shown: Shown) -> dict[str, str]:
    gate = entry.manifest.gate if entry.manifest else None
    of, against = (figure(gate.report.get(kind, {}).get(shown.figure)) if gate else "" for kind in shown[:2])
    made = moment(entry.manifest.created_at_ms)[:16] if entry.manifest else ""
    return {"version": entry.version, "state": entry.state, "made": made, "of": of, "against": against}


def _remarks(entry: VersionEntry) -> Iterator[str]:
    said = [f"announcement {one.n}{_again(one)}" for one in entry.announcements]
    if entry.late:
        said.append(f"adopted late by {entry.late} shards" if entry.late > 1 else "adopted late by one shard")
    if entry.version != BUILTIN_MODEL and not entry.stored:
        said.append("its artifact is gone")
    if said:
        yield "; ".join(said)
    gate = entry.manifest.gate if entry.manifest else None
    yield from gate.reasons[:1] if gate else ()


def _again(announcement: Announcement) -> str:
    return " (a rollback)" if announcement.reason == "rollback" else ""


# -- one version


def page(entry: VersionEntry, artifact: str | None) -> Iterator[RenderableType]:
    """Everything known of one version; ``artifact``: whether it is sound, None where there is no manifest."""
    manifest = entry.manifest
    style = "bold green" if entry.state == "in force" else "bold"
    model = f"{safe(manifest.model)} " if manifest else ""
    yield Text.assemble((model, "bold"), (safe(entry.version), style), f"  {safe(entry.state)}")
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(entry, artifact):
        facts.add_row(name, value)
    yield facts
    if manifest:
        yield from _figures(manifest)


def _facts(entry: VersionEntry, artifact: str | None) -> Iterator[tuple[str, str]]:
    manifest = entry.manifest
    if manifest:
        parent = f", from {manifest.parent}" if manifest.parent else ""
        yield "made", f"{moment(manifest.created_at_ms)} UTC by version {manifest.code_version}{parent}"
        yield from _verdict(manifest.gate)
    for announcement in entry.announcements:
        number = f"announcement {announcement.n}{_again(announcement)}"
        yield "announced", f"{moment(announcement.created_at_ms)} UTC as {number}, {applies(announcement)}"
    if entry.late:
        yield "late", f"{entry.late} shards adopted it later than announced"
    if manifest:
        yield "artifact", f"{artifact}; {manifest.size:,} bytes at {manifest.uri}"
        yield "sha256", manifest.sha256
        yield "trained on", _places({p: f"offsets {a:,} to {b:,}" for p, (a, b) in manifest.train_offsets.items()})
        yield "features", f"schema {manifest.feature_schema_hash}"
        yield "mean f", figure(manifest.mean_f)
        numbers = sum(math.prod(tensor.shape) for tensor in manifest.tensors)
        shapes = ", ".join(f"{tensor.name} {'×'.join(map(str, tensor.shape))}" for tensor in manifest.tensors)
        yield "tensors", f"{numbers:,} numbers: {shapes}"


def _verdict(gate: Verdict | None) -> Iterator[tuple[str, str]]:
    if gate is None:
        yield "gate", "has given no verdict"
    elif gate.passed:
        yield "gate", "passed"
    else:
        for nth, reason in enumerate(gate.reasons):
            yield "" if nth else "gate", reason if nth else f"refused: {reason}"


def applies(announcement: Announcement) -> str:
    """From where an announcement applies, in words."""
    if not announcement.offsets:
        return "from the start of every partition"
    return f"from {_places({str(p): f'offset {offset:,}' for p, offset in announcement.offsets.items()})}"


def _places(by_partition: Mapping[str, str]) -> str:
    """What there is of each partition, the first ones by name."""
    named = sorted(by_partition.items(), key=lambda item: (len(item[0]), item[0]))
    said = [f"{text} in partition {partition}" for partition, text in named[:PLACES_SHOWN]]
    more = len(named) - PLACES_SHOWN
    return ", ".join([*said, f"and {more:,} more partitions (--json has all)"] if more > 0 else said)


def _figures(manifest: Manifest) -> Iterator[RenderableType]:
    """Tables of figures: of validation beside its baseline, and the gate's report, alike kinds beside each other."""
    yield _beside("validation", {"this": manifest.metrics, "baseline": manifest.baseline_metrics})
    alike: defaultdict[tuple[str, ...], dict[str, Mapping[str, float | None]]] = defaultdict(dict)
    for kind, figures in (manifest.gate.report if manifest.gate else {}).items():
        alike[tuple(figures)][kind] = figures
    for kinds in alike.values():
        yield _beside("gate's report", kinds)


def _beside(title: str, columns: Mapping[str, Mapping[str, float | None]]) -> RenderableType:
    names = dict.fromkeys(name for figures in columns.values() for name in figures)
    if not names:
        return Text("")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(title, no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    for name in names:
        table.add_row(name, *(figure(figures.get(name)) for figures in columns.values()))
    return Padding(table, (1, 0, 0, 0), expand=False)


# -- two versions


def difference(document: Mapping[str, Any]) -> Table:
    """Two versions beside each other, of what `model_registry.history.difference` says."""
    table = Table(box=None, pad_edge=False)
    for title in ("", *document["versions"]):
        table.add_column(title, justify="left" if not title else "right", no_wrap=bool(title), overflow="fold")
    groups = {"metrics": document["metrics"]} | {f"gate {kind}": found for kind, found in document["gate"].items()}
    table.add_row("mean f", *(figure(value) for value in document["mean_f"]))
    for group, figures in groups.items():
        for name, values in figures.items():
            table.add_row(f"{group} {name}", *(figure(value) for value in values))
    for name, apart in document["tensors"].items():
        if isinstance(apart, dict):
            table.add_row(f"tensor {name}", str(apart["shapes"][0]), f"moved by {figure(apart['relative_distance'])}")
    return table
