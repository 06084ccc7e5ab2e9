"""Which names weigh most in a stream, in bounded memory.

Where there are twice as many names as are to be kept, the lighter half goes, and the floor, from which the rank of a
newcomer counts, is at least the heaviest rank that went. So a rank is never below what the name truly weighs; and since
the floor rises by d only where ``size`` names lie d above it, it is at most M / size of a total mass M: whoever
weighs more than that is among those kept. (Misra, Gries 1982, with masses, and pruned in lots as in the
mergeable summaries of Agarwal et al. 2012.)
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar


class Sum(Protocol):
    """What is told of a name beside its mass."""

    def add(self, other: Self) -> None:
        """Take ``other`` in."""
        ...


Told = TypeVar("Told", bound=Sum)


@dataclass(slots=True)
class Kept(Generic[Told]):
    """A name's ``rank`` (its mass, or more), and what was ``told`` of it since it was taken in."""

    rank: float
    told: Told


class HeavyHitters(Generic[Told]):
    """The ``size`` heaviest names, and at most as many others."""

    def __init__(self, size: int) -> None:
        self.floor = 0.0
        self._size = size
        self._kept: dict[str, Kept[Told]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[tuple[str, Kept[Told]]]:
        return iter(self._kept.items())

    def add(self, name: str, mass: float, told: Told) -> None:
        """``name`` weighs ``mass`` (0 or more) more; ``told`` may be kept and added to."""
        kept = self._kept.get(name)
        if kept is None:
            self._kept[name] = Kept(self.floor + mass, told)
            if len(self._kept) > 2 * self._size:
                self._prune()
        else:
            kept.rank += mass
            kept.told.add(told)

    def get(self, name: str) -> Told | None:
        """What was told of ``name``, if it is kept."""
        kept = self._kept.get(name)
        return kept.told if kept is not None else None

    def _prune(self) -> None:
        ordered = heapq.nlargest(self._size + 1, self._kept.items(), key=lambda each: each[1].rank)
        self._kept = dict(ordered[:-1])
        self.floor = max(self.floor, ordered[-1][1].rank)
