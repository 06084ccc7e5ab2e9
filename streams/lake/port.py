"""The port of a table in a lake: take up where it ends, and commit rows together with where they end.

Knows no format and no Kafka. `tests/unit/streams/lake/table_contract.py` holds both formats to what stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from streams.lake.marks import Mark
from streams.lake.users import Found, Users

FINAL, ALL = "final", "all"
"""What of the weights a table holds: final rows, or every revision."""


@dataclass(frozen=True, slots=True)
class About:
    """What a table holds the rows of. ``topic_id`` is Kafka's, empty where it tells none; ``rows`` FINAL or ALL."""

    topic: str
    topic_id: str
    rows: str
    schema: pa.Schema


@dataclass(frozen=True, slots=True)
class Held:
    """What a table says of itself: as ``About``, and how far it has come in each of the topic's partitions."""

    topic: str
    topic_id: str
    rows: str
    marks: Mapping[int, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Flush:
    """Rows for one commit, in the lake's columns, sorted, each identity once; ``marks`` are those after them.

    ``doubtful``: some row may repeat one that the table holds.
    """

    table: pa.Table
    marks: Mapping[int, Mark]
    doubtful: bool = False


class LakeTable(Protocol):
    """One table, written by one sink at a time, which visitors may come between. Calls block, and come from one thread
    at a time.

    A process may be killed at any moment: the table then holds all rows of a commit and its marks, or none of either.
    Where the place fails, ``UnreachableError``: whether the commit was made is then for ``resume`` to say.
    """

    def resume(self, about: About) -> Held:
        """Take the table over as its sink, making it where there is none; what it holds.

        Raises:
            UsageError: something else lies there.
        """

    def look(self) -> Held:
        """What the table holds, whoever writes it.

        Raises:
            UsageError: there is none.
        """

    def visit(self) -> None:
        """Take the table for ``compact`` or ``forget``. A sink that writes it goes on.

        Raises:
            UsageError: there is none.
        """

    def commit(self, flush: Flush) -> None:
        """Add ``flush``, whole: where an identity is there already, of two rows the one of the higher generation stays.

        Raises:
            DecisionError: another sink has written to the table since this one took it over.
        """

    def compact(self, quiet_before_ms: int) -> int:
        """Merge the small files of each hour that has got none since ``quiet_before_ms`` (wall clock); how many went.

        Removes, besides, what readers no longer need. It changes no row.
        """

    def find(self, users: Users) -> Found:
        """Which rows of the table are of ``users``, and which files hold any, whoever writes it.

        Raises:
            UsageError: there is none.
        """

    def forget(self, users: Users) -> Found:
        """Delete the rows of ``users``, and every file that held them or is no part of the table any more; how many
        rows and files went. After a death, whoever does it again finishes. What a sink commits meanwhile stays.
        """
