"""``make bench``: the whole job on real Apache Kafka, beside stock Faust doing the same, an empty fetch, and peers.

The contestants take turns (A B C A B C …), each in a fresh process with a fresh group, over one topic of generated
events written beforehand. Their processes and the broker end with this one, however it ends. ``contestants`` says how
each is timed, ``stock`` what stock Faust is given, ``peers`` what other engines do; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from streams.topics import create_topics
from tests.benchmarks import BENCH
from tests.benchmarks.arena import CHECKPOINT_S, Arena, write_events
from tests.benchmarks.contestants import FETCH, STOCK, WITH_TRAINER, WORKER, Run, run_fetch, run_stock, run_worker
from tests.benchmarks.curves import Curve, trace
from tests.benchmarks.latency import measure as measure_latency
from tests.benchmarks.latency_report import Latencies
from tests.benchmarks.machine import busy_cores, describe, warning
from tests.benchmarks.options import arguments
from tests.benchmarks.peers import PEERS
from tests.benchmarks.peers.contest import run_peer
from tests.benchmarks.peers.environments import UnavailableError, interpreter, versions
from tests.benchmarks.pictures import draw
from tests.benchmarks.report import BenchmarkReport
from tests.benchmarks.running import kafka_arena, log, now_and_then, prepare
from tests.support.brokers import Broker, requirements

SETTLED_S = 5.0  # the first samples have settled for so long before anything counts

Report = BenchmarkReport | Latencies | Curve


def main() -> int:
    """Measure, print the tables, write the JSON."""
    given = arguments(__doc__)
    if missing := requirements():
        print(missing, file=sys.stderr)
        return 2
    prepare()
    try:
        if given.curves:
            for name in given.curve:
                _keep(trace(name, given.sizes, given.events), f"curve-{name}", given)
        elif given.latency:
            _keep(latencies(given.partitions, given.rates, given.seconds, given.window), "latency", given)
        else:
            _keep(measure(given), "with-trainer" if given.with_trainer else "throughput", given)
    except KeyboardInterrupt:
        log("interrupted")
        return 130
    return 0


def _keep(report: Report, name: str, given: argparse.Namespace) -> None:
    out: Path = given.out or BENCH / f"{name}.json"
    report.write(out)
    print(f"\n{report}\n\n{out}")
    if given.docs:
        report.write(given.docs / f"{name}.json")
        print(draw(report.as_dict(), given.docs / f"{name}.svg"))


def measure(given: argparse.Namespace) -> BenchmarkReport:
    """Write the events, warm the broker up, run the rounds."""
    report = BenchmarkReport(describe(), {})
    peers = _install(given.peers, report)
    with kafka_arena(given.partitions) as (empty, broker):
        log(f"writing about {given.events:,} events to {given.partitions} partitions")
        arena = write_events(empty, given.events, now_and_then(lambda n, _share: f"written {n:,}"))
        stock = 0 if given.with_trainer else min(given.stock_events, given.events)
        report.setting = {
            "records": arena.records,
            "partitions": given.partitions,
            "stock_events": stock,
            "checkpoint_s": CHECKPOINT_S,
        }
        log(f"{arena.records:,} records; one unmeasured fetch to warm the broker up")
        run_fetch(arena, broker, "warm-up")
        for number in range(1, given.rounds + 1):
            report.busy_before.append(busy_cores())
            if note := warning(report.busy_before[-1]):
                log(note)
            contestants = _contestants(arena, broker, number, stock)
            contestants |= {} if given.with_trainer else _peers(arena, broker, number, peers)
            report.rounds.append(_round(contestants, f"round {number}/{given.rounds}", report.not_run))
    return report


def latencies(n_partitions: int, rates: Sequence[int], seconds: float, window_s: float) -> Latencies:
    """Create the topics and run the rates."""
    with kafka_arena(n_partitions) as (arena, broker):
        if note := warning(busy_cores()):
            log(note)
        asyncio.run(create_topics(arena.settings("source")))
        return measure_latency(arena, broker, rates, seconds, window_s + SETTLED_S, window_s, log)


def _install(names: Sequence[str], report: BenchmarkReport) -> list[str]:
    """Those of the peers that can be installed; the others are noted."""
    ready = []
    for name in names:
        log(f"{name}: installing it, or finding it in place")
        try:
            interpreter(PEERS[name])
            report.versions[name] = versions(PEERS[name])
            ready.append(name)
        except UnavailableError as error:
            report.not_run[name] = str(error)
            log(f"{name}: not run: {error}")
    return ready


def _contestants(arena: Arena, broker: Broker, number: int, n_stock: int) -> dict[str, Callable[[], Run]]:
    progress = now_and_then(lambda what: f"worker {what}")

    def worker(name: str, *, trainer: bool = False) -> Callable[[], Run]:
        return lambda: run_worker(arena, broker, f"{name}-{number}", progress, trainer=trainer)

    if not n_stock:
        return {WORKER: worker("worker"), WITH_TRAINER: worker("trainer", trainer=True)}
    return {
        WORKER: worker("worker"),
        STOCK: lambda: run_stock(arena, broker, f"stock-{number}", n_stock),
        FETCH: lambda: run_fetch(arena, broker, f"fetch-{number}"),
    }


def _peers(arena: Arena, broker: Broker, number: int, names: Sequence[str]) -> dict[str, Callable[[], Run]]:
    def peer(name: str) -> Callable[[], Run]:
        return lambda: run_peer(arena, broker, f"{name}-{number}", PEERS[name])

    return {name: peer(name) for name in names}


def _round(contestants: dict[str, Callable[[], Run]], at: str, not_run: dict[str, str]) -> dict[str, Run]:
    """One run of each that has not failed before; a peer that fails is noted in ``not_run``."""
    runs: dict[str, Run] = {}
    for name, contest in contestants.items():
        if name in not_run:
            continue
        log(f"{at}: {name} starts")
        try:
            runs[name] = contest()
        except UnavailableError as error:
            not_run[name] = str(error)
            log(f"{at}: {name} not run: {error}")
            continue
        log(f"{at}: {name} {runs[name].rate:,.0f} events/s ({runs[name].events:,} in {runs[name].seconds:.2f} s)")
    return runs


if __name__ == "__main__":
    sys.exit(main())
