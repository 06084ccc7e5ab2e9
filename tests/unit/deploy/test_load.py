"""The stack's events: always new ones, of the same people, of the past at first and then of now."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import pytest

from deploy.stack import load
from deploy.stack.load import HOURS, past, present, send_forever
from sie_online.errors import TopicError, UnreachableError
from sie_online.ingest.wire import Chunk
from sie_online.settings import Settings

RATE = 0.2
SPAN_MS = HOURS * 3_600_000


def events(chunks: Iterable[Chunk]) -> Iterator[dict[str, Any]]:
    """The events in ``chunks``; some records are broken on purpose."""
    for chunk in chunks:
        for record in chunk.records:
            with suppress(ValueError, TypeError):
                event = json.loads(record.value or b"")
                if isinstance(event, dict) and isinstance(event.get("timestamp_ms"), int):
                    yield event


def sound(found: Iterable[dict[str, Any]], now_ms: float) -> list[dict[str, Any]]:
    """Those whose time is not one of the broken ones."""
    return [event for event in found if abs(event["timestamp_ms"] - now_ms) < 5 * SPAN_MS and "event_id" in event]


def test_what_comes_at_first_are_the_two_hours_before_now() -> None:
    now_ms = time.time() * 1_000
    times = [event["timestamp_ms"] for event in sound(events(past(RATE)), now_ms)]
    assert len(times) > 0.8 * RATE * HOURS * 3_600
    assert now_ms - SPAN_MS - 1_000 <= min(times) <= now_ms - 0.9 * SPAN_MS
    assert now_ms - 0.1 * SPAN_MS <= max(times) <= now_ms + 1_000


def test_then_they_come_without_end_as_they_happen_and_under_ids_of_their_own() -> None:
    now_ms = time.time() * 1_000
    three_laps = islice(present(RATE), round(3 * 1.05 * RATE * HOURS * 3_600 / round(RATE * 10)))
    found = sound(events(three_laps), now_ms)
    times = [event["timestamp_ms"] for event in found]
    assert min(times) >= now_ms - 1_000
    assert max(times) >= now_ms + 2.5 * SPAN_MS
    ids = [event["event_id"] for event in found]
    assert len(set(ids)) > 0.97 * len(ids), "but for what is sent twice on purpose"
    users = {lap: {e["user_id"] for e in found if e["event_id"].startswith(lap)} for lap in ("lap0", "lap1")}
    assert users["lap0"] == users["lap1"], "the same people"


def test_brokers_that_are_away_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[Exception | None] = [None, UnreachableError("away"), UnreachableError("still"), TopicError("gone")]
    seen: list[set[str]] = []

    async def replay(_settings: Settings, chunks: Iterator[Chunk], *_: Any, **__: Any) -> None:
        seen.append({event["event_id"] for event in events(islice(chunks, 3)) if "event_id" in event})
        if (end := ends[len(seen) - 1]) is not None:
            raise end

    monkeypatch.setattr(load, "replay", replay)
    monkeypatch.setattr(load, "RETRY_S", 0.01)
    with pytest.raises(TopicError, match="gone"):
        asyncio.run(send_forever(Settings(), rate=20.0))
    assert len(seen) == len(ends)
    assert all(ids for ids in seen)
    assert not any(one & other for one in seen for other in seen if one is not other), "never an event twice"
