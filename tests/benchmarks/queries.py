"""What questions cost, on Apache Kafka: ``python -m tests.benchmarks.queries``. Latency, and what the worker pays.

One worker under a steady load of events is asked and left alone in turns, so that both meet the same machine; before
that another one with the Query API off gets the same load. Worker, generator, broker and whoever asks are processes of
their own, on this machine. What the worker pays: processor time, by thread, too, and how long a record takes from its
fetch to its confirmed rows. What explains a tail: how many cores the whole machine kept busy (near all of them
everything waits), how late questions were sent, and how long they were in the worker.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from prometheus_client.samples import Sample

from sie_online import WeightSubscriber
from sie_online.client.rows import weight_rows
from sie_online.settings import Settings
from streams.topics import create_topics
from tests.benchmarks import BENCH
from tests.benchmarks.arena import Arena, make_outputs
from tests.benchmarks.contestants import RESULT, START_S, folder, module_command
from tests.benchmarks.cpu import CpuWatch
from tests.benchmarks.machine import busy_cores, describe, warning
from tests.benchmarks.running import count, kafka_arena, log, prepare
from tests.benchmarks.scraped import bucket_quantile, outcomes, scrape, thread_us
from tests.support.brokers import free_ports
from tests.support.queries import token_in
from tests.support.workers import SIE_WORKER, WorkerProcess, worker_pool

KNOWN = 2_000
"""Events that are asked about."""
ROUTES = ("weights", "explain", "entities", "items", "score", "recommend")
LATENCY = "sie_arrival_to_publish_seconds_bucket"
IN_WORKER = "sie_api_request_seconds_bucket"
NOTED_S = 0.3
"""Until the processor time of the turn's last moment is noted."""
GRACE_S = 120.0
OFF, IDLE, ASKED = "API off", "API on, nobody asks", "API on, asked"


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Both workers, one after the other."""
    busy = busy_cores()
    with kafka_arena(given.partitions) as (arena, _):
        asyncio.run(create_topics(arena.settings("source")))
        file, _ = token_in(arena.folder)
        turns: list[dict[str, Any]] = []
        api = {"token_file": str(file), "port": free_ports()[0]}
        for name, more in (("off", {}), ("on", {"api": api})):
            turns += _turns(arena, name, more, given)
    told = {"events_per_s": given.rate, "questions_per_s": given.per_s, "seconds": given.seconds, "turns": given.turns}
    setting = told | {"partitions": given.partitions, "busy_cores_before": busy}
    return {"machine": describe(), "setting": setting, "turns": turns, "routes": _routes(turns)}


def _turns(arena: Arena, name: str, more: dict[str, Any], given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    settings = arena.settings(name, labels={"window_s": 10}, recommend={"enabled": True}, **more)
    make_outputs(settings)
    at = folder(arena, name)
    plan = [OFF] * given.turns if name == "off" else [IDLE, ASKED] * given.turns
    seconds = given.warm + (len(plan) + 1) * (given.seconds + 5)
    with worker_pool(settings, at, SIE_WORKER) as start:
        worker = start()
        worker.wait_ready(START_S)
        with _under_load(settings, at, given.rate, seconds):
            time.sleep(given.warm)
            known = at / "known.json"
            known.write_text(json.dumps(asyncio.run(_known(settings))))
            for turn in plan:
                log(turn)
                yield _turn(settings, worker, turn, known, given)
        worker.stop()


@contextmanager
def _under_load(settings: Settings, at: Path, rate: int, seconds: float) -> Iterator[None]:
    command = module_command("load", "--rate", str(rate), "--seconds", str(seconds))
    with worker_pool(settings, at / "load", command) as start:
        start().wait_for("SENDING", START_S)
        yield


async def _known(settings: Settings) -> list[tuple[str, str, str]]:
    """Event, user and item of some events that were just published."""
    found: list[tuple[str, str, str]] = []
    async with WeightSubscriber(settings, start="latest") as weights:
        async for batch in weights.batches():
            found += [(row.event_id, row.user_id, row.item_id) for row in weight_rows(batch)]
            if len(found) >= KNOWN:
                return found[:KNOWN]
    raise AssertionError("the subscriber ended")


def _turn(
    settings: Settings,
    worker: WorkerProcess,
    turn: str,
    known: Path,
    given: argparse.Namespace,
) -> dict[str, Any]:
    """One measurement of ``given.seconds``."""
    with _asking(settings, known, given) if turn == ASKED else nullcontext(None) as asking:
        with CpuWatch({"worker": worker.pid}) as watch:
            before, began, began_ms = scrape(settings), time.monotonic(), time.time() * 1000
            busy = busy_cores(given.seconds)
            after, took_s, ended_ms = scrape(settings), time.monotonic() - began, time.time() * 1000
            time.sleep(NOTED_S)
        asked = json.loads(asking.wait_for(RESULT, GRACE_S)[1]) if asking else None
    events = (outcomes(after) - outcomes(before)).total()
    cores = watch.cores(began_ms, ended_ms)
    latencies = _buckets(before, after, LATENCY)
    return {
        "turn": turn,
        "events_per_s": events / took_s,
        "busy_cores": busy,
        "worker_us_per_event": 1e6 * cores["worker"] * took_s / max(events, 1),
        "thread_us_per_event": thread_us(before, after),
        "publish_ms": {f"p{100 * q:g}": 1000 * bucket_quantile(latencies, q) for q in (0.5, 0.99)},
        "asked": asked,
        "in_worker": {route: _buckets(before, after, IN_WORKER, route=route) for route in asked or ()},
    }


@contextmanager
def _asking(settings: Settings, known: Path, given: argparse.Namespace) -> Iterator[WorkerProcess]:
    """A process that has just begun to ask."""
    command = module_command(
        "questions",
        *("--url", f"http://127.0.0.1:{settings.api.port}", "--token-file", str(settings.api.token_file)),
        *("--known", str(known), "--routes", *ROUTES, "--rate", str(given.per_s), "--seconds", str(given.seconds)),
    )
    with worker_pool(settings, known.parent / f"asked-{time.time_ns()}", command) as start:
        asking = start()
        asking.wait_for("ASKING", START_S)
        yield asking
        asking.exit_code()


def _buckets(before: Sequence[Sample], after: Sequence[Sample], name: str, **labels: str) -> dict[float, float]:
    """What a histogram counted between two scrapes, by upper bound."""

    def at(samples: Sequence[Sample]) -> dict[float, float]:
        said = (sample for sample in samples if sample.name == name and sample.labels.items() >= labels.items())
        return {float(sample.labels["le"]): sample.value for sample in said}

    early = at(before)
    return {edge: n - early.get(edge, 0.0) for edge, n in at(after).items()}


def _routes(turns: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Over all turns: questions, statuses, and quantiles of what they took, ms; also how late they were sent, and how
    long they were in the worker.
    """
    took, late = (defaultdict[str, list[float]](list) for _ in range(2))
    statuses, in_worker = (defaultdict[str, Counter[Any]](Counter) for _ in range(2))
    for turn in turns:
        for route, said in (turn.pop("asked") or {}).items():
            took[route] += said["ms"]
            late[route] += said["late_ms"]
            statuses[route].update(said["statuses"])
        for route, counts in turn.pop("in_worker").items():
            in_worker[route].update(counts)
    return {
        route: {"questions": len(ms), "statuses": dict(statuses[route])}
        | {f"p{100 * q:g}_ms": float(np.quantile(ms, q)) for q in (0.5, 0.99, 1.0)}
        | {"late_p99_ms": float(np.quantile(late[route], 0.99))}
        | {f"in_worker_p{100 * q:g}_ms": 1000 * bucket_quantile(in_worker[route], q) for q in (0.5, 0.99)}
        for route, ms in took.items()
    }


def _table(report: dict[str, Any]) -> Iterator[str]:
    heads = f"{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'late p99':>10}{'in worker':>11}{'p99':>9}"
    yield f"{'route':>10}{'questions':>11}{heads}  statuses"
    for route, said in report["routes"].items():
        figures = "".join(f"{said[f'{name}_ms']:>9.1f}" for name in ("p50", "p99", "p100"))
        figures += f"{said['late_p99_ms']:>10.1f}{said['in_worker_p50_ms']:>11.1f}{said['in_worker_p99_ms']:>9.1f}"
        yield f"{route:>10}{said['questions']:>11}{figures}  {said['statuses']}"
    yield ""
    yield f"{'medians over turns':>22}{'events/s':>10}{'µs/event':>10}{'publish p50 ms':>16}{'p99 ms':>9}{'cores':>7}"
    for kind in (OFF, IDLE, ASKED):
        turns = [turn for turn in report["turns"] if turn["turn"] == kind]
        rate, cost = (median(turn[name] for turn in turns) for name in ("events_per_s", "worker_us_per_event"))
        p50, p99 = (median(turn["publish_ms"][name] for turn in turns) for name in ("p50", "p99"))
        busy = median(turn["busy_cores"] for turn in turns)
        yield f"{kind:>22}{rate:>10,.0f}{cost:>10.2f}{p50:>16.1f}{p99:>9.1f}{busy:>7.2f}"


def main() -> None:
    """Measure, print, and keep the figures in ``build/bench/queries.json``."""
    parser = argparse.ArgumentParser(
        prog="tests.benchmarks.queries", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=count, default=20_000, help="events a second (default 20,000)")
    parser.add_argument("--per-s", type=count, default=100, help="questions a second (default 100)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a turn (default 15)")
    parser.add_argument("--turns", type=count, default=3, help="of each kind (default 3)")
    parser.add_argument("--warm", type=float, default=15.0, help="seconds of load before anything counts (default 15)")
    parser.add_argument("--partitions", type=count, default=4, help="(default 4)")
    parser.add_argument("--out", type=Path, default=BENCH / "queries.json", help="JSON result")
    given = parser.parse_args()
    prepare()
    report = measure(given)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report["machine"]), warning(report["setting"]["busy_cores_before"]), "", *_table(report), sep="\n")
    print(given.out)


if __name__ == "__main__":
    main()
