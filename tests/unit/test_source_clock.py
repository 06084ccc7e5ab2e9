"""The time that a file's rows tell: pace and end of a replay go by it."""

from __future__ import annotations

import json

import numpy as np

from sie_online.settings import Settings
from sie_online.source_clock import SourceClock
from sie_online.wire import Chunk, WireRecord
from tests.events import ARRIVAL_MS, START_MS, event

REFUSED = WireRecord(b"u1", b"{}")


def chunk(*records: WireRecord) -> Chunk:
    return Chunk(records, np.full(len(records), -1), 0.5)


def row(n: int, at_s: float, user: str | None = None) -> WireRecord:
    one = event(n, at_s=at_s, user=user or f"u{n}")
    return WireRecord(one["user_id"].encode(), json.dumps(one).encode())


def test_a_refused_row_and_one_that_is_ahead_tell_the_time_of_the_rows_before() -> None:
    clock = SourceClock(Settings())
    far = 40 * 86_400.0
    first = clock.told(chunk(REFUSED, row(1, 0), row(2, 60), REFUSED, row(3, 120), row(4, far)), ARRIVAL_MS)
    second = clock.told(chunk(REFUSED, row(5, 180), row(6, 2 * far * 400)), ARRIVAL_MS)
    seconds = [(int(at) - START_MS) / 1000 for at in (*first.times_ms, *second.times_ms)]
    assert seconds[0] == -START_MS / 1000, "none is known yet"
    assert seconds[1:] == [0, 60, 60, 120, 120, 120, 180, 180]
    assert clock.end_ms == START_MS + 180_000
    assert (first.progress, len(first.records)) == (0.5, 6)
