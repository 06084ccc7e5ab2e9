"""Messages of weights and samples as JSON lines: one object per row, with the contract's columns, in order.

How they are read; `sie_online.ndjson_text` writes them. Numbers are in the shortest form that reads back to the same
bits: in float64, those of ``dense`` in float32. What the other layouts say in the schema's metadata, a message of JSON
lines says in its headers (`sie_online.content`).

Anybody may have written a message, and what is read here becomes Arrow: its lines are bounded, types are the
contract's, and nesting is never followed. Imports numpy and pyarrow only.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pj

from sie_online import ipc
from sie_online.content import metadata_of
from sie_online.contracts import WEIGHTS, samples_schema

Headers = Sequence[tuple[str, bytes | None]]

OBJECT = b"{"
"""How a message of JSON lines begins; an Arrow IPC stream begins with the bytes 255."""

_PLAIN: dict[type, Any] = {bool: pa.bool_(), int: pa.float64(), float: pa.float64(), str: pa.string()}
"""What columns are read as that this code does not know, by how their first value is written."""


def is_ndjson(message: bytes) -> bool:
    """Whether ``message`` is one of JSON lines."""
    return message[:1] == OBJECT


def read(message: bytes, headers: Headers = ()) -> pa.RecordBatch:
    """The rows of one message in the contract's types, with what its ``headers`` say as metadata.

    Columns are those of its first line, ones that this code does not know last; such are texts, float64 or bools.

    Raises:
        ValueError: it is no JSON lines of our rows.
    """
    if len(message) > ipc.MOST_BYTES or message.count(b"\n") > ipc.MOST_ROWS:
        raise ValueError(f"more than {ipc.MOST_BYTES} bytes or {ipc.MOST_ROWS} lines")
    names = _first(message)
    contract = samples_schema("", 0, 0, "") if "settled_ms" in names else WEIGHTS
    known = [field for field in contract if field.name in names]
    added = [
        pa.field(name, _PLAIN[type(value)])
        for name, value in names.items()
        if name not in contract.names and type(value) in _PLAIN
    ]
    parsed = _parsed(message, [*(pa.field(field.name, _read_as(field.type)) for field in known), *added])
    columns = [_column(parsed.column(field.name).combine_chunks(), field) for field in known]
    fields = [field.with_type(column.type) for field, column in zip(known, columns, strict=True)]
    columns += [parsed.column(field.name).combine_chunks() for field in added]
    metadata = metadata_of(dict(headers))
    schema = pa.schema([*fields, *added], metadata=metadata)
    ipc.check_names(schema)
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    batch.validate(full=True)
    ipc.check_dictionaries(batch)
    for text in metadata.values():
        text.decode()
    return batch


def _first(message: bytes) -> Mapping[str, Any]:
    """The object in the first line."""
    line, _, _ = message.partition(b"\n")
    try:
        found = json.loads(line)
    except RecursionError:
        raise ValueError("its first line is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("its first line is no object")  # noqa: TRY004 - the message is wrong, not the caller
    return found


def _parsed(message: bytes, fields: list[Any]) -> pa.Table:
    try:
        found = pj.read_json(
            io.BytesIO(message),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(message) + 1),
            # what is not asked for is passed over: deep within it Arrow would overrun the stack
            parse_options=pj.ParseOptions(explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore"),
        )
    except pa.ArrowException as error:
        raise ValueError(ipc.in_short(error)) from None
    if len(found) > ipc.MOST_ROWS:
        raise ValueError(f"more than {ipc.MOST_ROWS} rows")
    return found


def _read_as(kind: Any) -> Any:
    """What Arrow reads a column of type ``kind`` as."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    return pa.list_(kind.value_type) if pa.types.is_fixed_size_list(kind) else kind


def _column(read: Any, field: Any) -> Any:
    """``read`` as the contract's ``field`` has it."""
    if pa.types.is_dictionary(field.type):
        encoded = read.dictionary_encode()
        return pa.DictionaryArray.from_arrays(encoded.indices.cast(field.type.index_type), encoded.dictionary)
    if pa.types.is_fixed_size_list(field.type):
        return _of_one_length(read, field)
    return read


def _of_one_length(lists: Any, field: Any) -> Any:
    lengths = np.diff(lists.offsets.to_numpy())
    if lists.null_count or (len(lengths) and lengths.min() != lengths.max()):
        raise ValueError(f"lists of several lengths in column {field.name!r}")
    return pa.FixedSizeListArray.from_arrays(lists.flatten(), int(lengths[0]) if len(lengths) else 0)
