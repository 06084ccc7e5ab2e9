"""A table of plain Parquet files, of which a numbered manifest says which count.

A commit is a row of steps, each of which may be the last thing this process ever does:

1. look whether somebody else has claimed the table (`streams.lake.tenure`): a sink, stop; a visitor: take it back
2. delete files that left the table long enough ago; note which files are about to be written (an intent)
3. write them, each under a name of its own; nothing names them yet
4. write the manifest that names them, in one atomic step: *now the rows are there*
5. look again; if nobody has claimed it, repeat the manifest as ``_latest.json``; delete the intent and old manifests

After a death in 1 to 3 the table is as it was, and the next sink deletes what the intent lists; after 4 it goes on from
the new marks. Files never change. What replaces some of their rows, or merges them, are new files in a new manifest.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from sie_online.errors import DecisionError, UnreachableError
from streams.lake.files import SUFFIX, TARGET_BYTES, DataFiles, epoch_of, lots, together
from streams.lake.layout import Hour, by_hour
from streams.lake.manifest import SINK, VISITOR, LakeFile, Manifest, ManifestFolder, Retired
from streams.lake.marks import Mark
from streams.lake.port import About, Flush, Held, LakeTable
from streams.lake.tenure import Tenure, columns
from streams.lake.users import Found, Users
from streams.store import Store, open_store

log = logging.getLogger(__name__)

RETIRED_MS = 3_600_000
"""A file stays so long after it left the table: for readers that had listed it."""
TRIES = 8
"""Steps in a row that others may come between."""

Clock = Callable[[], float]
T = TypeVar("T")


class ParquetTable(LakeTable):
    """The table in the folder ``url``. ``clock`` gives seconds since 1970: of files' age, never of rows."""

    def __init__(self, url: str, clock: Clock = time.time, *, store: Store | None = None) -> None:
        self._store = store or open_store(url)
        self._folder = ManifestFolder(self._store, url)
        self._files = DataFiles(self._store)
        self._tenure = Tenure(self._folder)
        self._url = url
        self._clock = clock
        self._marks: Mapping[int, Mark] = {}

    def resume(self, about: About) -> Held:
        """See the port. From here on, whatever sink wrote before stops at its next commit."""
        held = _held(self._tenure.take(about, SINK))
        self._marks = held.marks
        return held

    def look(self) -> Held:
        """See the port."""
        return _held(self._tenure.look())

    def visit(self) -> None:
        """See the port."""
        self._tenure.take(None, VISITOR)

    def commit(self, flush: Flush) -> None:
        """See the port; the steps are those of the module. What a visitor came between is done again."""
        after = dict(self._marks) | dict(flush.marks)
        self._until_done(partial(self._commit, flush, after))
        self._marks = after

    def _commit(self, flush: Flush, after: dict[int, Mark]) -> bool | None:
        if self._ours.marks == after:  # it was in force before a visitor came, though we could not know
            return True
        self._check_marks()
        gone, rows = self._files.resolved(self._ours.files, flush.table) if flush.doubtful else ([], flush.table)
        changes = {"columns": self._ours.columns | columns(flush.table.schema), "marks": after}
        return self._write(by_hour(rows), gone, changes) or None

    def compact(self, quiet_before_ms: int) -> int:
        """See the port. What somebody else came between is left for the next time."""
        self._tenure.keep()
        merged = 0
        for lot in list(self._lots(quiet_before_ms)):
            merged += len(lot) if self._try(partial(self._merge, lot)) else 0
        self._tenure.keep()  # or what a lot that was come between has written would stay
        return merged

    def _merge(self, lot: Sequence[LakeFile]) -> bool:
        if not set(lot) <= set(self._ours.files):
            return False
        return self._write(by_hour(together([self._files.read(file.path) for file in lot])), lot, {})

    def find(self, users: Users) -> Found:
        """See the port."""
        found, named = Found(), {file.path for file in self._tenure.look().files}
        for path in self._files.paths():
            with suppress(FileNotFoundError):  # it was being written, or has just been deleted
                n = int(users.own(self._files.read(path, [users.column])).sum())
                found = Found(found.rows + (n if path in named else 0), found.files + (n > 0))
        return found

    def forget(self, users: Users) -> Found:
        """See the port. A lot of files at a time, by the steps of a commit; then what is no longer the table's goes."""
        clean: set[str] = set()
        rows, files = 0, self._until_done(self._drop_retired)
        while n := self._until_done(partial(self._forget_lot, users, clean)):
            rows += n
        return Found(rows, files + self._until_done(self._drop_retired) + self._until_done(self._sweep))

    def _forget_lot(self, users: Users, clean: set[str]) -> int | None:
        """Write the next files that hold rows of ``users`` anew, without those; how many rows went, 0 at the end."""
        rows, lot, parts = 0, [], []
        for file in self._ours.files:
            if file.path in clean:
                continue
            there = self._files.read(file.path)
            own = users.own(there)
            if not own.any():  # nor ever will it: files do not change
                clean.add(file.path)
                continue
            rows += int(own.sum())
            lot.append(file)
            parts.append(there.filter(pa.array(~own)))
            if sum(each.bytes for each in lot) >= TARGET_BYTES // 2:
                break
        if not self._tenure.stands():
            return None
        return rows if not lot or self._write(by_hour(together(parts)), lot, {}, stay_ms=0) else None

    def _drop_retired(self) -> int | None:
        """Delete files that have left the table, whoever may still be reading them; how many."""
        n = len(self._ours.retired)
        if n and not self._write((), (), {}, stay_ms=0):
            return None
        if self._ours.retired:
            raise UnreachableError(f"{self._url}: files that left the table cannot be deleted")
        return n

    def _sweep(self) -> int:
        """Delete files that nobody has ever named, or will: of former epochs, and of no manifest; how many."""
        known = {file.path for file in self._ours.files}
        litter = [path for path in self._files.paths() if path not in known and self._is_older(path)]
        for path in litter:
            self._files.delete(path)
        return len(litter)

    def _is_older(self, path: str) -> bool:
        epoch = epoch_of(path)
        return epoch is not None and epoch < self._ours.epoch

    def _until_done(self, step: Callable[[], T | None]) -> T:
        """What ``step`` gives once it is in force: what others come between (None) is done again, on what is then."""
        for _ in range(TRIES):
            if (found := self._try(step)) is not None:
                return found
        raise UnreachableError(f"{self._url}: others came between {TRIES} times in a row")

    def _try(self, step: Callable[[], T | None]) -> T | None:
        """``step``, with the table in our hands; None where somebody has deleted what it was to read."""
        self._tenure.keep()
        try:
            return step()
        except FileNotFoundError as error:
            if self._tenure.stands():
                raise DecisionError(f"{self._url}: a file that the manifest names is missing: {error}") from None
            return None

    def _lots(self, quiet_before_ms: int) -> Iterator[list[LakeFile]]:
        hours: defaultdict[Hour, list[LakeFile]] = defaultdict(list)
        for file in self._ours.files:
            hours[Hour.of_path(file.path)].append(file)
        for files in hours.values():
            if max(file.written_ms for file in files) < quiet_before_ms:
                yield from lots(files)

    @property
    def _ours(self) -> Manifest:
        return self._tenure.manifest

    def _check_marks(self) -> None:
        """Between two commits of one sink nobody moves the marks: not a visitor, and another sink is found out."""
        if self._ours.marks != self._marks:
            raise DecisionError(
                f"{self._url}: another sink has written to this table, and is gone: nothing was written twice. A table"
                " has one sink; start this one again"
            )

    def _write(
        self,
        hours: Iterable[tuple[Hour, pa.Table]],
        gone: Sequence[LakeFile],
        changes: Mapping[str, Any],
        stay_ms: int = RETIRED_MS,
    ) -> bool:
        """Steps 2 to 5: new files of ``hours`` for the files ``gone``; and what else ``changes`` in the manifest.

        Files that have left the table stay for ``stay_ms``. Returns whether the manifest is in force.
        """
        ours, now_ms = self._ours, int(self._clock() * 1000)
        kept = self._without_due(ours.retired, now_ms - stay_ms)
        stem = f"{ours.epoch:010d}-{ours.number + 1:010d}"
        parts = {f"{hour.folder}/{stem}{SUFFIX}": part for hour, part in hours}
        intent = self._folder.intend(ours.epoch, ours.number + 1, [*parts]) if parts else None
        new = [self._files.write(path, part, now_ms) for path, part in parts.items()]
        retired = [Retired(file.path, now_ms - RETIRED_MS + stay_ms) for file in gone]
        manifest = msgspec.structs.replace(
            ours,
            number=ours.number + 1,
            files=(*(file for file in ours.files if file not in gone), *new),
            retired=(*kept, *retired),
            **changes,
        )
        if not self._tenure.put(manifest, [*parts]):
            return False
        self._tidy(manifest, intent)
        return True

    def _without_due(self, retired: Sequence[Retired], before_ms: int) -> list[Retired]:
        """``retired``, but for files that left so long ago: those are deleted now. Named until they are gone for sure,
        they are not forgotten by a death."""
        kept = []
        for each in retired:
            try:
                if each.at_ms <= before_ms:
                    self._files.delete(each.path)
                    continue
            except UnreachableError as error:
                log.warning("%s: what readers no longer need stays for now: %s", self._url, error)
            kept.append(each)
        return kept

    def _tidy(self, manifest: Manifest, intent: str | None) -> None:
        """The commit stands: what cannot be tidied up now goes with a later one, or at the next start."""
        try:
            self._folder.put_latest(manifest)
            if intent:
                self._store.delete(intent)
            self._folder.forget_before(manifest)
        except UnreachableError as error:
            log.warning("%s: what readers no longer need stays for now: %s", self._url, error)


def _held(manifest: Manifest) -> Held:
    return Held(manifest.topic, manifest.topic_id, manifest.kept, manifest.marks)
