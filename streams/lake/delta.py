"""A Delta table, of which each commit names how far it has come: exactly once, by application transactions.

A commit writes its data files, and then one entry of the table's log, which names them and the marks together. A death
before that leaves files that nobody names, which vacuum removes; after it, the next sink goes on from the new marks.
A mark is a transaction of its own for every number: the application id is ``<topic>/<partition>``, and its version the
next offset; ``<topic>/<partition>/<field>`` are the others (`streams.lake.marks`).

Two sinks on one table: the second to commit finds that a version is not the one it knows. Delta itself refuses the
commit where both are at it at the same time, for the application ids are the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from sie_online.errors import DecisionError, UnreachableError, UsageError
from streams import extras
from streams.lake.delta_errors import ConflictError, if_nobody_else_does, reaching
from streams.lake.delta_users import DeltaUsers
from streams.lake.layout import DAY, HOUR, IDENTITY, PARTITIONED_BY, Hour, by_hour, integers
from streams.lake.marks import NOTHING, Mark
from streams.lake.port import About, Flush, Held, LakeTable
from streams.lake.users import Found, Users
from streams.store.bucket import CONNECT_S, REQUEST_S, RETRIED_S

if TYPE_CHECKING:
    from deltalake import CommitProperties, DeltaTable, WriterProperties

log = logging.getLogger(__name__)

TOPIC, TOPIC_ID, ROWS = "sie.topic", "sie.topicId", "sie.rows"
"""Properties of the table."""
STATISTICS = "delta.dataSkippingStatsColumns"
MEASURED = ("partition", "offset", "revision", "generation", "event_time_ms", "published_ms", "settled_ms", "weight")
"""Columns of which the log tells each file's lowest and highest value. Not of ids and hashes: nobody skips a file by
them, and the log would name users for a month after they are forgotten."""
PARTITIONS = "partitions"
"""The application id ``<topic>/partitions``: the highest partition with a mark, and one more."""

TARGET_BYTES = 128 << 20
"""Compaction makes files of about this size, and leaves alone those of half of it."""
TRIES = 3
"""Commits that others than sinks (an OPTIMIZE, a DELETE) may get in the way of, until one goes through."""
VACUUM_EVERY_S = 86_400.0
BUCKET_OPTIONS = {
    "timeout": f"{REQUEST_S:g}s",
    "connect_timeout": f"{CONNECT_S:g}s",
    "retry_timeout": f"{RETRIED_S:g}s",
}
"""A bucket is waited for as long as one of checkpoints is."""


class DeltaLakeTable(LakeTable):
    """The table at ``url``; credentials of a bucket are the environment's.

    Raises:
        UsageError: the extra ``lake`` is missing; the message has the line that installs it.
    """

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        extras.require("a Delta table", ("deltalake",), "worker", "lake")
        self._url = url
        self._clock = clock
        self._options = {} if url.startswith("file:") else BUCKET_OPTIONS
        self._topic = ""
        self._marks: dict[int, Mark] = {}
        self._table: DeltaTable | None = None
        self._vacuumed = clock()

    def resume(self, about: About) -> Held:
        """See the port."""
        return self._taken(about)

    def look(self) -> Held:
        """See the port."""
        return self._taken(None)

    def visit(self) -> None:
        """See the port. Whoever commits to a Delta table does so beside others."""
        self._taken(None)

    def _taken(self, about: About | None) -> Held:
        with reaching(self._url):
            table = self._opened(about)
            properties = table.metadata().configuration
        if TOPIC not in properties:
            raise UsageError(f"{self._url} is a Delta table that 'sie sink' has not made: name another place")
        self._table, self._topic = table, properties[TOPIC]
        self._marks = self._committed(table)
        return Held(self._topic, properties[TOPIC_ID], properties[ROWS], self._marks)

    def commit(self, flush: Flush) -> None:
        """See the port. A commit that is there already, because its answer got lost, is not made again."""
        for _ in range(TRIES):
            try:
                if not self._is_committed(flush):
                    with reaching(self._url):
                        (self._merge if flush.doubtful else self._append)(flush)
            except ConflictError as error:
                log.warning("%s: another commit came first, looking again: %s", self._url, error)
                continue
            self._marks |= flush.marks
            return
        raise UnreachableError(f"{self._url}: {TRIES} commits in a row were refused for the sake of others")

    def compact(self, quiet_before_ms: int) -> int:
        """See the port. What another commit gets in the way of is left for the next time."""
        merged = 0
        try:
            with reaching(self._url):
                self._ours.update_incremental()
                for hour in _small(self._ours, quiet_before_ms):
                    found = self._ours.optimize.compact(_filters(hour), target_size=TARGET_BYTES)
                    merged += int(found["numFilesRemoved"])
                if self._clock() - self._vacuumed > VACUUM_EVERY_S:
                    self._vacuumed = self._clock()
                    self._ours.vacuum(dry_run=False, full=True)  # what left the table a week ago, or never was in it
        except ConflictError as error:
            log.warning("%s: compaction waits, another commit came first: %s", self._url, error)
        return merged

    def find(self, users: Users) -> Found:
        """See the port."""
        self.look()
        return DeltaUsers(self._ours, self._url).find(users)

    def forget(self, users: Users) -> Found:
        """See the port. Time travel ends with it."""
        return DeltaUsers(self._ours, self._url).forget(users)

    @property
    def _ours(self) -> DeltaTable:
        if self._table is None:
            raise ValueError("the table was not taken over")
        return self._table

    def _opened(self, about: About | None) -> DeltaTable:
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            return DeltaTable(self._url, storage_options=self._options)
        except TableNotFoundError:
            if about is None:
                raise UsageError(f"{self._url}: there is no table of 'sie sink'") from None
        with if_nobody_else_does():
            DeltaTable.create(
                self._url,
                about.schema,
                partition_by=list(PARTITIONED_BY),
                description=f"{about.topic}, as 'sie sink' writes it",
                configuration={
                    TOPIC: about.topic,
                    TOPIC_ID: about.topic_id,
                    ROWS: about.rows,
                    STATISTICS: ",".join(name for name in MEASURED if name in about.schema.names),
                },
                storage_options=self._options,
                raise_if_key_not_exists=False,
            )
        return DeltaTable(self._url, storage_options=self._options)

    def _committed(self, table: DeltaTable) -> dict[int, Mark]:
        partitions = table.transaction_version(f"{self._topic}/{PARTITIONS}") or 0
        marks = {number: self._mark(table, number) for number in range(partitions)}
        return {number: mark for number, mark in marks.items() if mark is not None}

    def _mark(self, table: DeltaTable, partition: int) -> Mark | None:
        found = [table.transaction_version(name) for name in _names(self._topic, partition)]
        return None if found[0] is None else Mark(*(NOTHING if each is None else each for each in found))

    def _is_committed(self, flush: Flush) -> bool:
        """Whether the table is at the end of ``flush`` already; else it must be where this sink left it."""
        with reaching(self._url):
            self._ours.update_incremental()
            found = {number: self._ours.transaction_version(f"{self._topic}/{number}") for number in flush.marks}
        if found == {number: mark.next_offset for number, mark in flush.marks.items()}:
            return True
        for number, offset in found.items():
            known = self._marks[number].next_offset if number in self._marks else None
            if offset != known:
                raise DecisionError(
                    f"{self._url}: another sink has written to this table: it has come to offset {offset} of"
                    f" {self._topic}[{number}], and this sink knows of {known}. Nothing was written twice. A table has"
                    " one sink: stop the other, or leave this be"
                )
        return False

    def _append(self, flush: Flush) -> None:
        from deltalake import write_deltalake

        write_deltalake(
            self._ours,
            flush.table,
            mode="append",
            schema_mode="merge",
            writer_properties=_compressed(),
            commit_properties=self._properties(flush),
        )

    def _merge(self, flush: Flush) -> None:
        """Put rows where their identity is not there yet, or only under a lower generation."""
        merger = self._ours.merge(
            self._completed(flush.table),
            predicate=_same_identity(flush.table),
            source_alias="new",
            target_alias="there",
            merge_schema=True,
            writer_properties=_compressed(),
            commit_properties=self._properties(flush),
        )
        merger.when_matched_update_all("new.generation > there.generation").when_not_matched_insert_all().execute()

    def _completed(self, rows: pa.Table) -> pa.Table:
        """``rows`` with every column of the table: what they lack is null, and not what the rows they replace had."""
        for field in pa.schema(self._ours.schema().to_arrow()):
            if field.name not in rows.schema.names:
                rows = rows.append_column(field.name, pa.nulls(len(rows), field.type))
        return rows

    def _properties(self, flush: Flush) -> CommitProperties:
        from deltalake import CommitProperties, Transaction

        partitions = max(self._marks | dict(flush.marks), default=-1) + 1
        versions = [(f"{self._topic}/{PARTITIONS}", partitions)]
        for number, mark in flush.marks.items():
            versions += zip(_names(self._topic, number), mark, strict=True)
        return CommitProperties(app_transactions=[Transaction(name, version) for name, version in versions])


def _names(topic: str, partition: int) -> list[str]:
    """The application ids of a mark's numbers, in their order."""
    return [f"{topic}/{partition}", *(f"{topic}/{partition}/{field}" for field in Mark._fields[1:])]


def _same_identity(new: pa.Table) -> str:
    """Which rows of the table are compared with ``new``: those of its hours, within its offsets."""
    hours = [hour.place for hour, _ in by_hour(new)]
    within = " OR ".join(f"(there.{DAY} = '{day}' AND there.{HOUR} = {hour})" for day, hour in hours) or "false"
    offsets = integers(new, "offset")
    bounds = f"there.offset >= {offsets.min()} AND there.offset <= {offsets.max()}"
    same = " AND ".join(f"there.{name} = new.{name}" for name in (*IDENTITY, *PARTITIONED_BY))
    return f"({within}) AND {bounds} AND {same}"


def _small(table: DeltaTable, quiet_before_ms: int) -> list[Hour]:
    """Hours with several small files, and none that is newer than that."""
    files = pa.table(table.get_add_actions(flatten=True))
    small = pc.less(files["size_bytes"], TARGET_BYTES // 2).cast(pa.int32())
    places = [f"partition.{name}" for name in PARTITIONED_BY]
    by_place = files.append_column("small", small).group_by(places)
    found = by_place.aggregate([("modification_time", "max"), ("small", "sum")]).to_pylist()
    return [
        Hour.of(*(each[name] for name in places))
        for each in found
        if each["small_sum"] > 1 and each["modification_time_max"] < quiet_before_ms
    ]


def _filters(hour: Hour) -> list[tuple[str, str, str]]:
    return [(name, "=", str(value)) for name, value in zip(PARTITIONED_BY, hour.place, strict=True)]


def _compressed() -> WriterProperties:
    from deltalake import WriterProperties

    return WriterProperties(compression="ZSTD")
