"""Live traffic at a steady rate: ``python -m tests.benchmarks.load --rate R --seconds S``, as a process.

Events of the default scenario, in its order, each with the present time and an id that begins with the moment of its
sending (ns since 1970), so that whoever reads its weight knows how long that took. Events that are due within the same
few milliseconds leave as one batch per partition. Logs ``RESULT {…}``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from itertools import cycle
from typing import Any

import msgspec
import numpy as np

from sie_online.ingest.wire import WireRecord
from sie_online.settings import Settings, load
from sie_online.simulator import Scenario, simulate
from streams.tools.writer import open_writer

TICK_S = 0.004
TEMPLATES = 40_000  # as many different events, before they come again under other ids


def templates() -> list[dict[str, Any]]:
    """Valid events of the default scenario, in order."""
    scenario = Scenario(events=TEMPLATES)
    events = (record.value for record in simulate(scenario).records() if record.key is not None and record.value)
    return list(_readable(events))


def _readable(values: Iterator[bytes]) -> Iterator[dict[str, Any]]:
    for value in values:
        try:
            event = msgspec.json.decode(value)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("user_id"), str) and "timestamp_ms" in event:
            yield event


def stamped(event: dict[str, Any], number: int) -> WireRecord:
    """``event`` as it happens now."""
    now_ns = time.time_ns()
    event["event_id"] = f"{now_ns}-{number}"
    event["timestamp_ms"] = now_ns // 1_000_000
    return WireRecord(event["user_id"].encode(), msgspec.json.encode(event))


async def run(settings: Settings, rate: float, seconds: float) -> dict[str, float]:
    """Send ``rate`` events a second; how many were sent, and by how much ticks were late (99th percentile, latest)."""
    events, sent, late_s = cycle(templates()), 0, [0.0]
    async with open_writer(settings) as writer:
        print("SENDING", flush=True)
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            due = int(now * rate) + 1
            if due > sent:
                late_s.append(max(0.0, now - sent / rate - TICK_S))
                await writer.write([stamped(next(events), number) for number in range(sent, due)])
                await writer.flush()
                sent = due
            await asyncio.sleep(max(TICK_S, sent / rate - (time.monotonic() - began)))
        await writer.delivered()
    return {"sent": sent, "late_p99_ms": float(np.quantile(late_s, 0.99)) * 1000, "late_ms": max(late_s) * 1000}


def main() -> None:
    """Send, then say what was sent."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.load", description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="events per second")
    parser.add_argument("--seconds", type=float, required=True, help="for so long")
    given = parser.parse_args()
    print("RESULT", json.dumps(asyncio.run(run(load(), given.rate, given.seconds))), flush=True)


if __name__ == "__main__":
    main()
