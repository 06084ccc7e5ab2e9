"""Records as they lie on the wire before Kafka has given them an offset: what sources and the simulator produce."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import HEARTBEAT


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
