"""Events: what a record of ``sie.events`` may say, and how valid ones look as columns.

A record that is no valid event becomes a ``DeadLetter`` with a reason from a closed list, and leaves no trace in any
state. `sie_online.ingest.decoder` decides which it is.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from sie_online.contracts import ERASE, FIRST_MS, HEARTBEAT, LAST_MS, POSITION_MAX, EventType
from sie_online.hashing import hash_column
from sie_online.ingest.headers import Headers

Identifier = str | int
Timestamp = Annotated[int, Meta(ge=FIRST_MS, le=LAST_MS)]


class Event(msgspec.Struct, gc=False):
    """One interaction of a user with an item. Unknown fields are ignored; integer ids become decimal text."""

    event_id: Identifier
    user_id: Identifier
    item_id: Identifier
    event_type: EventType
    timestamp_ms: Timestamp
    category_id: Identifier | None = None
    session_id: Identifier | None = None
    query: str | None = None
    position: Annotated[int, Meta(ge=0, le=POSITION_MAX)] | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] | None = None
    price: Annotated[float, Meta(ge=0)] | None = None
    dwell_ms: Annotated[float, Meta(ge=0)] | None = None
    rating: float | None = None
    attributes: dict[str, str | float | bool] | None = None


class Heartbeat(msgspec.Struct, gc=False, tag_field="event_type", tag=HEARTBEAT):
    """Moves the clock of the partition it is addressed to; carries nothing else."""

    timestamp_ms: Timestamp


class Erase(msgspec.Struct, gc=False, tag_field="event_type", tag=ERASE, forbid_unknown_fields=True):
    """Makes the partition it is addressed to forget a user. With any other field it is no erasure but a dead letter.

    ``user_id`` is the id as it is published: where ``privacy.hmac_key_file`` is set, the keyed HMAC.
    """

    user_id: str


def struct_of(event_type: object) -> type[Event | Heartbeat | Erase]:
    """What a record that calls itself ``event_type`` must be."""
    return Heartbeat if event_type == HEARTBEAT else Erase if event_type == ERASE else Event


class Reason(enum.StrEnum):
    """Why a record is a dead letter."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    BATCH_TOO_LARGE = "batch_too_large"
    BATCH_UNREADABLE = "batch_unreadable"
    TOO_DEEP = "too_deep"
    BAD_UTF8 = "bad_utf8"
    BAD_JSON = "bad_json"
    MALFORMED = "malformed"  # of another format than JSON
    MISSING_FIELD = "missing_field"
    WRONG_TYPE = "wrong_type"
    OUT_OF_RANGE = "out_of_range"
    BAD_TIMESTAMP = "bad_timestamp"
    BAD_ID = "bad_id"
    KEY_MISMATCH = "key_mismatch"


class RefusedError(Exception):
    """A record is no valid event; reason and detail, which never quotes the payload."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that is no valid event, as it came (or what pseudonyms leave of it), and why."""

    offset: int
    timestamp_ms: int
    reason: Reason
    detail: str
    key: bytes | None
    value: bytes | None
    headers: Headers


EVENT = np.dtype(
    [
        ("time_ms", "i8"),  # what the event claims
        ("now_ms", "i8"),  # at which it counts for the population (`sie_online.shard.clock`); set by the event loop
        ("offset", "i8"),
        ("event_key", "u8"),
        ("user_key", "u8"),
        ("item_key", "u8"),
        ("category_key", "u8"),
        ("session_key", "u8"),
        ("position", "f8"),
        ("propensity", "f8"),
        ("price", "f8"),
        ("dwell_ms", "f8"),
        ("rating", "f8"),
        ("etype", "i8"),  # by ``TYPE_CODES``; of an erasure, ``user_key`` says whose
    ]
)
"""One decoded event as the kernels see it; keys are 64-bit hashes (0: absent), NaN is absent."""


@dataclass(frozen=True, slots=True)
class Text:
    """A column of strings in Arrow's layout: ``data[offsets[i]:offsets[i + 1]]`` is row i (int32, uint8)."""

    offsets: NDArray[np.int32]
    data: NDArray[np.uint8]

    @classmethod
    def of(cls, values: Sequence[bytes]) -> Text:
        """Lay out ``values``, which are valid UTF-8."""
        offsets = np.zeros(len(values) + 1, np.int32)
        np.cumsum([len(value) for value in values], out=offsets[1:])
        return cls(offsets, np.frombuffer(bytearray(b"".join(values) or b"\0"), np.uint8))

    def take(self, rows: NDArray[np.int64]) -> list[bytes]:
        """The values of ``rows``."""
        data = self.data.tobytes()
        edges = zip(self.offsets[rows].tolist(), self.offsets[rows + 1].tolist(), strict=True)
        return [data[first:last] for first, last in edges]

    def values(self) -> Iterator[bytes]:
        """Row after row."""
        data, edges = self.data.tobytes(), self.offsets.tolist()
        return (data[first:last] for first, last in itertools.pairwise(edges))

    def keys(self) -> NDArray[np.uint64]:
        """64-bit hash of each row, 0 for an empty one."""
        out = np.empty(len(self.offsets) - 1, np.uint64)
        hash_column(self.offsets, self.data, out)
        return out


@dataclass(frozen=True, slots=True)
class EventBatch:
    """The valid events, heartbeats and erasures of a record batch, in order. ``columns`` has dtype ``EVENT``."""

    columns: NDArray[np.void]
    event_id: Text
    user_id: Text
    item_id: Text
    category_id: Text
    attributes_dropped: int = 0
    """Entries of ``attributes`` that could not be read, in all of them together."""

    def __len__(self) -> int:
        return len(self.columns)
