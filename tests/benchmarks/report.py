"""The result of a benchmark: medians over rounds, ratios within a round, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.contestants import WORKER, Run

HOW = (
    "worker (alone or with a trainer) and stock-faust: events told of after the first published message, by the time"
    " from that message's LogAppendTime (the broker's clock) to the last one's; empty-fetch: records after aiokafka's"
    " first answer, by the time from that answer to the last (which flatters it: up to 16 MB of them came with the"
    " first). Start, compilation, joining and restore lie outside. The worker's run is complete: every record counted,"
    " one weight per event in the topic, everything committed after a last checkpoint. stock-faust takes the first"
    " events only, before most windows end, keeps no state and publishes one message per event; the worker also"
    " settles every sample and publishes its final row and training sample, and checkpoints every 5 s of wall time"
    " (runs shorter than that see their share of one)."
)


@dataclass
class BenchmarkReport:
    """All runs, in rounds of one run per contestant."""

    machine: Mapping[str, str]
    setting: Mapping[str, Any]
    rounds: list[dict[str, Run]] = field(default_factory=list)
    busy_before: list[float] = field(default_factory=list)

    @property
    def contestants(self) -> list[str]:
        """Their names, in the order of their turns."""
        return list(self.rounds[0])

    @property
    def others(self) -> list[str]:
        """All but the worker."""
        return [name for name in self.contestants if name != WORKER]

    def rates(self, contestant: str) -> list[float]:
        """Events per second, by round."""
        return [runs[contestant].rate for runs in self.rounds]

    def ratios(self, other: str) -> list[float]:
        """Worker over ``other``, by round."""
        return [mine / theirs for mine, theirs in zip(self.rates(WORKER), self.rates(other), strict=True)]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; rates are events per second."""
        return {
            "how": HOW,
            "machine": self.machine,
            "setting": self.setting,
            "events_per_s": {name: _spread(self.rates(name)) for name in self.contestants},
            "ratio": {f"{WORKER}/{name}": _spread(self.ratios(name)) for name in self.others},
            "busy_cores_before_round": self.busy_before,
            "rounds": [{name: run.as_dict() for name, run in runs.items()} for runs in self.rounds],
        }

    def write(self, path: Path) -> None:
        """As JSON, in one piece or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".tmp")
        new.write_text(json.dumps(self.as_dict(), indent=2) + "\n")
        new.replace(path)

    def __str__(self) -> str:
        return "\n".join([*self._machine(), "", *self._rates(), "", *self._ratios(), "", *self._inside()])

    def _machine(self) -> list[str]:
        return [f"{name}: {value}" for name, value in {**self.machine, **self.setting}.items()]

    def _rates(self) -> list[str]:
        lines = [f"{'events/s':<28}{'min':>10}{'median':>10}{'max':>10}{'cores':>8}{'broker':>8}{'timed':>10}"]
        for name in self.contestants:
            runs = [one[name] for one in self.rounds]
            cores = [median(run.cores.get(who, 0.0) for run in runs) for who in ("contestant", "broker")]
            low, middle, high = _spread(self.rates(name)).values()
            lines.append(
                f"{name:<28}{low:>10,.0f}{middle:>10,.0f}{high:>10,.0f}{cores[0]:>8.2f}{cores[1]:>8.2f}"
                f"{median(run.seconds for run in runs):>8.2f} s"
            )
        return lines

    def _ratios(self) -> list[str]:
        lines = [f"{'ratio, within a round':<28}{'min':>10}{'median':>10}{'max':>10}"]
        for name in self.others:
            low, middle, high = _spread(self.ratios(name)).values()
            lines.append(f"{f'{WORKER} / {name}':<28}{low:>10.3f}{middle:>10.3f}{high:>10.3f}")
        return lines

    def _inside(self) -> list[str]:
        """The workers' own figures, median over rounds."""
        lines = []
        for name in self.contestants:
            details = [runs[name].details for runs in self.rounds]
            names = dict.fromkeys(name for each in details for name in each)  # a short run may see no checkpoint
            middle = {name: median(each.get(name, 0.0) for each in details) for name in names}
            stages = {name: value for name, value in middle.items() if name.endswith("_s")}
            rest = {name: value for name, value in middle.items() if name not in stages}
            if stages:
                lines.append(f"{name}, seconds by stage: " + ", ".join(f"{s[:-2]} {v:.3f}" for s, v in stages.items()))
                lines.append(f"{name}, in all: " + ", ".join(f"{what} {v:,.0f}" for what, v in rest.items()))
        return lines


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}
