"""A shop's events for ever: the same people on the same two hours, again and again, until somebody ends it.

The two hours before now come at once, so that there are labels to learn from; then every event comes when it happens.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice

from sie_online.errors import UnreachableError
from sie_online.ingest.wire import Chunk, WireRecord
from sie_online.settings import Settings
from sie_online.simulator import Scenario, simulate
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay

log = logging.getLogger(__name__)

HOURS = 2.0
CHUNK_S = 10.0
"""Event time of a chunk, about: it is looked through before its first event is due."""
RETRY_S = 2.0


async def send_forever(settings: Settings, rate: float) -> None:
    """Write about ``rate`` events per second to the input topic, whatever becomes of the brokers meanwhile; ends only
    by what else ``replay`` raises."""
    await replay(settings, past(rate), ReplayRate(), flush=False)
    while True:
        try:
            await replay(settings, present(rate), ReplayRate(speedup=1.0), flush=False)
        except UnreachableError as error:  # somebody tries out what an outage looks like
            log.warning("events wait: %s", error)
            await asyncio.sleep(RETRY_S)


def past(rate: float) -> Iterator[Chunk]:
    """The events of the two hours before now."""
    shop = _shop(rate)
    return _chunks(replace(shop, start_ms=_now_ms() - shop.span_ms), "past", rate)


def present(rate: float) -> Iterator[Chunk]:
    """The events from now on, without end; of another now they have other ids."""
    shop, start_ms = _shop(rate), _now_ms()
    for lap in count():
        yield from _chunks(replace(shop, start_ms=start_ms + lap * shop.span_ms), f"lap{lap}-{start_ms}", rate)


def _shop(rate: float) -> Scenario:
    return Scenario(events=round(rate * HOURS * 3_600), hours=HOURS)


def _chunks(scenario: Scenario, lap: str, rate: float) -> Iterator[Chunk]:
    """The records of one lap, under event ids of its own."""
    simulation, size = simulate(scenario), max(1, round(rate * CHUNK_S))
    records = (_renamed(record, lap) for record in simulation.records())
    sent = 0
    while part := list(islice(records, size)):
        sent += len(part)
        yield Chunk(part, sent / len(simulation))


def _renamed(record: WireRecord, lap: str) -> WireRecord:
    value = record.value and record.value.replace(b'"event_id":"', f'"event_id":"{lap}-'.encode(), 1)
    return record._replace(value=value)


def _now_ms() -> int:
    return int(time.time() * 1_000)
