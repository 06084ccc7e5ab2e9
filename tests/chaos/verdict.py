"""Published rows against those of an undisturbed run: the same identities, and every statement of one equal in every
column but the owner's generation, to the bit. Of lists (`lists`) each user's newest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from sie_online.announcements import RegisteredModel
from sie_online.contracts import WEIGHT_KEY
from sie_online.ingest.records import RecordBatch
from sie_online.settings import Settings
from sie_online.shard import Shard, ShardOutput
from streams.model_registry.loaded import ArtifactOf
from tests.chaos.lists import ListRecord, PublishedLists, compare_lists, read_lists

BATCH = 1_000
SHOWN = 5


@dataclass(frozen=True)
class PublishedRows:
    """What a run published: rows of weights and samples, (partition, offset) of the dead letters, and lists."""

    weights: pa.Table
    samples: pa.Table
    dead_letters: list[tuple[int, int]]
    lists: PublishedLists


def undisturbed(
    settings: Settings, log: Iterable[ConsumerRecord], registry: Mapping[str, RegisteredModel], artifact_of: ArtifactOf
) -> PublishedRows:
    """What one shard per partition says of ``log``, read once, in order, without any fault, under ``registry``."""
    outputs: list[ShardOutput] = []
    dead: list[tuple[int, int]] = []
    lists: list[ListRecord] = []
    by_partition: dict[int, list[ConsumerRecord]] = {}
    for record in log:
        by_partition.setdefault(record.partition, []).append(record)
    for partition, records in sorted(by_partition.items()):
        shard = Shard(settings, partition)
        for adoption in (one for registered in registry.values() for one in registered.adoptions(partition)):
            shard.schedule(adoption, artifact_of(adoption, partition))
        for batch in _batches(settings.topics.events, partition, records):
            for output in shard.process(batch):
                outputs.append(output)
                dead += [(partition, letter.offset) for letter in output.dead_letters]
                lists += [(key, value, partition) for key, value in output.gathered.lists]
        shard.close()
    return PublishedRows(
        pa.Table.from_batches([one.weights for one in outputs]),
        pa.Table.from_batches([one.gathered.samples for one in outputs]),
        dead,
        read_lists(lists),
    )


def _batches(topic: str, partition: int, records: list[ConsumerRecord]) -> Iterator[RecordBatch]:
    start = 0
    for first in range(0, len(records), BATCH):
        rows = records[first : first + BATCH]
        end = rows[-1].offset + 1
        yield RecordBatch.of(rows, topic=topic, partition=partition, epoch=0, start=start, end=end)
        start = end


def compare(found: PublishedRows, expected: PublishedRows) -> list[str]:
    """Everything that is wrong with ``found``; nothing if all is well."""
    problems = compare_tables("weights", found.weights, expected.weights)
    problems += compare_tables("samples", found.samples, expected.samples)
    if set(found.dead_letters) != set(expected.dead_letters):
        differing = sorted(set(found.dead_letters) ^ set(expected.dead_letters))
        problems.append(f"dead letters: {len(differing)} differ, such as {differing[:SHOWN]}")
    return problems + compare_lists(found.lists, expected.lists)


def last_revisions(table: pa.Table) -> pa.Table:
    """Of every record's rows the last revision, once: what a subscriber's table holds in the end."""
    rows = _Rows.of(table)
    last = np.ones(len(rows.keys), np.bool_)
    last[:-1] = (rows.keys[1:, :2] != rows.keys[:-1, :2]).any(axis=1)
    return rows.table.filter(pa.array(last))


def compare_tables(name: str, found: pa.Table, expected: pa.Table) -> list[str]:
    """What is wrong with ``found``: rows by identity, every column but the generation."""
    return [f"{name}: {problem}" for problem in _compare(_Rows.of(found), _Rows.of(expected))]


@dataclass(frozen=True)
class _Rows:
    """A table sorted by identity; ``repeats[i]``: row i has the identity of the row before."""

    table: pa.Table
    keys: NDArray[np.int64]
    repeats: NDArray[np.bool_]

    @classmethod
    def of(cls, table: pa.Table) -> _Rows:
        table = table.select([name for name in table.column_names if name != "generation"])
        table = table.take(pc.sort_indices(table, [(name, "ascending") for name in WEIGHT_KEY])).combine_chunks()
        keys = np.stack([table[name].to_numpy().astype(np.int64) for name in WEIGHT_KEY], axis=1)
        repeats = np.zeros(len(keys), np.bool_)
        repeats[1:] = (keys[1:] == keys[:-1]).all(axis=1)
        return cls(table, keys, repeats)

    def named(self, which: NDArray[np.bool_]) -> str:
        return ", ".join("/".join(map(str, key)) for key in self.keys[which][:SHOWN].tolist())


def _compare(found: _Rows, truth: _Rows) -> Iterator[str]:
    again = found.repeats
    for name in found.table.column_names:
        differs = np.zeros(len(again), np.bool_)
        differs[1:] = again[1:] & ~_equal(found.table[name].slice(1), found.table[name].slice(0, len(again) - 1))
        if differs.any():
            yield f"{differs.sum()} repeated rows differ from the ones before in {name}: {found.named(differs)}"
    once = found.table.filter(pa.array(~again))
    keys, expected = found.keys[~again], truth.keys
    if keys.shape != expected.shape or not (keys == expected).all():
        yield from _missing(keys, expected)
        return
    for name in truth.table.column_names:
        differs = ~_equal(once[name], truth.table[name])
        if differs.any():
            yield f"{differs.sum()} rows differ from the undisturbed run's in {name}: {truth.named(differs)}"


def _missing(keys: NDArray[np.int64], expected: NDArray[np.int64]) -> Iterator[str]:
    has, wants = set(map(tuple, keys.tolist())), set(map(tuple, expected.tolist()))
    if lost := sorted(wants - has):
        yield f"{len(lost)} rows are missing, such as {lost[:SHOWN]}"
    if extra := sorted(has - wants):
        yield f"{len(extra)} rows should not be there, such as {extra[:SHOWN]}"


def _equal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which values are the same, to the bit; null is the same as null."""
    left, right = _plain(left), _plain(right)
    same = pc.fill_null(pc.equal(left, right), False)
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return np.asarray(pc.or_(same, both_null).to_numpy(zero_copy_only=False), np.bool_)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    array = array if isinstance(array, pa.Array) else pa.concat_arrays(array.chunks)
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    if pa.types.is_floating(array.type):
        return _bits(array)
    if pa.types.is_fixed_size_list(array.type):
        return _joined(array)
    return array


def _bits(array: pa.Array) -> pa.Array:
    """Floats as the integers that their bits are: NaN equals itself, and 0.0 is not -0.0."""
    return array.view(pa.int64() if array.type == pa.float64() else pa.int32())


def _joined(array: pa.Array) -> pa.Array:
    """Lists of numbers as the bytes that they are."""
    width = array.type.list_size
    flat = array.flatten().to_numpy(zero_copy_only=False)
    rows = np.ascontiguousarray(flat.reshape(len(array), width))
    return pa.array([row.tobytes() for row in rows], pa.binary())
