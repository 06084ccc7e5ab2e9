"""The data files of a Parquet table: each holds rows of one hour, in its folder; its name says of which epoch it is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from streams.lake.layout import DAY, IDENTITY, Hour, by_hour, integers
from streams.lake.manifest import LakeFile
from streams.lake.rivals import losers
from streams.store import TEMPORARY, Part, Store

SUFFIX = ".parquet"
NAME = re.compile(r"/(\d{10})-\d{10}\.parquet$")
TARGET_BYTES = 128 << 20
"""Merging makes files of about this size, and leaves alone those of half of it."""


class DataFiles:
    """Of the table in ``store``; knows of no manifest, and reads those of a Delta table as well."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def write(self, path: str, rows: pa.Table, now_ms: int) -> LakeFile:
        """A new file of ``rows``, which are of one hour."""
        file = pa.BufferOutputStream()
        pq.write_table(rows, file, compression="zstd")
        data = memoryview(file.getvalue()).cast("B")  # of signed bytes otherwise, which a bucket's client does not take
        self._store.put(path, [Part.of(data)])
        offsets = integers(rows, "offset")
        return LakeFile(path, len(rows), data.nbytes, now_ms, (int(offsets.min()), int(offsets.max())))

    def read(self, path: str, columns: list[str] | None = None) -> pa.Table:
        """Its rows. Raises ``FileNotFoundError``."""
        return pq.read_table(pa.BufferReader(self._store.read(path)), columns=columns)

    def delete(self, path: str) -> None:
        """Delete it, and what was to become it."""
        self._store.delete(path)
        self._store.delete(path + TEMPORARY)

    def paths(self) -> Iterator[str]:
        """Every file in the folders of hours, of the table or not; one that was being written by the name it was to
        get."""
        for day in self._store.list(""):
            for hour in self._store.list(day) if day.startswith(f"{DAY}=") else ():
                names = {name.removesuffix(TEMPORARY) for name in self._store.list(f"{day}/{hour}")}
                yield from (f"{day}/{hour}/{name}" for name in names if name.endswith(SUFFIX))

    def resolved(self, files: Sequence[LakeFile], new: pa.Table) -> tuple[list[LakeFile], pa.Table]:
        """Those of ``files`` of which ``new`` replaces rows, and the rows to write in their place: what stays of both.

        Raises:
            FileNotFoundError: one of them has gone.
        """
        offsets = integers(new, "offset")
        hours = {hour for hour, _ in by_hour(new)}
        gone, parts = [], []
        for file in files:
            if (
                Hour.of_path(file.path) not in hours
                or file.offsets[0] > offsets.max()
                or file.offsets[1] < offsets.min()
            ):
                continue
            lost = losers(self.read(file.path, [*IDENTITY, "generation"]), new)
            new, offsets = new.filter(pa.array(~lost.new)), offsets[~lost.new]
            if lost.there.any():
                gone.append(file)
                parts.append(self.read(file.path).filter(pa.array(~lost.there)))
            if not len(new):
                break
        return gone, together([new, *parts])


def epoch_of(path: str) -> int | None:
    """Of whoever wrote the file at ``path``; None where it is none of ours."""
    found = NAME.search(path)
    return int(found[1]) if found else None


def together(parts: Sequence[pa.Table]) -> pa.Table:
    """One table, in order of identity; columns that only some parts have are null elsewhere."""
    table = pa.concat_tables(parts, promote_options="default")
    return table.sort_by([(name, "ascending") for name in IDENTITY]) if len(parts) > 1 else table


def lots(files: Sequence[LakeFile]) -> Iterator[list[LakeFile]]:
    """The small ones of ``files`` in lots of about ``TARGET_BYTES``; what is alone stays alone."""
    lot: list[LakeFile] = []
    for file in sorted(files, key=lambda each: each.offsets):
        if file.bytes >= TARGET_BYTES // 2:
            continue
        lot.append(file)
        if sum(each.bytes for each in lot) >= TARGET_BYTES:
            yield lot
            lot = []
    if len(lot) > 1:
        yield lot
