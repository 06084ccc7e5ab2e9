"""Factories of events, records and batches for tests of the core, and ways to run shards over them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from sie_online.contracts import EVENT_TYPES
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings, load
from sie_online.shard import Shard, ShardOutput

START_MS = 1_700_000_000_000
ARRIVAL_MS = START_MS + 400 * 86_400_000
"""Kafka timestamp of test records: later than any event time used."""
HOUR_MS = 3_600_000


@dataclass(frozen=True)
class EventRecord:
    """A consumer record, as far as batches are built from it."""

    offset: int
    value: bytes | None
    key: bytes | None
    timestamp: int = ARRIVAL_MS
    headers: Sequence[tuple[str, bytes]] = ()


def event(
    n: int, kind: str = "view", at_s: float = 0.0, user: str = "u1", item: str = "i1", **more: Any
) -> dict[str, Any]:
    """A valid event, ``at_s`` seconds after the start of test time."""
    return {
        "event_id": f"e{n}",
        "user_id": user,
        "item_id": item,
        "event_type": kind,
        "timestamp_ms": START_MS + round(at_s * 1000),
        **more,
    }


def heartbeat(at_s: float) -> dict[str, Any]:
    """A heartbeat ``at_s`` seconds after the start of test time."""
    return {"event_type": "heartbeat", "timestamp_ms": START_MS + round(at_s * 1000)}


def records(events: Iterable[dict[str, Any]]) -> list[EventRecord]:
    """Records at consecutive offsets from 0, keyed by user."""
    return [
        EventRecord(offset, json.dumps(one).encode(), str(one["user_id"]).encode() if "user_id" in one else None)
        for offset, one in enumerate(events)
    ]


def batch(rows: Sequence[EventRecord], partition: int = 0) -> RecordBatch:
    """One batch of consecutive records."""
    start = rows[0].offset if rows else 0
    end = start + len(rows)
    return RecordBatch.of(rows, topic="sie.events", partition=partition, epoch=1, start=start, end=end)


def small_settings(**overrides: Any) -> Settings:
    """Settings with an hour's window and tables so small that eviction happens."""
    base: dict[str, Any] = {
        "labels": {"window_s": 3600, "max_open_views": 1024},
        "dedupe": {"events": 64},
        "entities": {"users": 64, "items": 64, "categories": 64, "pairs": 64, "interests": 64},
    }
    return load(base | overrides)


def random_events(n: int, seed: int, users: int = 40, items: int = 60, step_s: float = 20.0) -> list[dict[str, Any]]:
    """A stream with every event type, late events, repeated ids and optional fields."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(EVENT_TYPES, n, p=[0.05, 0.6, 0.05, 0.08, 0.04, 0.12, 0.03, 0.03])
    at = np.cumsum(rng.exponential(step_s, n)) - rng.choice([0.0, 300.0], n, p=[0.9, 0.1])
    user, item = rng.integers(0, users, n), rng.zipf(1.4, n) % items
    ids = np.where(rng.random(n) < 0.03, np.maximum(np.arange(n) - rng.integers(1, 30, n), 0), np.arange(n))
    optional: list[dict[str, Any]] = [
        {},
        {"category_id": "c1", "price": 9.5},
        {"category_id": "c2", "dwell_ms": 1200, "session_id": "s"},
        {"position": 3, "propensity": 0.2, "rating": 4.0, "category_id": 7},
    ]
    return [
        event(int(ids[k]), str(kinds[k]), float(at[k]), f"u{user[k]}", f"i{item[k]}", **optional[int(item[k]) % 4])
        for k in range(n)
    ]


def run(shard: Shard, rows: Sequence[EventRecord], cuts: Iterable[int] = ()) -> list[ShardOutput]:
    """Process ``rows``, cut into batches at the given indices."""
    outputs: list[ShardOutput] = []
    edges = sorted({0, len(rows), *(cut for cut in cuts if 0 < cut < len(rows))})
    for first, last in itertools.pairwise(edges):
        outputs += shard.process(batch(rows[first:last], shard.partition))
    return outputs


def weights(outputs: Iterable[ShardOutput]) -> pa.Table:
    """All weight rows, in order of emission."""
    return pa.Table.from_batches([one.weights for one in outputs])


def samples(outputs: Iterable[ShardOutput]) -> pa.Table:
    """All settled samples, in order of emission."""
    return pa.Table.from_batches([one.gathered.samples for one in outputs])


def newest_statements(outputs: Iterable[ShardOutput]) -> dict[bytes, bytes]:
    """The newest statement about each entity, by key."""
    return {key: value for one in outputs for key, value in one.gathered.entities}


def process(events: Iterable[dict[str, Any]], settings: Settings | None = None) -> list[ShardOutput]:
    """Run a fresh shard over ``events`` in one batch."""
    shard = Shard(settings or small_settings(), 0)
    try:
        return run(shard, records(events))
    finally:
        shard.close()
