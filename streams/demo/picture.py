"""The report as an image: how weights are distributed, and what they do to a recommender."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from streams.demo.observer import HISTOGRAM_EDGES, Observer
from streams.demo.report import DemoReport

MEASURES = ("accuracy", "precision", "recall", "auc")
COLOURS = {"uniform": "#9aa5b1", "weighted": "#1f77b4", "oracle": "#d9c08c", "without_net": "#a6cbe3"}
NAMES = {
    "uniform": "without weights",
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
    found = ", ".join(f"{kind} {value:.3f}" for kind, value in report.noise_auc_by_kind.items() if value is not None)
    figure.suptitle(f"{report.events_weighted:,} events weighed; planted noise found (AUC): {found}")
    figure.savefig(path, dpi=120)


def _weights(axes: Any, observer: Observer) -> None:
    edges = HISTOGRAM_EDGES.tolist()
    labels = [f"{low:g}–{high:g}" for low, high in pairwise(edges[:-1])] + [f"> {edges[-2]:g}"]
    axes.bar(range(len(labels)), observer.histogram(), color=COLOURS["weighted"])
    axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
    axes.set(title="Weights at first statement", ylabel="events (logarithmic)", yscale="symlog")


def _models(axes: Any, report: DemoReport) -> None:
    width = 0.8 / len(report.models)
    for nth, (name, score) in enumerate(report.models.items()):
        values = [getattr(score, measure) for measure in MEASURES]
        bars = axes.bar(np.arange(len(MEASURES)) + nth * width, values, width, color=COLOURS[name], label=NAMES[name])
        axes.bar_label(bars, fmt="%.3f", fontsize=7, rotation=90, padding=3)
    axes.set_xticks(np.arange(len(MEASURES)) + width, ("accuracy", "precision", "recall", "AUC"))
    views = next(iter(report.models.values())).views
    axes.set(title=f"A small recommender on {views:,} clean held-out views", ylim=(0, 1.25))
    axes.legend(loc="upper center", fontsize=8, ncols=1)
