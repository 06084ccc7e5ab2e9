"""The whole job on Apache Kafka under several settings: a worker of each in turns, over the same events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tests.benchmarks.arena import write_events
from tests.benchmarks.contestants import run_fetch, run_worker
from tests.benchmarks.machine import busy_cores
from tests.benchmarks.running import kafka_arena, log, now_and_then

Settings = Mapping[str, Any]
Found = dict[str, Any]


def whole_job(variants: Mapping[str, Settings], n_events: int, rounds: int, partitions: int) -> list[Found]:
    """What each run took, in order; ``variants`` are settings that are not default, by name."""
    found = []
    with kafka_arena(partitions) as (empty, broker):
        arena = write_events(empty, n_events, now_and_then(lambda n, _share: f"written {n:,}"))
        run_fetch(arena, broker, "warm-up")
        for number in range(1, rounds + 1):
            for name, more in variants.items():
                busy = busy_cores()
                run = run_worker(arena, broker, f"{name}-{number}", now_and_then(print), **more)
                volume = {what: mb for what, mb in run.details.items() if what.endswith("_mb")}
                took = {"rate": run.rate, "cpu_us": run.cpu_us, "threads_us": run.threads}
                found.append({"variant": name, "busy_before": busy, **took, **volume})
                log(f"round {number}/{rounds}: {json.dumps(found[-1])}")
    return found


def table(found: Sequence[Found]) -> str:
    """Medians over rounds, a line for each variant; processor time is in µs an event."""
    lines = [f"{'whole job':<12}{'events/s':>10}{'worker':>9}{'broker':>9}{'recs, MB':>10}"]
    for name in dict.fromkeys(each["variant"] for each in found):
        runs = [each for each in found if each["variant"] == name]
        rate, recs = (median(each.get(what, 0.0) for each in runs) for what in ("rate", "recs_mb"))
        worker, broker = (median(each["cpu_us"].get(who, 0.0) for each in runs) for who in ("contestant", "broker"))
        lines.append(f"{name:<12}{rate:>10,.0f}{worker:>9.2f}{broker:>9.2f}{recs:>10.1f}")
    return "\n".join(lines)
