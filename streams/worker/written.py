"""When the records that wait were written: from what the log's end was at what time, and from the records themselves.

Nobody fetches a record to ask. That its offset lay beyond the log's end at some time says that it was written later;
so does the timestamp of the record before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import NamedTuple

MOST_ENDS = 4_096
"""Remembered per partition: two hours of growth, seen every two seconds. What waits for longer is known by the records
that were processed meanwhile."""


class _End(NamedTuple):
    """The log ended before ``offset`` from one time to another, s since 1970."""

    offset: int
    first_s: float
    last_s: float


class WrittenTimes:
    """Of the first record that waits in each partition; times in s since 1970."""

    def __init__(self) -> None:
        self._ends: dict[int, deque[_End]] = {}

    def keep(self, partitions: Collection[int]) -> None:
        """Forget all others."""
        self._ends = {partition: ends for partition, ends in self._ends.items() if partition in partitions}

    def saw_end(self, partition: int, end: int, at_s: float) -> None:
        """The log of ``partition`` ended before offset ``end`` at ``at_s``."""
        ends = self._ends.setdefault(partition, deque(maxlen=MOST_ENDS))
        if ends and end <= ends[-1].offset:
            ends[-1] = ends[-1]._replace(last_s=at_s)
        else:
            ends.append(_End(end, at_s, at_s))

    def of(self, partition: int, offset: int, reached_s: float) -> float:
        """The latest time before which the record at ``offset`` was surely not written.

        ``reached_s`` is of the record at ``offset``, or of one before it; 0 if none is known. Where nothing else is
        known it is when the record was first seen to be there. Of a partition an end must have been seen.
        """
        ends = self._ends[partition]
        while len(ends) > 1 and ends[1].offset <= offset:
            ends.popleft()
        oldest = ends[0]
        return max(oldest.last_s, reached_s) if oldest.offset <= offset else reached_s or oldest.first_s
