"""The report as an image: how weights are distributed, and what they do to a recommender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from streams.demo.observer import HISTOGRAM_LABELS, Observer, in_words
from streams.demo.report import DemoReport

MEASURES = {"precision": "precision", "recall": "recall", "auc": "AUC"}
"""Figures of a ``Score`` with their titles."""
UNIFORM = "uniform"
COLOURS = {UNIFORM: "#9aa5b1", "weighted": "#1f77b4", "oracle": "#b58a2e", "without_net": "#4f93bd"}
NAMES = {
    UNIFORM: "without weights",
    "weighted": "with the published weights",
    "oracle": "all noise left out (truth)",
    "without_net": "with the weights, less the net's factor",
}


def draw(report: DemoReport, observer: Observer, path: Path) -> None:
    """Write the picture as PNG."""
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _weights(left, observer)
    _models(right, report)
    found = in_words(report.noise_auc_by_kind)
    figure.suptitle(f"{report.events_weighted:,} events weighed; planted noise found (AUC): {found}")
    figure.savefig(path, dpi=120)


def _weights(axes: Any, observer: Observer) -> None:
    axes.bar(range(len(HISTOGRAM_LABELS)), observer.histogram(), color=COLOURS["weighted"])
    axes.set_xticks(range(len(HISTOGRAM_LABELS)), HISTOGRAM_LABELS, rotation=60, ha="right")
    axes.set(title="Weights at first statement", ylabel="events (logarithmic)", yscale="symlog")


def _models(axes: Any, report: DemoReport) -> None:
    """How much better the recommender ranks with weights than without: differences, which a bar from 0 would hide."""
    without = report.models[UNIFORM]
    others = {name: score for name, score in report.models.items() if name != UNIFORM}
    for place, (name, score) in enumerate(others.items()):
        axes.errorbar(score.auc_gain, place, xerr=score.auc_gain_half, fmt="o", color=COLOURS[name], capsize=4)
        at, gain = (score.auc_gain, place), f"{score.auc_gain:+.4f}"
        axes.annotate(gain, at, (0, 8), textcoords="offset points", ha="center", fontsize=8)
    axes.axvline(0, color=COLOURS[UNIFORM], linewidth=1)
    axes.set_yticks(range(len(others)), [NAMES[name] for name in others])
    axes.set(
        title=f"A small recommender, on {without.views:,} clean held-out views",
        xlabel=f"AUC − that without weights ({without.auc:.4f}), with its 95 % interval",
        ylim=(len(others) - 0.5, -0.5),
    )
