"""Pathway: a keyed count in its Rust engine, one thread (its default), committed every 100 ms."""

from __future__ import annotations

import pathway as pw
from progress import Progress, arguments

COMMIT_MS = 100

given = arguments()
progress = Progress(given.records)


class Event(pw.Schema):
    """What is read of an event."""

    user_id: str
    event_type: str


events = pw.io.kafka.read(
    {"bootstrap.servers": given.broker, "group.id": given.group, "auto.offset.reset": "earliest"},
    topic=given.topic,
    schema=Event,
    format="json",
    autocommit_duration_ms=COMMIT_MS,
)
counts = events.groupby(pw.this.user_id).reduce(pw.this.user_id, n=pw.reducers.count())
totals = counts.reduce(n=pw.reducers.sum(pw.this.n))


def note(key: object, row: dict[str, int], time: int, is_addition: bool) -> None:
    """The sum of all users' counts has changed."""
    if is_addition:
        progress.total(row["n"])


pw.io.null.write(counts)
pw.io.subscribe(totals, on_change=note)
pw.run(monitoring_level=pw.MonitoringLevel.NONE, terminate_on_error=False)
