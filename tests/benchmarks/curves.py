"""``make bench ARGS="--curves"``: the worker against one quantity at a time, each point on a broker of its own.

Processor time is the figure to read: rates stand and fall with what else the machine does. ``CURVES`` names the curves
and the default sizes; ``docs/benchmarks`` says how to read each.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.curve_points import (
    Figures,
    of_checkpoints,
    of_entities,
    of_message_size,
    of_partitions,
    of_recovery,
    of_workers,
)
from tests.benchmarks.machine import busy_cores, describe, warning
from tests.benchmarks.running import log


@dataclass(frozen=True)
class Point:
    """The figures at one value of the quantity."""

    value: float
    figures: Figures


@dataclass
class Curve:
    """A curve. ``command`` repeats it."""

    name: str
    quantity: str
    command: str
    machine: Mapping[str, str]
    points: list[Point] = field(default_factory=list)
    busy_cores_before: list[float] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_dict(), indent=2) + "\n")

    def __str__(self) -> str:
        names = list(self.points[0].figures)
        lines = [*(f"{name}: {told}" for name, told in self.machine.items()), f"again: {self.command}", ""]
        lines.append("".join(f"{head:>30}" for head in (self.quantity, *names)))
        rows = ([f"{point.value:,.10g}", *(f"{point.figures[name]:,.2f}" for name in names)] for point in self.points)
        return "\n".join([*lines, *("".join(f"{cell:>30}" for cell in row) for row in rows)])


@dataclass(frozen=True)
class CurvePlan:
    """What is varied, over which sizes, and how a point is measured."""

    quantity: str
    sizes: Sequence[float]
    measure: Callable[[float, int], Figures]


CURVES = {
    "entities": CurvePlan("users and items", (1e4, 1e5, 1e6), of_entities),
    "partitions": CurvePlan("partitions of one worker", (1, 4, 16, 64), of_partitions),
    "workers": CurvePlan("workers", (1, 2, 4), of_workers),
    "message-size": CurvePlan("bytes an event", (200, 1_000, 4_000, 10_000), of_message_size),
    "checkpoints": CurvePlan("events behind the state", (1e5, 3e5, 9e5), of_checkpoints),
    "recovery": CurvePlan("records behind the checkpoint", (1e4, 5e4, 2e5), of_recovery),
}
"""By name; all of them run in about a quarter of an hour on two cores."""


def trace(name: str, sizes: Sequence[float] | None, n_events: int) -> Curve:
    """Measure curve ``name`` at ``sizes``, its own by default, over ``n_events`` where it does not vary them."""
    plan = CURVES[name]
    values = sizes or plan.sizes
    told = " ".join(f"{value:g}" for value in values)
    command = f'make bench ARGS="--curves --curve {name} --sizes {told} --events {n_events}"'
    curve = Curve(name, plan.quantity, command, describe())
    for value in values:
        curve.busy_cores_before.append(busy_cores())
        if note := warning(curve.busy_cores_before[-1]):
            log(note)
        log(f"{name}: {value:,.10g} {plan.quantity}")
        curve.points.append(Point(value, plan.measure(value, n_events)))
    return curve
