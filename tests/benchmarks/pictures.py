"""A result as an SVG: what a report's JSON holds, so that a picture can be drawn anew without measuring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tests.benchmarks.latency_report import PROCESSES

Result = Mapping[str, Any]

FIXED = {"svg.hashsalt": "sie-online", "svg.fonttype": "none"}
"""The same result is the same file, and its text stays text."""
NO_DATE = {"Date": None}
COLOURS = {"contestant": "#1f77b4", "broker": "#9aa5b1", "trainer": "#d9c08c", "worker": "#1f77b4"}
STATED = ("p50", "p99")


def draw(result: Result, path: Path) -> Path:
    """Write the picture of ``result``, whichever report it is of; the path."""
    with mpl.rc_context(FIXED):
        figure = _drawing(result)(result)
        FigureCanvasSVG(figure)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata=NO_DATE)
    return path


def _drawing(result: Result) -> Callable[[Result], Figure]:
    if "readings" in result:
        return _latency
    return _curve if "points" in result else _throughput


def _throughput(result: Result) -> Figure:
    """Processor time by process, and rates with their spread, by contestant."""
    names = list(result["events_per_s"])
    figure = Figure(figsize=(11, 1.2 + 0.45 * len(names)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    spent = result["cpu_us_per_event"]
    processes = list(dict.fromkeys(process for each in spent.values() for process in each))
    height = 0.8 / len(processes)
    for nth, process in enumerate(processes):  # beside each other: on a logarithmic axis stacks would mislead
        widths = [spent[name].get(process, {}).get("median", 0.0) for name in names]
        at = np.arange(len(names)) + (nth - (len(processes) - 1) / 2) * height
        bars = left.barh(at, widths, height, label=process, color=COLOURS.get(process))
        left.bar_label(bars, fmt="%.3g", fontsize=7, padding=2)
    left.set_yticks(range(len(names)), names)
    left.set(title="processor time, median of rounds", xlabel="µs an event", xscale="log")
    left.margins(x=0.15)
    left.legend(loc="lower right")
    left.invert_yaxis()
    rates = result["events_per_s"].values()
    middle = [rate["median"] for rate in rates]
    spread = [[rate["median"] - rate["min"] for rate in rates], [rate["max"] - rate["median"] for rate in rates]]
    right.barh(range(len(names)), middle, xerr=spread, color=COLOURS["contestant"])
    right.set(title="rate: median, least and most", xlabel="events/s", xscale="log")
    figure.suptitle(_machine(result))
    return figure


def _latency(result: Result) -> Figure:
    """Latency, processor time, and the stages' 99th percentiles, against load."""
    readings: Sequence[Result] = result["readings"]
    rates = [reading["rate"] for reading in readings]
    figure = Figure(figsize=(14, 4.4), layout="constrained")
    delays, cores, stages = figure.subplots(1, 3)
    for name in STATED:
        delays.plot(rates, [reading["latency_ms"][name] for reading in readings], "o-", label=name)
    delays.set(title="from send to read", ylabel="ms", yscale="log")
    for process in PROCESSES:
        cores.plot(rates, [reading["cores"].get(process, 0.0) for reading in readings], "o-", label=process)
    cores.set(title="cores kept busy", ylabel="cores", ylim=(0, None))
    for stage in dict.fromkeys(stage for reading in readings for stage in reading["stages"]):
        told = [
            (reading["rate"], reading["stages"][stage]["p99"]) for reading in readings if stage in reading["stages"]
        ]
        stages.plot(*zip(*told, strict=True), "o-", label=stage)
    stages.set(title="stages, 99th percentile", ylabel="ms", yscale="log")
    for axes in (delays, cores, stages):
        axes.set(xlabel="events/s", xscale="log")
        axes.legend(fontsize=8)
    figure.suptitle(_machine(result))
    return figure


def _curve(result: Result) -> Figure:
    """One panel a figure, against the quantity."""
    points: Sequence[Result] = result["points"]
    names = list(points[0]["figures"])
    figure = Figure(figsize=(4 * len(names), 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        axes.plot([point["value"] for point in points], [point["figures"][name] for point in points], "o-")
        axes.set(title=name, xlabel=result["quantity"], xscale="log", ylim=(0, None))
    figure.suptitle(_machine(result))
    return figure


def _machine(result: Result) -> str:
    machine = result["machine"]
    told = (machine.get("processor"), machine.get("cores"), machine.get("kafka") and f"Kafka {machine['kafka']}")
    return ", ".join(filter(None, told))
