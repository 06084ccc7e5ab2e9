"""Settled samples in numpy columns, and how to get them: from a Parquet file, or from the topic."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sie_online.client.subscriber import SampleSubscriber
from sie_online.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainingSamples:
    """n samples. ``features`` (n, F) are indices of hashed one-hot features, 0 meaning absent; ``dense`` (n, D) real
    values; both as they were at the event, like ``probability``, which the stream's own model stated of label 1.
    ``event_time_ms`` is when that was, ``settled_ms`` when ``label`` (0 or 1) and ``weight`` became known; both in ms
    since 1970.
    """

    event_id: NDArray[Any]
    features: NDArray[Any]
    dense: NDArray[Any]
    probability: NDArray[Any]
    label: NDArray[Any]
    weight: NDArray[Any]
    noise_probability: NDArray[Any]
    user_hash: NDArray[Any]
    event_time_ms: NDArray[Any]
    settled_ms: NDArray[Any]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> Self:
        """Those of ``columns`` that are used here."""
        return cls(*(columns[name] for name in cls.names()))

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """The columns of ``sie.samples.v1``.

        Raises:
            UsageError: a column is missing, or there is no row.
        """
        if missing := [name for name in cls.names() if name not in table.column_names]:
            raise UsageError(f"these are no settled samples: column {missing[0]!r} is missing")
        if not len(table):
            raise UsageError("there are no settled samples")
        return cls(*(_column(table, name) for name in cls.names()))

    @classmethod
    def names(cls) -> list[str]:
        """Names of the columns."""
        return [field.name for field in fields(cls)]

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[Any]) -> Self:
        """Those ``rows`` (indices or a mask)."""
        return type(self)(*(getattr(self, name)[rows] for name in self.names()))


def read_file(path: Path) -> pa.Table:
    """The table in the Parquet file ``path``.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}") from None


def read_topic(broker: str | None, topic: str | None, idle_s: float) -> pa.Table:
    """The samples on the topic, until it has been silent for ``idle_s`` seconds; None: as the settings say.

    Raises:
        SieError: the broker, or the topic, cannot be read.
    """
    return asyncio.run(_subscribe(SampleSubscriber(broker=broker, topic=topic, idle_s=idle_s)))


async def _subscribe(subscriber: SampleSubscriber) -> pa.Table:
    names = TrainingSamples.names()
    async with subscriber as samples:
        tables = [pa.Table.from_batches([batch.select(names)]) async for batch in samples.batches()]
    return pa.concat_tables(tables) if tables else pa.table({name: [] for name in names})


def _column(table: pa.Table, name: str) -> NDArray[Any]:
    column: Any = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks)
    if not pa.types.is_fixed_size_list(column.type):
        values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
        return values
    flat: NDArray[Any] = column.flatten().to_numpy(zero_copy_only=False)
    return np.reshape(flat, (len(column), column.type.list_size))
