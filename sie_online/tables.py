"""Tables of published rows: the newest statement per identity and revision, and files that are whole or not there.

``sie tail --parquet`` and ``sie evaluate`` both end here, so that a streamed table and an offline one can be compared
row for row. Imports pyarrow and numpy only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sie_online.contracts import WEIGHT_KEY

_NEWEST_FIRST: Any = [*((name, "ascending") for name in WEIGHT_KEY), ("generation", "descending")]


def newest_statements(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """One table of all rows: of each (partition, offset, revision) the highest generation, sorted by these three.

    Columns that only some messages have come last and are null elsewhere. Text that messages carry as dictionaries of
    at most 127 values comes as dictionaries without that limit.
    """
    table = pa.concat_tables(
        [schema.empty_table(), *(pa.Table.from_batches([batch]) for batch in batches)], promote_options="default"
    )
    table = plain_text(table).take(_order(table))
    return _encoded(table.filter(pa.array(_first_of_identity(table))), schema)


def write_parquet(table: pa.Table, path: Path) -> None:
    """Write ``table`` to ``path``; a crash leaves what was there before."""
    with whole_file(path) as file:
        pq.write_table(table, file)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that gets its name when all of it is on disk; until then ``path`` stays what it was."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _order(table: pa.Table) -> Any:
    return pc.sort_indices(table.select([name for name, _ in _NEWEST_FIRST]), sort_keys=_NEWEST_FIRST)


def _first_of_identity(table: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows of a sorted table begin an identity."""
    first = np.ones(len(table), dtype=np.bool_)
    if len(table):
        keys = [np.asarray(table[name]) for name in WEIGHT_KEY]
        first[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return first


def plain_text(table: pa.Table) -> pa.Table:
    """``table`` with its dictionaries of text as text."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(index, field.with_type(pa.string()), table.column(index).cast(pa.string()))
    return table


def _encoded(table: pa.Table, schema: pa.Schema) -> pa.Table:
    for index, field in enumerate(schema):
        if pa.types.is_dictionary(field.type):
            column = table.column(index).combine_chunks().dictionary_encode()
            table = table.set_column(index, field.with_type(column.type), column)
    return table.combine_chunks()
