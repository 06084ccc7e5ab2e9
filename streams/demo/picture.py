"""The report as an image: how weights are distributed, and what they do to a recommender."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from streams.demo.observer import HISTOGRAM_LABELS, Observer, in_words
from streams.demo.report import DemoReport

MEASURES = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "auc": "AUC"}
"""Figures of a ``Score`` with their titles."""
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
    found = in_words(report.noise_auc_by_kind)
    figure.suptitle(f"{report.events_weighted:,} events weighed; planted noise found (AUC): {found}")
    figure.savefig(path, dpi=120)


def _weights(axes: Any, observer: Observer) -> None:
    axes.bar(range(len(HISTOGRAM_LABELS)), observer.histogram(), color=COLOURS["weighted"])
    axes.set_xticks(range(len(HISTOGRAM_LABELS)), HISTOGRAM_LABELS, rotation=60, ha="right")
    axes.set(title="Weights at first statement", ylabel="events (logarithmic)", yscale="symlog")


def _models(axes: Any, report: DemoReport) -> None:
    width = 0.8 / len(report.models)
    for nth, (name, score) in enumerate(report.models.items()):
        values = [getattr(score, measure) for measure in MEASURES]
        bars = axes.bar(np.arange(len(MEASURES)) + nth * width, values, width, color=COLOURS[name], label=NAMES[name])
        axes.bar_label(bars, fmt="%.3f", fontsize=7, rotation=90, padding=3)
    axes.set_xticks(np.arange(len(MEASURES)) + width, MEASURES.values())
    views = next(iter(report.models.values())).views
    axes.set(title=f"A small recommender on {views:,} clean held-out views", ylim=(0, 1.25))
    axes.legend(loc="upper center", fontsize=8, ncols=1)
