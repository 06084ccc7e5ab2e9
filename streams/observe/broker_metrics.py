"""What worker, trainer and sink tell Prometheus of the brokers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge

from sie_online.client.availability import Availability


def watch_broker(registry: CollectorRegistry, *availabilities: Availability) -> None:
    """Ask ``availabilities``, of each client one, at every scrape: the brokers answer if they answer all."""
    up = Gauge("sie_broker_up", "Whether the brokers answer, 1 or 0.", registry=registry)
    up.set_function(lambda: not any(availability.away for availability in availabilities))
    last = Gauge(
        "sie_broker_last_answer_timestamp_seconds",
        "When a broker answered last, since 1970: while sie_broker_up is 0, since when they are away.",
        registry=registry,
    )
    last.set_function(lambda: min(availability.last_answer for availability in availabilities))
