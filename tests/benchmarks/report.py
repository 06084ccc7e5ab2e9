"""The result of a benchmark: medians over rounds, ratios within a round, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.contestants import FETCH, STOCK, WITH_TRAINER, WORKER, Run
from tests.benchmarks.peers import PEERS

HOW = (
    "worker (alone or with a trainer) and stock-faust: events told of after the first published message, by the time"
    " from that message's LogAppendTime (the broker's clock) to the last one's; empty-fetch: records after aiokafka's"
    " first answer, by the time from that answer to the last (which flatters it: up to 16 MB of them came with the"
    " first). Start, compilation, joining and restore lie outside. The worker's run is complete: every record counted,"
    " one weight per event in the topic, everything committed after a last checkpoint. stock-faust takes the first"
    " events only, before most windows end, keeps no state and publishes one message per event; the worker also"
    " settles every sample and publishes its final row and training sample, and checkpoints every 5 s of wall time"
    " (runs shorter than that see their share of one). Peers do the job that 'jobs' names, from their first event to"
    " their last, each in its own environment with its defaults. Processor time is over the timed span, by process;"
    " the worker's by thread and by stage is over its life from ready to idle."
)

JOBS = {
    WORKER: "weigh every event, settle every sample, publish weights, samples and entities, checkpoint",
    WITH_TRAINER: "the same, with a trainer beside it",
    STOCK: "weigh one event at a time in stock Faust with River, publish one JSON message each; keeps no state",
    FETCH: "aiokafka fetches every record and drops it",
    **{peer.name: peer.job for peer in PEERS.values()},
}


@dataclass
class BenchmarkReport:
    """All runs, in rounds of one run per contestant."""

    machine: Mapping[str, str]
    setting: Mapping[str, Any]
    rounds: list[dict[str, Run]] = field(default_factory=list)
    busy_before: list[float] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def contestants(self) -> list[str]:
        """Those that ran in every round, in the order of their turns."""
        return [name for name in self.rounds[0] if all(name in runs for runs in self.rounds)]

    def rates(self, contestant: str) -> list[float]:
        """Events per second, by round."""
        return [runs[contestant].rate for runs in self.rounds]

    def ratios(self, contestant: str, base: str) -> list[float]:
        """Rate of ``contestant`` over that of ``base``, by round."""
        pairs = zip(self.rates(contestant), self.rates(base), strict=True)
        return [mine / theirs for mine, theirs in pairs]

    def cpu_us(self, contestant: str) -> dict[str, dict[str, float]]:
        """Processor time in µs an event, by process, over rounds."""
        return spreads([runs[contestant].cpu_us for runs in self.rounds])

    def threads_us(self, contestant: str) -> dict[str, dict[str, float]]:
        """A worker's processor time in µs an event, by thread, over rounds."""
        return spreads([runs[contestant].threads for runs in self.rounds])

    @property
    def bases(self) -> list[str]:
        """What ratios are taken to."""
        return [name for name in (FETCH, WORKER) if name in self.contestants]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; rates are events per second."""
        return {
            "how": HOW,
            "machine": self.machine,
            "setting": self.setting,
            "events_per_s": {name: _spread(self.rates(name)) for name in self.contestants},
            "ratio": {
                f"{name}/{base}": _spread(self.ratios(name, base))
                for base in self.bases
                for name in self.contestants
                if name != base
            },
            "cpu_us_per_event": {name: self.cpu_us(name) for name in self.contestants},
            "worker_thread_us_per_event": self.threads_us(WORKER),
            "jobs": {name: JOBS[name] for name in self.contestants if name in JOBS},
            "not_run": self.not_run,
            "versions": self.versions,
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
        parts = (self._machine(), self._rates(), self._ratios(), self._cpu(), self._inside(), self._jobs())
        return "\n\n".join("\n".join(lines) for lines in parts if lines)

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
        lines = [f"{'ratio, within a round':<34}{'min':>10}{'median':>10}{'max':>10}"]
        for base in self.bases:
            for name in self.contestants:
                if name != base:
                    low, middle, high = _spread(self.ratios(name, base)).values()
                    lines.append(f"{f'{name} / {base}':<34}{low:>10.3f}{middle:>10.3f}{high:>10.3f}")
        return lines

    def _cpu(self) -> list[str]:
        """Processor time, median over rounds (least to most)."""
        lines = ["processor time in µs an event, median (min to max):"]
        for name in self.contestants:
            lines.append(f"{name:<28}{in_words(self.cpu_us(name))}")
            if threads := self.threads_us(name):
                lines.append(f"{'  by thread':<28}{in_words(threads)}")
        return lines

    def _jobs(self) -> list[str]:
        """What each was asked to do, and what did not run."""
        lines = [f"{name}: {JOBS[name]}" for name in self.contestants if name in JOBS]
        lines += [f"{name}: {' '.join(f'{k} {v}' for k, v in found.items())}" for name, found in self.versions.items()]
        return lines + [f"{name}: not run: {reason}" for name, reason in self.not_run.items()]

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


def spreads(rounds: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Least, median and most over ``rounds``, by name; a name counts where it was seen."""
    names = dict.fromkeys(name for each in rounds for name in each)
    return {name: _spread([each[name] for each in rounds if name in each]) for name in names}


def in_words(found: Mapping[str, Mapping[str, float]]) -> str:
    """``name median (min to max)``, one after the other."""
    told = (f"{name} {s['median']:.2f} ({s['min']:.2f} to {s['max']:.2f})" for name, s in found.items())
    return ", ".join(told)


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"min": min(values), "median": median(values), "max": max(values)}
