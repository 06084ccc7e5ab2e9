"""What worker and trainer tell Prometheus of the brokers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from sie_online.client.availability import Availability


def watch_broker(registry: CollectorRegistry, availability: Availability) -> None:
    """Ask ``availability`` at every scrape."""
    up = Gauge("sie_broker_up", "Whether the brokers answer, 1 or 0.", registry=registry)
    up.set_function(lambda: not availability.away)
    last = Gauge(
        "sie_broker_last_answer_timestamp_seconds",
        "When a broker answered last, since 1970: while sie_broker_up is 0, since when they are away.",
        registry=registry,
    )
    last.set_function(lambda: availability.last_answer)
