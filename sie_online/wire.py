"""Records as they lie on the wire before Kafka has given them an offset: what sources and the simulator produce."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import ERASE, HEARTBEAT
from sie_online.settings import Settings

MATURITY_MARGIN_MS = 1_000


class WireRecord(NamedTuple):
    """Key and value of one record of ``sie.events``; ``partition`` None: placed by the key (see ``partitioner``)."""

    key: bytes | None
    value: bytes | None
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of a source, small enough to hold in memory.

    ``times_ms`` (n,) are event times (of a record that has none: its predecessor's); ``progress`` in [0, 1] is the
    share of the source that ends with this chunk.
    """

    records: Sequence[WireRecord]
    times_ms: NDArray[np.int64]
    progress: float

    def __len__(self) -> int:
        return len(self.records)


def heartbeat(timestamp_ms: int, partition: int) -> WireRecord:
    """The record that moves the clock of ``partition`` to ``timestamp_ms`` (event time, ms)."""
    value = msgspec.json.encode({"event_type": HEARTBEAT, "timestamp_ms": timestamp_ms})
    return WireRecord(None, value, partition)


def erasure(published_id: str, partition: int) -> WireRecord:
    """The record that makes ``partition`` forget the user whose id is published as ``published_id``.

    Without a key: the user's events say where it belongs, and the id need not be written twice.
    """
    return WireRecord(None, msgspec.json.encode({"event_type": ERASE, "user_id": published_id}), partition)


def maturing_ms(settings: Settings) -> int:
    """How long after an event its window has ended beyond doubt."""
    window = round((settings.labels.window_s + settings.labels.lateness_s) * 1_000)
    return window + MATURITY_MARGIN_MS


def maturity_ms(settings: Settings, last_event_ms: int) -> int:
    """Event time at which every sample up to ``last_event_ms`` has its final label."""
    return last_event_ms + maturing_ms(settings)


def final_heartbeats(settings: Settings, last_event_ms: int, partitions: int) -> list[WireRecord]:
    """What ends a log that is read to its end: one heartbeat per partition, so that all windows mature.

    ``last_event_ms`` is what the log's clock says at the end (`sie_online.clock`); 0, no time at all, ends nothing.
    """
    if last_event_ms == 0:
        return []
    return [heartbeat(maturity_ms(settings, last_event_ms), partition) for partition in range(partitions)]
