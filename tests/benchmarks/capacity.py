"""A fleet's size from measured figures: ``python -m tests.benchmarks.capacity --result build/bench/throughput.json``.

Prints docs/capacity.md's table for the rates asked for. ``Measured`` is read from the result of ``make bench``,
``Assumed`` is what the reader's own machines give; every line of the table is one of the page's formulas.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import BENCH

RATES = (1_000_000, 10_000_000)
HOUR_S = 3_600
SHARD_THREADS, LOOP_THREAD = "shards", "main"
OUTPUTS = ("weights", "samples", "entities")


@dataclass(frozen=True)
class Measured:
    """Of one event: processor time in µs, bytes, samples; of one shard: resident MB.

    ``worker_us`` and ``broker_us`` are whole processes, ``shard_us`` and ``loop_us`` the worker's threads that cannot
    be divided: a partition has one line, a worker one event loop.
    """

    worker_us: float
    shard_us: float
    loop_us: float
    broker_us: float
    bytes_in: float
    bytes_out: float
    checkpoint_bytes: float
    samples: float
    shard_mb: float

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Measured:
        """From the JSON of ``make bench``: medians over its rounds."""
        runs = [each["worker"] for each in result["rounds"]]
        partitions = result["setting"]["partitions"]

        def per_event(*names: str) -> float:
            return float(median(sum(run["details"].get(name, 0.0) for name in names) / _weighted(run) for run in runs))

        return cls(
            worker_us=median(run["cpu_us_per_event"]["contestant"] for run in runs),
            shard_us=median(run["threads"].get(SHARD_THREADS, 0.0) for run in runs),
            loop_us=median(run["threads"].get(LOOP_THREAD, 0.0) for run in runs),
            broker_us=median(run["cpu_us_per_event"].get("broker", 0.0) for run in runs),
            bytes_in=1e6 * per_event("events_mb"),
            bytes_out=1e6 * per_event(*(f"{topic}_mb" for topic in OUTPUTS)),
            checkpoint_bytes=1e6 * per_event("checkpoint_mb"),
            samples=per_event("settled"),
            shard_mb=median(run["details"]["resident_mb"] for run in runs) / partitions,
        )


@dataclass(frozen=True)
class Assumed:
    """What a deployment has; each is an option of the command.

    Attributes:
        busy: share of a core that is used at the planned rate; the rest is for peaks and catching up.
        worker_cores: cores of one worker.
        worker_gb: memory of one worker.
        replicas: copies that the brokers keep.
        subscribers: groups that read the outputs.
        hours_in: retention of the events.
        hours_out: retention of the outputs.
        broker_cores: cores of one broker.
        broker_write_mb: MB/s that a broker's disks write for good.
        broker_net_mb: MB/s that a broker sends.
        broker_disk_tb: TB of a broker's disks that may be filled.
        trainer_samples: samples/s that one trainer reads and fits; 0 where it was not measured.
    """

    busy: float = 0.6
    worker_cores: float = 4
    worker_gb: float = 16
    replicas: float = 3
    subscribers: float = 1
    hours_in: float = 72
    hours_out: float = 192
    broker_cores: float = 16
    broker_write_mb: float = 400
    broker_net_mb: float = 1_000
    broker_disk_tb: float = 10
    trainer_samples: float = 0


@dataclass(frozen=True)
class Plan:
    """What a rate needs. ``workers_by`` and ``brokers_by`` say how many each resource alone would take."""

    rate: float
    partitions: int
    workers_by: dict[str, int]
    brokers_by: dict[str, int]
    checkpoint_mb_s: float
    in_mb_s: float
    out_mb_s: float
    log_tb: float
    trainers: int | None

    @property
    def workers(self) -> int:
        """As many as the scarcest resource takes."""
        return max(self.workers_by.values())

    @property
    def brokers(self) -> int:
        """As many as the scarcest resource takes."""
        return max(self.brokers_by.values())

    @property
    def breaks_first(self) -> tuple[str, str]:
        """The resource that decides how many workers and how many brokers it takes."""
        return max(self.workers_by, key=self.workers_by.__getitem__), max(
            self.brokers_by, key=self.brokers_by.__getitem__
        )


def plan(rate: float, one: Measured, have: Assumed) -> Plan:
    """The fleet for ``rate`` events/s; docs/capacity.md has the formulas in words."""
    in_mb, out_mb = rate * one.bytes_in / 1e6, rate * one.bytes_out / 1e6
    partitions = ceil(rate * one.shard_us / 1e6 / have.busy)
    stored_tb = have.replicas * HOUR_S * (in_mb * have.hours_in + out_mb * have.hours_out) / 1e6
    written_mb = have.replicas * (in_mb + out_mb)
    sent_mb = (have.replicas - 1) * (in_mb + out_mb) + in_mb + have.subscribers * out_mb
    return Plan(
        rate=rate,
        partitions=max(1, partitions),
        workers_by={
            "cores": ceil(rate * one.worker_us / 1e6 / have.busy / have.worker_cores),
            "event loop": ceil(rate * one.loop_us / 1e6 / have.busy),
            "memory": ceil(partitions * one.shard_mb / 1e3 / have.worker_gb),
        },
        brokers_by={
            "cores": ceil(have.replicas * rate * one.broker_us / 1e6 / have.busy / have.broker_cores),
            "disk writes": ceil(written_mb / have.broker_write_mb),
            "network": ceil(sent_mb / have.broker_net_mb),
            "disk space": ceil(stored_tb / have.broker_disk_tb),
        },
        checkpoint_mb_s=rate * one.checkpoint_bytes / 1e6,
        in_mb_s=in_mb,
        out_mb_s=out_mb,
        log_tb=stored_tb,
        trainers=ceil(rate * one.samples / have.trainer_samples) if have.trainer_samples else None,
    )


def table(one: Measured, have: Assumed, rates: Sequence[float]) -> Iterator[str]:
    """Inputs and the plans beside each other, as Markdown."""
    yield "| measured, an event (shard_mb: a shard) | |\n|---|---|"
    yield from (f"| {each.name} | {getattr(one, each.name):,.3g} |" for each in fields(one))
    yield "\n| assumed | |\n|---|---|"
    yield from (f"| {each.name} | {getattr(have, each.name):,.4g} |" for each in fields(have))
    plans = [plan(rate, one, have) for rate in rates]
    yield "\n| need | " + " | ".join(f"{each.rate:,.0f}/s" for each in plans) + " |\n|---" + "|---" * len(plans) + "|"
    for name, cells in _rows(plans):
        yield f"| {name} | " + " | ".join(cells) + " |"


def _rows(plans: Sequence[Plan]) -> Iterator[tuple[str, list[str]]]:
    yield "partitions, at least", [f"{each.partitions:,}" for each in plans]
    yield "workers", [f"{each.workers:,} ({_by(each.workers_by)})" for each in plans]
    yield "brokers", [f"{each.brokers:,} ({_by(each.brokers_by)})" for each in plans]
    yield "events in, MB/s", [f"{each.in_mb_s:,.0f}" for each in plans]
    yield "outputs, MB/s", [f"{each.out_mb_s:,.0f}" for each in plans]
    yield "log on disk with replicas, TB", [f"{each.log_tb:,.1f}" for each in plans]
    yield "checkpoint store, MB/s", [f"{each.checkpoint_mb_s:,.0f}" for each in plans]
    yield "trainers", ["not measured" if each.trainers is None else f"{each.trainers:,}" for each in plans]
    yield "breaks first", [f"workers: {each.breaks_first[0]}; brokers: {each.breaks_first[1]}" for each in plans]


def _by(needs: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in needs.items())


def _weighted(run: Mapping[str, Any]) -> float:
    return float(run["details"]["weighted"])


def main() -> None:
    """Read, plan, print."""
    parser = argparse.ArgumentParser(
        prog="tests.benchmarks.capacity",
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--result", type=Path, default=BENCH / "throughput.json", help="JSON of make bench")
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="events/s to plan for")
    for each in fields(Assumed):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=float, default=each.default, help="assumed")
    given = parser.parse_args()
    have = Assumed(**{each.name: getattr(given, each.name) for each in fields(Assumed)})
    print("\n".join(table(Measured.of(json.loads(given.result.read_text())), have, given.rates)))


if __name__ == "__main__":
    main()
