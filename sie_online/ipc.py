"""Arrow messages that anybody may have written: measured before they are unpacked, validated before they are touched.

Arrow allocates what a compressed buffer claims to hold, and an offset or a dictionary index that points nowhere is a
segmentation fault as soon as somebody looks. So a message is taken in this order, and refused at the first doubt: its
schema (plain columns only, which take room for every row), the sizes that its record batches claim, the batches
themselves, and Arrow's full validation, up to which its makers fuzz the reader. Imports pyarrow and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyarrow import lib

MOST_BYTES = 32 << 20
"""What one message may unpack to; workers publish at most 1 MB, uncompressed."""
MOST_ROWS = 1 << 16
"""Of a message; a row of ours takes at least 40 bytes, so that a worker's has at most about 25,000."""
MOST_COLUMNS = 256
MOST_SCHEMA_BYTES = 1 << 20
"""Of names and metadata, each as often as it is referred to: Arrow copies a text that has a thousand references a
thousand times, and one message of 1 MB can refer to half of itself 100,000 times.
"""

_types: Any = lib
_TEXTS = frozenset({_types.Type_STRING, _types.Type_LARGE_STRING})
_INTEGERS = frozenset(getattr(_types, f"Type_{sign}INT{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64))
_NUMBERS = _INTEGERS | {_types.Type_HALF_FLOAT, _types.Type_FLOAT, _types.Type_DOUBLE}
_FLAT = _TEXTS | _NUMBERS | {_types.Type_BOOL}

_OPTIONS = pa.ipc.IpcReadOptions(ensure_native_endian=False, use_threads=False)

# Tables of Arrow's Message.fbs and Schema.fbs, by field number
_HEADER, _ENDIANNESS, _BUFFERS, _COMPRESSION, _DICTIONARY_DATA = 2, 0, 2, 3, 1
_FIELDS, _METADATA = 1, 2  # of a schema
_NAME, _CHILDREN, _FIELD_METADATA = 0, 5, 6
_KEY, _VALUE = 0, 1
_SHORT_SCHEMA = 8 << 10
"""Bytes in which a schema of ours is said; at most 8 MB become of as many, so that nobody has to look."""
_TABLE_BYTES = 64
"""What an entry or a column costs besides its texts, about."""


def read_batch(message: bytes) -> pa.RecordBatch:
    """The rows of one message (see ``contracts.to_message``), none where it holds no record batch.

    Raises:
        pyarrow.ArrowInvalid: it is no Arrow IPC stream of at most one record batch of plain columns, or it claims to
            hold more than a message may.
    """
    try:
        _check_sizes(message)
        with pa.ipc.open_stream(message, options=_OPTIONS) as reader:
            _check_schema(reader.schema)
            batch = _only(list(reader), reader.schema)
        batch.validate(full=True)
        check_dictionaries(batch)
    except (pa.ArrowException, OSError, ValueError, struct.error) as error:
        raise pa.ArrowInvalid(in_short(error)) from None
    return batch


def check_names(schema: pa.Schema) -> None:
    """Raises ``ValueError`` where there are too many columns, or two of a name."""
    names = schema.names
    if len(names) > MOST_COLUMNS or len(set(names)) < len(names):
        raise ValueError(f"{len(names)} columns, of {len(set(names))} names")


def _check_schema(schema: pa.Schema) -> None:
    check_names(schema)
    for kind in schema.types:
        if not (kind.id in _FLAT or _is_plain_inside(kind)):
            raise ValueError(f"a column of type {kind}, which no message of ours has")
    for text in (schema.metadata or {}).values():
        text.decode()


def _is_plain_inside(kind: Any) -> bool:
    if kind.id == _types.Type_DICTIONARY:
        return kind.value_type.id in _TEXTS
    return kind.id == _types.Type_FIXED_SIZE_LIST and kind.value_type.id in _NUMBERS


def _only(batches: list[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    if len(batches) > 1:
        raise ValueError(f"{len(batches)} record batches in one message")
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)


def _check_sizes(message: bytes) -> None:
    """What schema and batches claim to hold, before anything is allocated for them."""
    total = 0
    for part in pa.ipc.MessageReader.open_stream(message):
        metadata = bytes(part.metadata)
        header = _inside(metadata, _follow(metadata, 0), _HEADER)
        if part.type == "schema":
            at = _field(metadata, header, _ENDIANNESS)
            if at is not None and metadata[at]:
                raise ValueError("it is big-endian")
            if len(metadata) > _SHORT_SCHEMA:
                _check_schema_size(metadata, header)
        elif part.type == "dictionary":
            total += _claimed(metadata, _inside(metadata, header, _DICTIONARY_DATA), part.body)
        elif part.type == "record batch":
            total += _claimed(metadata, header, part.body)
        else:
            raise ValueError(f"it holds a {part.type}")
        if total > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES} bytes")


def _check_schema_size(metadata: bytes, schema: int) -> None:
    total, fields = _entries_size(metadata, schema, _METADATA), list(_tables(metadata, schema, _FIELDS))
    while fields and total <= MOST_SCHEMA_BYTES:
        field = fields.pop()
        total += _text_size(metadata, field, _NAME) + _entries_size(metadata, field, _FIELD_METADATA)
        inner = _tables(metadata, field, _CHILDREN)
        total += _TABLE_BYTES * (1 + len(inner))
        fields += inner
    if total > MOST_SCHEMA_BYTES:
        raise ValueError(f"a schema of more than {MOST_SCHEMA_BYTES} bytes of names and metadata")


def _entries_size(metadata: bytes, table: int, number: int) -> int:
    total = 0
    for entry in _tables(metadata, table, number):
        total += _TABLE_BYTES + _text_size(metadata, entry, _KEY) + _text_size(metadata, entry, _VALUE)
        if total > MOST_SCHEMA_BYTES:
            break
    return total


def _claimed(metadata: bytes, batch: int, body: pa.Buffer) -> int:
    """Bytes that a batch says it unpacks to; each buffer counts, also where several share their bytes."""
    rows = _field(metadata, batch, 0)
    if rows is not None and not 0 <= struct.unpack_from("<q", metadata, rows)[0] <= MOST_ROWS:
        raise ValueError(f"a batch of more than {MOST_ROWS} rows")
    spans = list(_buffers(metadata, batch))
    if _field(metadata, batch, _COMPRESSION) is not None:
        return sum(_unpacked(body, first, length) for first, length in spans)
    return sum(length for _, length in spans)


def _unpacked(body: pa.Buffer, first: int, length: int) -> int:
    """A compressed buffer begins with its size, -1 where it is not compressed after all."""
    if not length:
        return 0
    if first < 0 or length < 8 or first + length > body.size:
        raise ValueError("a buffer lies outside of its message")
    size: int = struct.unpack_from("<q", body, first)[0]
    if size < -1:
        raise ValueError("a buffer of negative size")
    return length if size == -1 else size


def _buffers(metadata: bytes, batch: int) -> Iterator[tuple[int, int]]:
    at = _field(metadata, batch, _BUFFERS)
    if at is None:
        return iter(())
    vector = _follow(metadata, at)
    count = struct.unpack_from("<I", metadata, vector)[0]
    if count * 16 > len(metadata):
        raise ValueError("more buffers than its metadata can name")
    return struct.iter_unpack("<qq", metadata[vector + 4 : vector + 4 + 16 * count])


def check_dictionaries(batch: pa.RecordBatch) -> None:
    """A text that every row names is written out for every row by whoever makes rows of them.

    Raises ``ValueError`` where that is too much, of all columns together.
    """
    kinds = enumerate(batch.schema.types)
    dictionaries = (batch.column(at).dictionary.nbytes for at, kind in kinds if kind.id == _types.Type_DICTIONARY)
    if sum(dictionaries) * len(batch) > MOST_BYTES:
        raise ValueError(f"columns of more than {MOST_BYTES} bytes when they are written out")


# -- flatbuffers, as far as they are needed; Arrow has verified the buffer when its metadata are handed out


def _follow(data: bytes, at: int) -> int:
    position: int = at + struct.unpack_from("<I", data, at)[0]
    return position


def _field(data: bytes, table: int, number: int) -> int | None:
    """Where a field of the table at ``table`` lies; None if it has its default."""
    entries = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, entries)[0]:
        return None
    offset: int = struct.unpack_from("<H", data, entries + 4 + 2 * number)[0]
    return table + offset if offset else None


def _tables(data: bytes, table: int, number: int) -> Sequence[int]:
    """The tables in the vector that a field holds."""
    at = _field(data, table, number)
    if at is None:
        return ()
    vector = _follow(data, at)
    (count,) = struct.unpack_from("<I", data, vector)
    if count * 4 > len(data):
        raise ValueError("more entries than its metadata can name")
    offsets = struct.unpack_from(f"<{count}I", data, vector + 4)
    return [vector + 4 + 4 * nth + offset for nth, offset in enumerate(offsets)]


def _text_size(data: bytes, table: int, number: int) -> int:
    at = _field(data, table, number)
    return 0 if at is None else int(struct.unpack_from("<I", data, _follow(data, at))[0])


def _inside(data: bytes, table: int, number: int) -> int:
    """The table that a field holds."""
    at = _field(data, table, number)
    if at is None:
        raise ValueError("a message without its header")
    return _follow(data, at)


def in_short(error: Exception) -> str:
    """The error's first line, harmless on a terminal: it may quote the message."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return "".join(char if char.isprintable() else "?" for char in line)
