"""Recomputing published weights from the log and the announcements: every one must come out bit for bit.

A shard is a pure function of its partition's records and of the models announced to it. So a table of weights can be
checked by running fresh shards over the log from its beginning; what retention has cut off can no longer be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online.client.reader import Message, Span, TopicReader
from sie_online.contracts import WEIGHTS
from sie_online.errors import DecisionError, MessageError
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Shard
from sie_online.tables import plain_text
from streams.model_registry.loaded import ArtifactOf
from streams.model_registry.recorded import schedule_announced
from streams.model_registry.registry import ModelRegistry

REVISIONS = 1 << 20
"""More than an event can have: offset and revision in one number."""
SHOWN = 5
"""Differences that are kept to be shown."""

Progress = Callable[[int, float], None]


@dataclass
class AuditFinding:
    """What the recomputation says of a table's rows."""

    rows: int = 0
    equal: int = 0
    different: int = 0
    missing: int = 0
    """Rows that the log and the announcements do not give rise to."""
    differences: list[str] = field(default_factory=list)
    """The first few, in words."""
    cut: dict[int, int] = field(default_factory=dict)
    """Partitions whose log no longer begins at 0, with where it begins, and what is therefore not checked."""
    unchecked: int = 0

    @property
    def holds(self) -> bool:
        """Whether every row that could be checked is equal."""
        return not (self.different or self.missing)


class Claims:
    """The rows of one partition of the table that is audited, by identity."""

    def __init__(self, rows: pa.Table) -> None:
        keys = _keys(rows)
        order = np.argsort(keys, kind="stable")
        self.keys = keys[order]
        self._rows = _plain(rows.take(pa.array(order)))
        self._seen = np.zeros(len(keys), np.bool_)

    def compare(self, computed: pa.RecordBatch, finding: AuditFinding) -> None:
        """Hold ``computed`` against the rows of the same identity."""
        table = pa.Table.from_batches([computed])
        keys = _keys(table)
        at = np.searchsorted(self.keys, keys)
        found = np.flatnonzero(self.keys[np.minimum(at, len(self.keys) - 1)] == keys)
        ours, theirs = _plain(table.take(pa.array(found))), self._rows.take(pa.array(at[found]))
        self._seen[at[found]] = True
        differs = np.zeros(len(found), np.bool_)
        for name in ours.schema.names:
            if name in theirs.schema.names:
                unlike = _unlike(ours[name], theirs[name])
                differs |= unlike
                for row in np.flatnonzero(unlike)[: max(0, SHOWN - len(finding.differences))].tolist():
                    finding.differences.append(_difference(name, ours, theirs, row))
        finding.different += int(differs.sum())
        finding.equal += int((~differs).sum())

    @property
    def all_seen(self) -> bool:
        """Whether every row has been computed again."""
        return bool(self._seen.all())

    @property
    def unseen(self) -> int:
        """Rows that have not been computed."""
        return int((~self._seen).sum())


async def audit(
    rows: pa.Table,
    settings: Settings,
    registry: ModelRegistry,
    artifact_of: ArtifactOf,
    on_progress: Progress,
) -> AuditFinding:
    """Recompute ``rows`` (columns of ``sie.weights.v1``) from ``sie.events`` as it stands.

    Raises:
        MessageError: the table lacks a column that identifies rows.
        DecisionError: retention has cut the log of every partition that the table is about.
        UnreachableError: no broker answers. LookupError: an announced model cannot be loaded.
    """
    if missing := {"partition", "offset", "revision"} - set(rows.schema.names):
        raise MessageError(f"the table has no column {', '.join(sorted(missing))}: write it with 'sie tail weights'")
    finding = AuditFinding(rows=len(rows))
    async with TopicReader(settings, settings.topics.events) as reader:
        spans = await reader.spans()
        claims = _by_partition(rows)
        for partition in [p for p in claims if p not in spans or spans[p].first > 0]:
            finding.cut[partition] = spans[partition].first if partition in spans else 0
            finding.unchecked += len(claims.pop(partition).keys)
        if finding.cut and not claims:
            begins = ", ".join(f"{partition} at {first}" for partition, first in sorted(finding.cut.items()))
            raise DecisionError(f"retention has cut the log, nothing can be recomputed: partitions begin {begins}")
        shards = {partition: _shard(settings, partition, registry, artifact_of) for partition in claims}
        await _recompute(reader, spans, shards, claims, finding, on_progress)
    finding.missing = sum(claim.unseen for claim in claims.values())
    return finding


async def _recompute(
    reader: TopicReader,
    spans: Mapping[int, Span],
    shards: Mapping[int, Shard],
    claims: Mapping[int, Claims],
    finding: AuditFinding,
    on_progress: Progress,
) -> None:
    todo = sum(spans[partition].end for partition in shards)
    while not all(claim.all_seen for claim in claims.values()):
        for partition, records in _grouped(await reader.poll(1.0)).items():
            if partition in shards and not claims[partition].all_seen:
                shard = shards[partition]
                for output in shard.process(_batch(reader.topic, shard, records)):
                    claims[partition].compare(output.weights, finding)
        done = sum(shard.next_offset for shard in shards.values())
        on_progress(done, min(1.0, done / max(todo, 1)))
        if reader.reached(spans):
            return


def _shard(settings: Settings, partition: int, registry: ModelRegistry, artifact_of: ArtifactOf) -> Shard:
    shard = Shard(settings, partition)
    schedule_announced(shard, registry, artifact_of)
    return shard


def _grouped(records: Iterable[Message]) -> dict[int, list[Message]]:
    found: dict[int, list[Message]] = {}
    for record in records:
        found.setdefault(record.partition, []).append(record)
    return found


def _batch(topic: str, shard: Shard, records: list[Message]) -> RecordBatch:
    return RecordBatch.of(
        records,
        topic=topic,
        partition=shard.partition,
        epoch=0,
        start=shard.next_offset,
        end=records[-1].offset + 1,
    )


def _by_partition(rows: pa.Table) -> dict[int, Claims]:
    partition = rows["partition"].to_numpy()
    return {int(p): Claims(rows.filter(pa.array(partition == p))) for p in np.unique(partition)}


def _keys(rows: pa.Table) -> NDArray[np.int64]:
    keys: NDArray[np.int64] = rows["offset"].to_numpy() * REVISIONS + rows["revision"].to_numpy()
    return keys


def _plain(rows: pa.Table) -> pa.Table:
    """The columns that an owner does not choose, text without dictionaries."""
    names = [name for name in WEIGHTS.names if name != "generation" and name in rows.schema.names]
    return plain_text(rows.select(names))


def _unlike(ours: pa.ChunkedArray, theirs: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Rows that differ; floats in any bit."""
    a, b = ours.combine_chunks(), theirs.cast(ours.type).combine_chunks()
    missing = np.asarray(a.is_null()) != np.asarray(b.is_null())
    unlike: Any
    if pa.types.is_floating(a.type):
        unlike = a.fill_null(0.0).to_numpy().view(np.uint64) != b.fill_null(0.0).to_numpy().view(np.uint64)
    else:
        unlike = np.asarray(pa.compute.not_equal(a, b).fill_null(False))
    found: NDArray[np.bool_] = missing | unlike
    return found


def _difference(name: str, ours: pa.Table, theirs: pa.Table, row: int) -> str:
    place = "/".join(str(ours[part][row].as_py()) for part in ("partition", "offset", "revision"))
    return f"{place}: {name} is {theirs[name][row].as_py()!r}, recomputed {ours[name][row].as_py()!r}"
