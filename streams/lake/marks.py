"""How far a table has come in one partition of a topic, and which rows may repeat one that it holds.

A generation is one ownership of a shard, and says each row once: its producer is idempotent. So a row can only repeat
one of another generation, from which three things follow, none of which needs the rows themselves to be remembered:

- a row is the same row wherever it is said: same offset, and the same time at which it became known, unless a person
  has accepted changed settings (that shows in the messages' fingerprints);
- so one of the newest generation, whose offset or time lies above all that other generations have said, is new;
- and any other one *may* be there already: the table is asked.

What must be remembered is thus six numbers a partition. They are committed with the rows, so that a sink that starts
again knows as much as the one before it. How far repetitions reach (to the last checkpoint as a rule, to the log's
begin after ``sie worker --fresh``) does not matter: the table is asked for as long as there is doubt.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import INT64_MAX

NOTHING = -1
UNKNOWN_SETTINGS = 0
Column = NDArray[np.int64]


class Mark(NamedTuple):
    """Where a partition's rows end, and what has been said in it. All of it fits into 64 bits a number."""

    next_offset: int = 0
    """Of the topic's own log: the first message that the table does not hold yet."""
    generation: int = NOTHING
    """The newest heard of; ``offset`` and ``known_ms`` are the highest that it has said."""
    offset: int = NOTHING
    known_ms: int = NOTHING
    others_offset: int = NOTHING
    """The highest that any other generation has said, and so for ``others_ms``."""
    others_ms: int = NOTHING
    settings: int = UNKNOWN_SETTINGS
    """Stands for the fingerprint of the newest generation's settings."""

    def heard(self, said: Said, settings: int = UNKNOWN_SETTINGS) -> Mark:
        """After what one generation has said."""
        if said.generation < self.generation:
            return self._replace(
                others_offset=max(self.others_offset, said.offset), others_ms=max(self.others_ms, said.known_ms)
            )
        if said.generation == self.generation:
            return self._replace(offset=max(self.offset, said.offset), known_ms=max(self.known_ms, said.known_ms))
        are_changed = UNKNOWN_SETTINGS not in (self.settings, settings) and self.settings != settings
        return self._replace(
            generation=said.generation,
            offset=said.offset,
            known_ms=said.known_ms,
            others_offset=max(self.others_offset, self.offset),
            others_ms=INT64_MAX if are_changed else max(self.others_ms, self.known_ms),
            settings=settings or self.settings,
        )

    def doubts(self, generation: Column, offset: Column, known_ms: Column) -> bool:
        """Whether any of these rows (each shape (n,)) may repeat one that was said before."""
        beyond = (offset > self.others_offset) | (known_ms > self.others_ms)
        return not bool(((generation == self.generation) & beyond).all())


class Said(NamedTuple):
    """The highest offset and time among rows of one generation."""

    generation: int
    offset: int
    known_ms: int


def said(generation: Column, offset: Column, known_ms: Column) -> Iterator[Said]:
    """What each generation says in these rows (each shape (n,)), the oldest first."""
    for each in np.unique(generation):
        its = generation == each
        yield Said(int(each), int(offset[its].max()), int(known_ms[its].max()))


def settings_number(fingerprint: bytes | None) -> int:
    """A fingerprint (hexadecimal) as a number of 60 bits; what is none is ``UNKNOWN_SETTINGS``."""
    try:
        return int((fingerprint or b"")[:15], 16)
    except ValueError:
        return UNKNOWN_SETTINGS
