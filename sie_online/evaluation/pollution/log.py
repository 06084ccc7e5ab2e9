"""The newest events of a log as they were decoded, and mixtures of them as records that a producer would have sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.behaviours import Decoded, Mixture, columns_of, log_of
from sie_online.contracts import EVENT_TYPES, HEARTBEAT_CODE
from sie_online.ingest.decoder import Decoder
from sie_online.ingest.events import Event, EventBatch
from sie_online.ingest.records import RecordBatch
from sie_online.ingest.wire import Chunk, Records
from sie_online.settings import Settings

MOST_EVENTS = 200_000
"""Of a longer log the newest: a mixture goes through shards for every family and seed."""
CHUNK_EVENTS = 20_000
NUMBERS = ("position", "propensity", "price", "dwell_ms", "rating")


class EventLog(NamedTuple):
    """Events without duplicates, heartbeats and erasures; ``names``: the ids that the columns' keys stand for."""

    columns: NDArray[np.void]
    decoded: Decoded
    names: dict[int, str]

    def records(self, mixture: Mixture, seed: int) -> Iterator[Chunk]:
        """``mixture`` of this log, in its order. An event's id is its number there."""
        columns = columns_of(mixture, self.decoded, self.columns, seed)
        for begin in range(0, len(columns), CHUNK_EVENTS):
            part = columns[begin : begin + CHUNK_EVENTS]
            yield Chunk(self._records(part, begin), (begin + len(part)) / len(columns))

    def _records(self, columns: NDArray[np.void], begin: int) -> Records:
        fields: dict[str, list[Any]] = {
            "event_id": list(range(begin, begin + len(columns))),
            "event_type": [EVENT_TYPES[code] for code in columns["etype"].tolist()],
            "timestamp_ms": columns["time_ms"].tolist(),
            "session_id": [f"{key:x}" if key else None for key in columns["session_key"].tolist()],
        }
        for name in ("user", "item", "category"):
            keys = columns[f"{name}_key"].tolist()
            fields[f"{name}_id"] = [self.names.get(key, f"mixed-{key:x}") if key else None for key in keys]
        for name in NUMBERS:
            if not np.isnan(columns[name]).all():
                fields[name] = [None if value != value else value for value in columns[name].tolist()]
        if "position" in fields:
            fields["position"] = [None if value is None else int(value) for value in fields["position"]]
        events = [Event(**dict(zip(fields, row, strict=True))) for row in zip(*fields.values(), strict=True)]
        values = msgspec.json.Encoder().encode_lines(events).split(b"\n")[: len(events)]
        return Records([user.encode() for user in fields["user_id"]], values)


class LogCollector:
    """Takes a log as it goes into the shards (`sie_online.evaluation.run.Listener`)."""

    def __init__(self, settings: Settings, most: int = MOST_EVENTS) -> None:
        self.heard_events = 0
        self._decoder, self._most = Decoder(settings), most
        self._parts: deque[EventBatch] = deque()

    def heard(self, batch: RecordBatch) -> None:
        """Decode one partition's next records, as its shard does."""
        events, _ = self._decoder.decode(batch)
        self.heard_events += len(events)
        self._parts.append(events)
        while sum(map(len, self._parts)) - len(self._parts[0]) >= self._most:
            self._parts.popleft()

    def settled(self, samples: pa.RecordBatch) -> None:
        """Samples are of no interest."""

    def log(self) -> EventLog:
        """The newest events."""
        names: dict[int, str] = {}
        for part in self._parts:
            for name in ("user", "item", "category"):
                keys = part.columns[f"{name}_key"].tolist()
                texts = getattr(part, f"{name}_id").values()
                names.update((key, text.decode()) for key, text in zip(keys, texts, strict=True))
        columns = np.concatenate([part.columns for part in self._parts])
        columns = columns[columns["etype"] < HEARTBEAT_CODE]
        columns = columns[np.sort(np.unique(columns["event_key"], return_index=True)[1])]
        columns = columns[np.sort(np.argsort(columns["time_ms"], kind="stable")[-self._most :])]
        return EventLog(columns, log_of(columns), names)
