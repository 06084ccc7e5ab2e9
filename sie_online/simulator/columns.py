"""Events as columns, while they are being made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import TYPE_CODES

KINDS = ("clean", "misclick", "bots", "brushing")
"""What an event is in truth; an event's ``kind`` column is an index here."""


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Equally long columns, one row an event. ``position`` -1 and NaN elsewhere mean *not logged*."""

    time_ms: NDArray[np.int64]
    etype: NDArray[np.uint8]
    user: NDArray[np.int64]
    item: NDArray[np.int64]
    session: NDArray[np.int64]
    position: NDArray[np.int64]
    dwell_ms: NDArray[np.float64]
    rating: NDArray[np.float64]
    kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.time_ms)

    @classmethod
    def of(
        cls,
        time_ms: NDArray[Any],
        etype: str,
        user: NDArray[Any],
        item: NDArray[Any],
        session: NDArray[Any],
        *,
        kind: str = "clean",
        position: NDArray[Any] | None = None,
        dwell_ms: NDArray[Any] | None = None,
        rating: NDArray[Any] | None = None,
    ) -> EventColumns:
        """Events of one type and kind."""
        n = len(time_ms)
        return cls(
            time_ms=time_ms.astype(np.int64),
            etype=np.full(n, TYPE_CODES[etype], np.uint8),
            user=user.astype(np.int64),
            item=item.astype(np.int64),
            session=session.astype(np.int64),
            position=np.full(n, -1) if position is None else position.astype(np.int64),
            dwell_ms=np.full(n, np.nan) if dwell_ms is None else dwell_ms.astype(np.float64),
            rating=np.full(n, np.nan) if rating is None else rating.astype(np.float64),
            kind=np.full(n, KINDS.index(kind), np.uint8),
        )

    @classmethod
    def concat(cls, parts: Sequence[EventColumns]) -> EventColumns:
        """All rows of ``parts``, one after the other."""
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    def take(self, index: NDArray[Any]) -> EventColumns:
        """Rows by index or mask."""
        return EventColumns(*(getattr(self, field.name)[index] for field in fields(self)))

    def of_type(self, etype: str) -> EventColumns:
        """Rows of one event type."""
        return self.take(self.etype == TYPE_CODES[etype])
