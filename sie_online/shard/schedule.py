"""Model versions that a shard has been told of and will adopt, each at its offset."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.announcements import Adoption
from sie_online.importance.net import Net


class Planned(NamedTuple):
    """What will be in force from ``adoption.offset`` on; ``net`` None: the built-in model."""

    adoption: Adoption
    net: Net | None


class Schedule:
    """Adoptions by offset. A late one may apply before one that was announced earlier."""

    def __init__(self) -> None:
        self._planned: list[Planned] = []

    def add(self, adoption: Adoption, net: Net | None) -> None:
        """Plan one more."""
        self._planned.append(Planned(adoption, net))
        self._planned.sort(key=lambda planned: (planned.adoption.offset, planned.adoption.n))

    def last(self) -> int:
        """Number of the newest announcement, 0 if there is none."""
        return max((planned.adoption.n for planned in self._planned), default=0)

    def due(self, offset: int) -> Iterator[Planned]:
        """Take out everything that applies to ``offset``."""
        while self._planned and self._planned[0].adoption.offset <= offset:
            yield self._planned.pop(0)

    def holds_until(self, offsets: NDArray[np.int64]) -> int:
        """The row of ``offsets`` (ascending) up to which nothing more is due."""
        if not self._planned:
            return len(offsets)
        return int(np.searchsorted(offsets, self._planned[0].adoption.offset))
