"""Quix Streams: a keyed counter, its state in RocksDB with a changelog topic (the library's defaults)."""

from __future__ import annotations

from progress import Progress, arguments
from quixstreams import Application, State

given = arguments()
progress = Progress(given.records)


def count(event: dict[str, object], state: State) -> dict[str, object]:
    """The user's events so far; a topic's key is its user."""
    seen = state.get("events", 0) + 1
    state.set("events", seen)
    progress.add()
    return event


def skip(_error: Exception, *_others: object) -> bool:
    """A record that is no JSON object is passed over."""
    return True


application = Application(
    broker_address=given.broker,
    consumer_group=given.group,
    auto_offset_reset="earliest",
    state_dir=given.folder,
    on_consumer_error=skip,
    on_processing_error=skip,
)
events = application.dataframe(application.topic(given.topic, value_deserializer="json"))
events.filter(lambda event: isinstance(event, dict) and "user_id" in event).apply(count, stateful=True)
application.run()
