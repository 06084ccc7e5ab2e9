"""Users' rows in a Delta table: found file by file, deleted day by day, and their files removed.

A deletion names rows by their identity: its predicate stays in the table's log for a month, and must tell nobody.
It is a commit of its own, beside those of a sink: what another commit gets in the way of is looked for and done again.
After a death the next one finds what is left, and removes the files that the dead one had no time for.
"""

from __future__ import annotations

import datetime
import logging
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sie_online.errors import UnreachableError
from streams.lake.delta_errors import ConflictError, reaching
from streams.lake.files import DataFiles
from streams.lake.layout import DAY, IDENTITY, Hour, integers
from streams.lake.users import Found, Users
from streams.store import open_store

if TYPE_CHECKING:
    from deltalake import DeltaTable

log = logging.getLogger(__name__)

TRIES = 8
"""Deletions in a row that others may get in the way of."""
NAMED = 5_000
"""So many offsets at most are named in one deletion."""
LITTER_H = 24
"""What is so old and no commit has named, none will: a file that a killed sink has left. Anything younger may be a
commit's that is still under way."""

Rows = dict[tuple[datetime.date, int, int], set[int]]
"""Offsets by day, partition and revision."""


class DeltaUsers:
    """In ``table``, which lies at ``url``."""

    def __init__(self, table: DeltaTable, url: str) -> None:
        self._table = table
        self._url = url
        self._files = DataFiles(open_store(url))
        self._clean: set[str] = set()

    def find(self, users: Users) -> Found:
        """Rows that the table has of ``users``; and files that hold any, among them those that have left the table."""
        with reaching(self._url):
            self._table.update_incremental()
            live = [len(self._own(path, users)) for path in self._live()]
            left = [len(self._own(path, users)) for path in self._removed(dry_run=True)]
        return Found(sum(live), sum(n > 0 for n in (*live, *left)))

    def forget(self, users: Users) -> Found:
        """Delete their rows, and then every file that is no part of the table any more."""
        rows, conflicts = 0, 0
        while found := self._rows(users):
            try:
                rows += self._delete(found)
                conflicts = 0
            except ConflictError as error:
                log.warning("%s: another commit came first, looking again: %s", self._url, error)
                if (conflicts := conflicts + 1) == TRIES:
                    raise UnreachableError(f"{self._url}: {TRIES} deletions in a row were refused for others") from None
        return Found(rows, self._clear())

    def _clear(self) -> int:
        """Remove what is no part of the table any more, whoever may be reading it, and old litter; how many files."""
        there = set(self._files.paths())
        with reaching(self._url):
            removed = there & set(self._removed(dry_run=False))
            litter = self._table.vacuum(LITTER_H, dry_run=False, enforce_retention_duration=False, full=True)
        return len(removed | set(litter))

    def _rows(self, users: Users) -> Rows:
        found: Rows = defaultdict(set)
        with reaching(self._url):
            self._table.update_incremental()
            for path in self._live():
                if path in self._clean:  # and will be: files do not change
                    continue
                own, day = self._own(path, users), Hour.of_path(path).place[0]
                if not len(own):
                    self._clean.add(path)
                columns = [integers(own, name) for name in ("partition", "revision", "offset")]
                for partition, revision, offset in zip(*columns, strict=True):
                    found[day, int(partition), int(revision)].add(int(offset))
        return found

    def _delete(self, found: Rows) -> int:
        """One commit for each day, as a rule; how many rows went."""
        rows = 0
        for predicate in _predicates(found):
            with reaching(self._url):
                self._table.update_incremental()
                rows += int(self._table.delete(predicate)["num_deleted_rows"])
        return rows

    def _own(self, path: str, users: Users) -> pa.Table:
        """The identities of the rows of ``users`` in a file; of one that has just been removed: none."""
        try:
            rows = self._files.read(path, [*IDENTITY, users.column])
        except FileNotFoundError:
            return pa.table({name: pa.array([], pa.int64()) for name in IDENTITY})
        return rows.select(IDENTITY).filter(pa.array(users.own(rows)))  # in what it merges, Delta writes texts as views

    def _live(self) -> list[str]:
        actions: Any = pa.table(self._table.get_add_actions(flatten=True))
        return list(actions["path"].to_pylist())

    def _removed(self, *, dry_run: bool) -> list[str]:
        """Files that have left the table, there still or not. The log names them: so none of them is being written."""
        return self._table.vacuum(0, dry_run=dry_run, enforce_retention_duration=False)


def _predicates(found: Rows) -> Iterator[str]:
    for (day, partition, revision), offsets in found.items():
        ordered = sorted(offsets)
        for first in range(0, len(ordered), NAMED):
            names = ", ".join(map(str, ordered[first : first + NAMED]))
            yield f"{DAY} = '{day}' AND partition = {partition} AND revision = {revision} AND \"offset\" IN ({names})"
