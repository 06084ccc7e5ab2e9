"""Records as they lie on the wire before Kafka has given them an offset: what sources and the simulator produce."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from sie_online.contracts import HEARTBEAT


class WireRecord(NamedTuple):
    """Key and value of one record of ``sie.events``; ``partition`` None: placed by the key (see ``partitioner``)."""

    key: bytes | None
    value: bytes | None
    partition: int | None = None


def heartbeat(timestamp_ms: int, partition: int) -> WireRecord:
    """The record that moves the clock of ``partition`` to ``timestamp_ms`` (event time, ms)."""
    value = msgspec.json.encode({"event_type": HEARTBEAT, "timestamp_ms": timestamp_ms})
    return WireRecord(None, value, partition)
