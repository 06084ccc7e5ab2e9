"""``make bench``: the whole job on real Apache Kafka, beside stock Faust doing the same, and beside an empty fetch.

``--with-trainer`` puts a second worker beside the first instead, one that runs a trainer: give it events for some
minutes. ``--latency`` measures from sending an event to reading its weight (``latency``). Else the contestants take
turns (A B C A B C …), each in a fresh process with a fresh group, over one topic of generated events written
beforehand. Their processes and the broker end with this one, however it ends.
``contestants`` says how each is timed, ``stock`` what stock Faust is given; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sie_online.settings import KNOWN_ELSEWHERE
from streams.topics import create_topics
from tests.benchmarks import BENCH
from tests.benchmarks.arena import CHECKPOINT_S, Arena, write_events
from tests.benchmarks.contestants import FETCH, STOCK, WITH_TRAINER, WORKER, Run, run_fetch, run_stock, run_worker
from tests.benchmarks.latency import RATES, Latencies
from tests.benchmarks.latency import measure as measure_latency
from tests.benchmarks.machine import busy_cores, describe, warning
from tests.benchmarks.report import BenchmarkReport
from tests.support.brokers import Broker, apache_kafka, requirements

RESULT = BENCH / "throughput.json"
RESULT_WITH_TRAINER = BENCH / "with-trainer.json"
RESULT_LATENCY = BENCH / "latency.json"
TELL_EVERY_S = 5.0
SETTLED_S = 5.0  # the first samples have settled for so long before anything counts
LEAST_EVENTS = 10_000  # fewer come with the first answer: nothing would be left to time


def main() -> int:
    """Measure, print the table, write the JSON."""
    given = _arguments()
    if missing := requirements():
        print(missing, file=sys.stderr)
        return 2
    _forget_settings()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.default_int_handler)  # as Ctrl-C: what we started is ended
    report: BenchmarkReport | Latencies
    try:
        if given.latency:
            out = given.out or RESULT_LATENCY
            report = latencies(given.partitions, given.rates, given.seconds, given.window)
        else:
            out = given.out or (RESULT_WITH_TRAINER if given.with_trainer else RESULT)
            report = measure(given.events, given.partitions, given.rounds, given.stock_events, given.with_trainer)
    except KeyboardInterrupt:
        log("interrupted")
        return 130
    report.write(out)
    print(f"\n{report}\n\n{out}")
    return 0


def measure(n_events: int, n_partitions: int, n_rounds: int, n_stock: int, with_trainer: bool) -> BenchmarkReport:
    """Write the events, warm the broker up, run the rounds."""
    with _arena(n_partitions) as (empty, broker):
        log(f"writing about {n_events:,} events to {n_partitions} partitions")
        written = write_events(empty, n_events, _now_and_then(lambda n, _share: f"written {n:,}"))
        arena = replace(empty, records=written.records + written.heartbeats)
        stock = 0 if with_trainer else min(n_stock, written.records)
        report = BenchmarkReport(
            describe(),
            {"records": arena.records, "partitions": n_partitions, "stock_events": stock, "checkpoint_s": CHECKPOINT_S},
        )
        log(f"{arena.records:,} records; one unmeasured fetch to warm the broker up")
        run_fetch(arena, broker, "warm-up")
        for number in range(1, n_rounds + 1):
            report.busy_before.append(busy_cores())
            if note := warning(report.busy_before[-1]):
                log(note)
            report.rounds.append(_round(arena, broker, number, n_rounds, stock))
    return report


def latencies(n_partitions: int, rates: Sequence[int], seconds: float, window_s: float) -> Latencies:
    """Create the topics and run the rates."""
    with _arena(n_partitions) as (arena, broker):
        if note := warning(busy_cores()):
            log(note)
        asyncio.run(create_topics(arena.settings("source")))
        return measure_latency(arena, broker, rates, seconds, window_s + SETTLED_S, window_s, log)


def _round(arena: Arena, broker: Broker, number: int, n_rounds: int, n_stock: int) -> dict[str, Run]:
    at = f"round {number}/{n_rounds}"

    def progress(what: str) -> None:
        told(what)

    told = _now_and_then(lambda what: f"{at}: worker {what}")
    contestants: dict[str, Callable[[], Run]] = {
        WORKER: lambda: run_worker(arena, broker, f"worker-{number}", progress)
    }
    if n_stock:
        contestants[STOCK] = lambda: run_stock(arena, broker, f"stock-{number}", n_stock)
        contestants[FETCH] = lambda: run_fetch(arena, broker, f"fetch-{number}")
    else:
        contestants[WITH_TRAINER] = lambda: run_worker(arena, broker, f"trainer-{number}", progress, trainer=True)
    runs = {}
    for name, contest in contestants.items():
        log(f"{at}: {name} starts")
        runs[name] = contest()
        log(f"{at}: {name} {runs[name].rate:,.0f} events/s ({runs[name].events:,} in {runs[name].seconds:.2f} s)")
    return runs


@contextmanager
def _arena(n_partitions: int) -> Iterator[tuple[Arena, Broker]]:
    """A broker and a folder; both are gone afterwards."""
    BENCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=BENCH, prefix="run-") as folder:
        data = Path(folder) / "broker"
        data.mkdir()
        log("starting Apache Kafka")
        with apache_kafka(data) as broker:
            yield Arena(broker.address, Path(folder), n_partitions), broker


def _now_and_then(words: Callable[..., str]) -> Callable[..., None]:
    """Tells ``words`` at most every few seconds."""
    told = time.monotonic()

    def progress(*state: object) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            log(words(*state))

    return progress


BEGAN = time.monotonic()


def log(line: str) -> None:
    """One line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - BEGAN:6.1f} s] {line}", flush=True)


def _forget_settings() -> None:
    """What a person has set for their own deployment must not reach the contestants."""
    for name in list(os.environ):
        if name.startswith("SIE_") and name not in KNOWN_ELSEWHERE - {"SIE_CONFIG"}:
            del os.environ[name]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.benchmarks.throughput", description=__doc__)
    parser.add_argument("--events", type=_count, default=300_000, help="events to generate (default 300,000)")
    parser.add_argument("--partitions", type=_count, default=4, help="partitions of the events (default 4)")
    parser.add_argument("--rounds", type=_count, default=3, help="turns of each contestant (default 3)")
    parser.add_argument("--stock-events", type=_count, default=20_000, help="events for stock Faust (default 20,000)")
    parser.add_argument("--with-trainer", action="store_true", help="a worker alone and one with a trainer, no others")
    parser.add_argument("--latency", action="store_true", help="from send to read at steady rates (``latency``)")
    parser.add_argument("--rates", type=_count, nargs="+", default=RATES, help="events per second (with --latency)")
    parser.add_argument("--seconds", type=float, default=30.0, help="measured per rate (with --latency)")
    parser.add_argument("--window", type=float, default=10.0, help="attribution window in s (with --latency)")
    parser.add_argument("--out", type=Path, help="JSON result (default: a file in build/bench)")
    given = parser.parse_args()
    if given.events < LEAST_EVENTS:
        parser.error(f"--events: at least {LEAST_EVENTS:,}, or there is nothing to time")
    return given


def _count(text: str) -> int:
    number = int(text.replace(",", "").replace("_", ""))
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number of at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
