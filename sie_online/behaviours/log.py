"""A log as dense codes, what its event types are for, and a log with behaviours mixed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import EVENT_TYPES

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]

NO_CATEGORY = -1
"""Category of an item that has none."""
FEWEST_EVENTS = 20
"""A shorter log says nothing of how its shop is used."""


class Log(NamedTuple):
    """Events in order of time; users, items and categories are codes from 0 on."""

    user: Ints  # (n,)
    item: Ints  # (n,)
    category: Ints  # (n,), NO_CATEGORY: none
    etype: Ints  # (n,), by contracts.TYPE_CODES
    time_ms: Ints  # (n,), since 1970, ascending

    def take(self, rows: Ints) -> Log:
        """The events of ``rows``, in that order."""
        return Log(*(column[rows] for column in self))


class Roles(NamedTuple):
    """What event types are for: codes of those that get a label, and of those that make earlier ones positive."""

    samples: frozenset[int]
    conversions: frozenset[int]


class Behaviour(NamedTuple):
    """One that was mixed in: ``events`` were added or moved by it."""

    family: str
    polluting: bool
    events: int


@dataclass(frozen=True)
class Mixture:
    """A log with behaviours mixed in.

    Attributes:
        log: all events in order of time; accounts that the base log did not have are numbered from its last one on.
        source: int64 (n,), row of the base log that an event is, moved ones too; -1: added.
        behaviour: int64 (n,), 0: as it was; k > 0: of ``behaviours[k - 1]``.
        behaviours: what was mixed in.
    """

    log: Log
    source: Ints
    behaviour: Ints
    behaviours: tuple[Behaviour, ...]

    def polluting(self) -> Bools:
        """Which events are pollution, (n,)."""
        return self._of_kind(polluting=True)

    def innocent(self) -> Bools:
        """Which events are genuine though of an odd behaviour, (n,)."""
        return self._of_kind(polluting=False)

    def _of_kind(self, *, polluting: bool) -> Bools:
        kinds = [False, *(each.polluting is polluting for each in self.behaviours)]
        return np.array(kinds, np.bool_)[self.behaviour]


def check(log: Log, roles: Roles) -> None:
    """See that ``log`` can be mixed into.

    Raises:
        ValueError: it is too short, all of one moment, not in order of time, or has a code that means nothing.
    """
    n = len(log.time_ms)
    if any(len(column) != n for column in log):
        raise ValueError("columns of a log differ in length")
    if n < FEWEST_EVENTS:
        raise ValueError(f"a log of {n} events is too short to mix behaviours into: at least {FEWEST_EVENTS}")
    if (np.diff(log.time_ms) < 0).any():
        raise ValueError("a log must be in order of time")
    if log.time_ms[0] == log.time_ms[-1]:
        raise ValueError("all events of the log are of one moment: there is no time to mix behaviours into")
    if min(log.user.min(), log.item.min(), log.category.min() - NO_CATEGORY, log.etype.min()) < 0:
        raise ValueError("a log has a negative code")
    if log.etype.max() >= len(EVENT_TYPES):
        raise ValueError("a log has an event type that is none: leave out heartbeats and erasures")
    if not roles.samples or roles.samples & roles.conversions:
        raise ValueError("roles need a sample, and an event type can be a sample or a conversion, not both")
