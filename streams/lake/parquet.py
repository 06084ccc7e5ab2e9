"""A table of plain Parquet files, of which a numbered manifest says which count.

A commit is a row of steps, each of which may be the last thing this process ever does:

1. look whether a newer sink has claimed the table: then stop
2. note which files are about to be written (an intent)
3. write them, each under a name of its own; nothing names them yet
4. write the manifest that names them, in one atomic step: *now the rows are there*
5. repeat it as ``_latest.json``; delete the intent, old manifests, and files that left the table long enough ago

After a death in 1 to 3 the table is as it was, and the next sink deletes what the intent lists; after 4 it goes on from
the new marks. Files never change. What replaces some of their rows, or merges them, are new files in a new manifest.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.errors import DecisionError, UnreachableError, UsageError
from streams.lake.layout import IDENTITY, Hour, by_hour, integers
from streams.lake.manifest import LAYOUT, LakeFile, Manifest, ManifestFolder, Retired
from streams.lake.port import About, Flush, Held, LakeTable
from streams.lake.rivals import losers
from streams.store import Part, Store, open_store

log = logging.getLogger(__name__)

SUFFIX = ".parquet"
TARGET_BYTES = 128 << 20
"""Compaction makes files of about this size, and leaves alone those of half of it."""
RETIRED_MS = 3_600_000
"""A file stays so long after it left the table: for readers that had listed it."""

Clock = Callable[[], float]


class ParquetTable(LakeTable):
    """The table in the folder ``url``. ``clock`` gives seconds since 1970: of files' age, never of rows."""

    def __init__(self, url: str, clock: Clock = time.time, *, store: Store | None = None) -> None:
        self._store = store or open_store(url)
        self._folder = ManifestFolder(self._store, url)
        self._url = url
        self._clock = clock
        self._manifest: Manifest | None = None

    def resume(self, about: About | None) -> Held:
        """See the port. From here on, whoever wrote before stops at its next commit."""
        self._taken_over(self._folder.newest(), about, 0)  # refuses before it takes it from anybody
        epoch = self._folder.claim()
        first = self._taken_over(self._folder.newest(), about, epoch)  # looked at anew, now that it is ours
        self._folder.put(first)  # above all that a sink of an earlier epoch may still say
        self._folder.put_latest(first)
        self._manifest = first
        self._folder.sweep_intents(first)
        return Held(first.topic, first.topic_id, first.kept, first.marks)

    def _taken_over(self, found: Manifest | None, about: About | None, epoch: int) -> Manifest:
        """What ``found`` says, under a new epoch; of a new table what ``about`` does."""
        if found is not None:
            return msgspec.structs.replace(found, epoch=epoch, number=0)
        if about is None:
            raise UsageError(f"{self._url}: there is no table of 'sie sink'")
        return Manifest(LAYOUT, epoch, 0, about.topic, about.topic_id, about.rows, _columns(about.schema), {})

    def commit(self, flush: Flush) -> None:
        """See the port; the steps are those of the module."""
        self._check_ours()
        gone, rows = self._resolved(flush.table) if flush.doubtful else ([], flush.table)
        columns = self._ours.columns | _columns(flush.table.schema)
        self._write(rows, gone, {"columns": columns, "marks": self._ours.marks | dict(flush.marks)})

    def compact(self, quiet_before_ms: int) -> int:
        """See the port."""
        self._check_ours()
        merged = 0
        for files in self._hours().values():
            small = [file for file in files if file.bytes < TARGET_BYTES // 2]
            if max(file.written_ms for file in files) < quiet_before_ms:
                for lot in _lots(small):
                    self._write(_sorted([self._read(file) for file in lot]), lot, {})
                    merged += len(lot)
        return merged

    def _hours(self) -> dict[Hour, list[LakeFile]]:
        hours: defaultdict[Hour, list[LakeFile]] = defaultdict(list)
        for file in self._ours.files:
            hours[Hour.of_path(file.path)].append(file)
        return dict(hours)

    @property
    def _ours(self) -> Manifest:
        if self._manifest is None:
            raise ValueError("the table was not taken over")
        return self._manifest

    def _check_ours(self) -> None:
        if (newest := self._folder.newest_epoch()) > self._ours.epoch:
            raise DecisionError(
                f"{self._url}: another sink has taken this table over (epoch {newest}, this is {self._ours.epoch}):"
                " what that one commits counts, and nothing is lost. A table has one sink: stop the other, or leave"
                " this be"
            )

    def _write(self, rows: pa.Table, gone: Sequence[LakeFile], changes: Mapping[str, Any]) -> None:
        """Steps 2 to 5: ``rows``, in new files, for the files ``gone``; and what else ``changes`` in the manifest."""
        ours, now_ms = self._ours, int(self._clock() * 1000)
        stem = f"{ours.epoch:010d}-{ours.number + 1:010d}"
        hours = [(f"{hour.folder}/{stem}{SUFFIX}", part) for hour, part in by_hour(rows)]
        intent = self._folder.intend(ours.epoch, ours.number + 1, [path for path, _ in hours]) if hours else None
        new = [self._put(path, part, now_ms) for path, part in hours]
        due = [each for each in ours.retired if each.at_ms < now_ms - RETIRED_MS]
        manifest = msgspec.structs.replace(
            ours,
            number=ours.number + 1,
            files=(*(file for file in ours.files if file not in gone), *new),
            retired=(
                *(each for each in ours.retired if each not in due),
                *(Retired(file.path, now_ms) for file in gone),
            ),
            **changes,
        )
        self._folder.put(manifest)
        self._manifest = manifest
        self._tidy(manifest, intent, due)

    def _tidy(self, manifest: Manifest, intent: str | None, due: Sequence[Retired]) -> None:
        """The commit stands: what cannot be tidied up now goes with a later one, or at the next start."""
        try:
            if self._folder.newest_epoch() > manifest.epoch:  # nothing here is ours any more
                return
            self._folder.put_latest(manifest)
            if intent:
                self._store.delete(intent)
            for each in due:
                self._store.delete(each.path)
            self._folder.forget_before(manifest)
        except UnreachableError as error:
            log.warning("%s: what readers no longer need stays for now: %s", self._url, error)

    def _put(self, path: str, rows: pa.Table, now_ms: int) -> LakeFile:
        file = pa.BufferOutputStream()
        pq.write_table(rows, file, compression="zstd")
        data = memoryview(file.getvalue()).cast("B")  # of signed bytes otherwise, which a bucket's client does not take
        self._store.put(path, [Part.of(data)])
        offsets = integers(rows, "offset")
        return LakeFile(path, len(rows), data.nbytes, now_ms, (int(offsets.min()), int(offsets.max())))

    def _read(self, file: LakeFile, columns: list[str] | None = None) -> pa.Table:
        return pq.read_table(pa.BufferReader(self._store.read(file.path)), columns=columns)

    def _resolved(self, new: pa.Table) -> tuple[list[LakeFile], pa.Table]:
        """The files of which ``new`` replaces rows, and the rows to write in their place: what stays of both."""
        offsets = integers(new, "offset")
        hours = {hour for hour, _ in by_hour(new)}
        gone, parts = [], []
        for file in self._ours.files:
            if (
                Hour.of_path(file.path) not in hours
                or file.offsets[0] > offsets.max()
                or file.offsets[1] < offsets.min()
            ):
                continue
            lost = losers(self._read(file, [*IDENTITY, "generation"]), new)
            new, offsets = new.filter(pa.array(~lost.new)), offsets[~lost.new]
            if lost.there.any():
                gone.append(file)
                parts.append(self._read(file).filter(pa.array(~lost.there)))
            if not len(new):
                break
        return gone, _sorted([new, *parts])


def _sorted(parts: Sequence[pa.Table]) -> pa.Table:
    """One table, in order of identity; columns that only some parts have are null elsewhere."""
    table = pa.concat_tables(parts, promote_options="default")
    return table.sort_by([(name, "ascending") for name in IDENTITY]) if len(parts) > 1 else table


def _lots(files: Sequence[LakeFile]) -> Iterator[list[LakeFile]]:
    """``files`` in lots of about ``TARGET_BYTES``; what is alone stays alone."""
    lot: list[LakeFile] = []
    for file in sorted(files, key=lambda each: each.offsets):
        lot.append(file)
        if sum(each.bytes for each in lot) >= TARGET_BYTES:
            yield lot
            lot = []
    if len(lot) > 1:
        yield lot


def _columns(schema: pa.Schema) -> dict[str, str]:
    return {field.name: str(field.type) for field in schema}
