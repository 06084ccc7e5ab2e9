"""What latency against load comes to: a row by rate, stages below, as a table, as JSON, for a picture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

QUANTILES = (0.5, 0.9, 0.99, 1.0)
LATE_MS = 20.0
"""A generator whose ticks were later than this (99th percentile) did not offer a steady rate."""
PROCESSES = ("worker", "broker", "generator", "reader")


@dataclass(frozen=True)
class LatencyReading:
    """One rate: latencies in ms by quantile, cores kept busy by process, and what came of it.

    ``batches_per_s`` are the worker's: what one fetch brought of one partition. ``longest_gap_ms``: between two
    messages of weights in the reader's hand, whatever the reason. ``stages``: ms by quantile and stage, of batches and
    checkpoints. ``threads``: the worker's processor time in µs an event, by thread.
    """

    rate: int
    sent: int
    read: int
    latency_ms: dict[str, float]
    cores: dict[str, float]
    batches_per_s: float
    generator_late_ms: dict[str, float]
    longest_gap_ms: float
    stages: dict[str, dict[str, float]] = field(default_factory=dict)
    threads: dict[str, float] = field(default_factory=dict)

    @property
    def ms_per_batch(self) -> float:
        """Processor time that the worker spends for a batch, all it does included."""
        return 1000 * self.cores["worker"] / self.batches_per_s if self.batches_per_s else 0.0

    @property
    def note(self) -> str:
        """A sentence where the row is not what it seems, else nothing."""
        late = self.generator_late_ms
        if late["p99"] <= LATE_MS:
            return ""
        return f"generator late: p99 {late['p99']:.0f} ms, latest {late['max']:.0f} ms"


@dataclass(frozen=True)
class Latencies:
    """All rates."""

    machine: Mapping[str, str]
    setting: Mapping[str, Any]
    readings: Sequence[LatencyReading]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_dict(), indent=2) + "\n")

    def __str__(self) -> str:
        about = [f"{name}: {told}" for name, told in {**self.machine, **self.setting}.items()]
        return "\n".join([*about, "", *self._rows(), "", *self._stages()])

    def _rows(self) -> Iterator[str]:
        quantiles = [f"p{100 * q:g}" for q in QUANTILES]
        heads = [*(f"{name} ms" for name in quantiles), *PROCESSES, "gap ms", "batches/s", "ms/batch"]
        yield "From send to read, cores kept busy by process, and the longest gap between two messages:"
        yield "".join(f"{head:>10}" for head in ("events/s", *heads))
        for each in self.readings:
            figures = [
                *(f"{each.latency_ms[name]:.1f}" for name in quantiles),
                *(f"{each.cores.get(name, 0.0):.2f}" for name in PROCESSES),
                f"{each.longest_gap_ms:.1f}",
                f"{each.batches_per_s:.0f}",
                f"{each.ms_per_batch:.2f}",
            ]
            yield f"{each.rate:>10,}" + "".join(f"{figure:>10}" for figure in figures) + f"  {each.note}".rstrip()

    def _stages(self) -> Iterator[str]:
        stages = list(dict.fromkeys(stage for each in self.readings for stage in each.stages))
        yield "Stages of batches and checkpoints, p50 / p99 ms (within a bucket of the worker's histograms):"
        yield "".join([f"{'events/s':>10}", *(f"{stage:>16}" for stage in stages)])
        for each in self.readings:
            told = (each.stages.get(stage) for stage in stages)
            cells = (f"{one['p50']:.1f} / {one['p99']:.1f}" if one else "-" for one in told)
            yield f"{each.rate:>10,}" + "".join(f"{cell:>16}" for cell in cells)
