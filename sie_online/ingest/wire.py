"""Records as they lie on the wire before Kafka has given them an offset: what sources and the simulator produce."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, repeat
from typing import NamedTuple, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import ERASE, HEARTBEAT
from sie_online.settings import Settings

MATURITY_MARGIN_MS = 1_000


class WireRecord(NamedTuple):
    """Key and value of one record of ``sie.events``; ``partition`` None: placed by the key (see ``partitioner``)."""

    key: bytes | None
    value: bytes | None
    partition: int | None = None


class Records(Sequence[WireRecord]):
    """Records without a partition, as columns of keys and values: hundreds of thousands of small objects that wait for
    their turn cost more time, in garbage collection, than making them when they are asked for."""

    __slots__ = ("keys", "values")

    def __init__(self, keys: list[bytes | None], values: list[bytes]) -> None:
        self.keys, self.values = keys, values

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, at: int) -> WireRecord: ...

    @overload
    def __getitem__(self, at: slice) -> Records: ...

    def __getitem__(self, at: int | slice) -> WireRecord | Records:
        if isinstance(at, slice):
            return Records(self.keys[at], self.values[at])
        return WireRecord(self.keys[at], self.values[at])

    def __iter__(self) -> Iterator[WireRecord]:
        return map(_record, zip(self.keys, self.values, repeat(None)))

    def take(self, rows: Iterable[int]) -> Records:
        """Those of ``rows``."""
        rows = list(rows)
        return Records([self.keys[row] for row in rows], [self.values[row] for row in rows])

    @classmethod
    def concat(cls, parts: Sequence[Records]) -> Records:
        """All of them, one after the other."""
        keys = chain.from_iterable(part.keys for part in parts)
        return cls(list(keys), list(chain.from_iterable(part.values for part in parts)))


_record = partial(tuple.__new__, WireRecord)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the n records of a chunk come from.

    Attributes:
        file: as its reader calls it; (n,) where they are of several.
        lines: (n,) the line, counted from 1, at which each record begins; in Parquet the row of the file, from 1.
        row_groups: (n,) in Parquet, from 0, elsewhere -1; None: nowhere.
        faults: what the reader could not make sense of, by number of the record in the chunk: without the payload.
    """

    file: str | Sequence[str]
    lines: NDArray[np.int64]
    row_groups: NDArray[np.int64] | None = None
    faults: Mapping[int, str] = field(default_factory=dict)

    def place(self, record: int) -> str:
        """File and place of a record, for people."""
        file, line, group = self.file_of(record), self.lines[record], self.row_group_of(record)
        return f"{file}, line {line}" if group is None else f"{file}, row {line} (row group {group})"

    def file_of(self, record: int) -> str:
        """The file of a record."""
        return self.file if isinstance(self.file, str) else self.file[record]

    def row_group_of(self, record: int) -> int | None:
        """The row group of a record; None where there is no such thing."""
        group = -1 if self.row_groups is None else int(self.row_groups[record])
        return None if group < 0 else group


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive records of a source, small enough to hold in memory.

    ``progress`` in [0, 1] is the share of the source that ends with this chunk. Records of a file have an ``origin``;
    ``skipped`` rows of it stand between them that were to be left out.
    """

    records: Sequence[WireRecord]
    progress: float
    origin: Origin | None = None
    skipped: int = 0

    def __len__(self) -> int:
        return len(self.records)


def first(chunk: Chunk, n: int) -> Chunk:
    """The first n records of a chunk."""
    origin = chunk.origin
    if origin is not None:
        groups = None if origin.row_groups is None else origin.row_groups[:n]
        faults = {at: fault for at, fault in origin.faults.items() if at < n}
        file = origin.file if isinstance(origin.file, str) else origin.file[:n]
        origin = Origin(file, origin.lines[:n], groups, faults)
    return replace(chunk, records=chunk.records[:n], origin=origin)


def joined(chunks: Sequence[Chunk]) -> Chunk:
    """Consecutive chunks of one file (or of none) as one."""
    if len(chunks) == 1:
        return chunks[0]
    columns = [chunk.records for chunk in chunks if isinstance(chunk.records, Records)]
    records: Sequence[WireRecord]
    if len(columns) == len(chunks):
        records = Records.concat(columns)
    else:
        records = list(chain.from_iterable(chunk.records for chunk in chunks))
    begins = np.cumsum([0, *map(len, chunks)]).tolist()
    origins = [chunk.origin for chunk in chunks if chunk.origin is not None]
    origin = None
    if len(origins) == len(chunks):
        groups = [origin.row_groups for origin in origins if origin.row_groups is not None]
        origin = Origin(
            origins[0].file,
            np.concatenate([origin.lines for origin in origins]),
            np.concatenate(groups) if groups else None,
            {
                begin + at: fault
                for begin, one in zip(begins, origins, strict=False)
                for at, fault in one.faults.items()
            },
        )
    return Chunk(records, chunks[-1].progress, origin, sum(chunk.skipped for chunk in chunks))


def heartbeat(timestamp_ms: int, partition: int) -> WireRecord:
    """The record that moves the clock of ``partition`` to ``timestamp_ms`` (event time, ms)."""
    value = msgspec.json.encode({"event_type": HEARTBEAT, "timestamp_ms": timestamp_ms})
    return WireRecord(None, value, partition)


def erasure(published_id: str, partition: int) -> WireRecord:
    """The record that makes ``partition`` forget the user whose id is published as ``published_id``.

    Without a key: the user's events say where it belongs, and the id need not be written twice.
    """
    return WireRecord(None, msgspec.json.encode({"event_type": ERASE, "user_id": published_id}), partition)


def maturing_ms(settings: Settings) -> int:
    """How long after an event its window has ended beyond doubt."""
    return settings.labels.settles_after_ms + MATURITY_MARGIN_MS


def maturity_ms(settings: Settings, last_event_ms: int) -> int:
    """Event time at which every sample up to ``last_event_ms`` has its final label."""
    return last_event_ms + maturing_ms(settings)


def final_heartbeats(settings: Settings, last_event_ms: int, partitions: int) -> list[WireRecord]:
    """What ends a log that is read to its end: one heartbeat per partition, so that all windows mature.

    ``last_event_ms`` is what the log's clock says at the end (`sie_online.shard.clock`); 0, no time, ends nothing.
    """
    if last_event_ms == 0:
        return []
    return [heartbeat(maturity_ms(settings, last_event_ms), partition) for partition in range(partitions)]
