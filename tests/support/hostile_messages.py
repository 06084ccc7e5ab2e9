"""Messages of weights that others might write to do harm: all of them to be refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from sie_online import contracts
from tests.support.rows import weight_batch, weight_message, weight_row

ROWS = 8
MARKED = 7_777
"""A length that is found again in the bytes of a message."""


def made(**values: Any) -> pa.RecordBatch:
    """Valid rows, one of each event type."""
    rows = (weight_row(at, event_type=name, **values) for at, name in enumerate(contracts.EVENT_TYPES))
    return weight_batch(*rows)


def written(batch: pa.RecordBatch, **options: Any) -> bytes:
    """``batch`` as a message, with Arrow's own options."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def with_column(name: str, column: Any) -> bytes:
    """A valid message but for one column, which is this one."""
    batch = made()
    return contracts.to_message(batch.set_column(batch.schema.get_field_index(name), name, column))


def damaged(message: bytes, found: bytes, put: bytes) -> bytes:
    """``message`` with the last ``found`` in it replaced."""
    at = message.rindex(found)
    return message[:at] + put + message[at + len(found) :]


def offsets(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def text_offsets(*put: int) -> bytes:
    """The message of one row whose user id is ``MARKED`` long, with other offsets of its text."""
    return damaged(weight_message(weight_row(user_id="u" * MARKED)), offsets(0, MARKED), offsets(*put))


def claims(compression: str, size: int) -> bytes:
    """A compressed buffer that claims to unpack to ``size`` bytes."""
    message = written(made(user_id="u" * MARKED), compression=compression)
    return damaged(message, struct.pack("<q", ROWS * MARKED), struct.pack("<q", size))


def bomb(compression: str) -> bytes:
    return written(made(user_id="u" * (5 << 20)), compression=compression)


HOSTILE: dict[str, Callable[[], bytes | None]] = {
    "null": lambda: None,
    "empty": lambda: b"",
    "noise": lambda: b"\xff" * 100,
    "cut in the schema": lambda: weight_message(weight_row())[:300],
    "cut in the body": lambda: weight_message(weight_row())[:-50],
    "no schema": lambda: weight_message(weight_row())[1_704:],
    "two batches": lambda: two_batches(),
    "other columns": lambda: contracts.to_message(pa.record_batch({"other": [1]})),
    "a column less": lambda: contracts.to_message(made().drop_columns(["user_id"])),
    "a column twice": lambda: contracts.to_message(made().append_column("user_id", pa.array(["u"] * ROWS))),
    "many columns": lambda: contracts.to_message(pa.record_batch({f"c{at}": [True] for at in range(2_000)})),
    "text offset far out": lambda: text_offsets(0, 1_000_000_000),
    "text offset negative": lambda: text_offsets(-8, MARKED),
    "text offsets descend": lambda: text_offsets(MARKED, 0),
    "text is no UTF-8": lambda: damaged(weight_message(weight_row(user_id="u" * MARKED)), b"uuu", b"\xff\xfe\xfd"),
    "dictionary index far out": lambda: damaged(contracts.to_message(made()), bytes(range(8)), b"\x64" * 8),
    "dictionary index negative": lambda: damaged(contracts.to_message(made()), bytes(range(8)), b"\xff" * 8),
    "more rows than there are": lambda: _row_counts(weight_message(*map(weight_row, range(77))), 77, 7_700),
    "rows without end": lambda: _row_counts(weight_message(*map(weight_row, range(77))), 77, 1 << 60),
    "negative rows": lambda: _row_counts(weight_message(*map(weight_row, range(77))), 77, -1),
    "rows that take no room": lambda: _row_counts(
        contracts.to_message(pa.record_batch({"partition": pa.nulls(77)})), 77, 1 << 40
    ),
    "lz4 bomb": lambda: bomb("lz4"),
    "zstd bomb": lambda: bomb("zstd"),
    "lz4 claims a terabyte": lambda: claims("lz4", 1 << 40),
    "zstd claims less than it holds": lambda: claims("zstd", 5),
    "zstd claims a negative size": lambda: claims("zstd", -7),
    "a dictionary's text for every row": lambda: dictionary_bomb(),
    "many dictionaries' texts for every row": lambda: many_dictionaries(),
    "an entry of metadata many times": lambda: crafted_schema(20_000, b"x" * 400_000),
    "lists": lambda: with_column("user_id", pa.array([["u"]] * ROWS)),
    "views": lambda: with_column("user_id", pa.array(["u" * 50] * ROWS, pa.string_view())),
    "runs": lambda: with_column("offset", pa.RunEndEncodedArray.from_arrays([ROWS], pa.array([1]))),
    "an extension": lambda: with_column("user_id", pa.array([b"1" * 16] * ROWS, pa.uuid())),
    "text as a number": lambda: with_column("weight", pa.array(["much"] * ROWS)),
    "a narrower number": lambda: with_column("offset", pa.array([1] * ROWS, pa.int32())),
    "a factor of text": lambda: contracts.to_message(made().append_column("f_new", pa.array(["x"] * ROWS))),
    "null revision": lambda: contracts.to_message(_with_null("revision")),
    "a weight that is no number": lambda: contracts.to_message(made(weight=float("nan"))),
    "an infinite weight": lambda: contracts.to_message(made(weight=float("inf"))),
    "an error that is no number": lambda: contracts.to_message(made(error=float("nan"))),
    "a factor beyond every weight": lambda: contracts.to_message(made(f_noise=1e4)),
    "metadata that are no text": lambda: contracts.to_message(made().replace_schema_metadata({"x": b"\xff"})),
}  # fmt: skip


def _with_null(name: str) -> pa.RecordBatch:
    batch = made()
    at = batch.schema.get_field_index(name)
    return pa.record_batch(
        [pa.nulls(ROWS, one.type) if number == at else one for number, one in enumerate(batch.columns)],
        schema=batch.schema,
    )


def _row_counts(message: bytes, found: int, put: int) -> bytes:
    return message.replace(struct.pack("<q", found), struct.pack("<q", put))


def two_batches() -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, made().schema) as writer:
        for _ in range(2):
            writer.write_batch(made())
    return bytes(sink.getvalue())


def dictionary_bomb() -> bytes:
    kind = contracts.WEIGHTS.field("model_version").type
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int8()), pa.array(["x" * 100_000]))
    batch = weight_batch(*map(weight_row, range(1_000)))
    return contracts.to_message(
        batch.set_column(batch.schema.get_field_index("model_version"), pa.field("model_version", kind, False), text)
    )


def crafted_schema(entries: int, text: bytes) -> bytes:
    """A schema whose ``entries`` entries of metadata are one and the same, with ``text`` as key and as value."""
    made, references, places = bytearray(), [], {}

    def refer(name: str) -> None:
        references.append((len(made), name))
        made.extend(bytes(4))

    def table(name: str, size: int, *fields: int) -> None:
        """Where each field lies in the table, 0 if it has its default; what it holds follows."""
        made.extend(bytes(-len(made) % 8))
        at = len(made)
        made.extend(struct.pack(f"<{2 + len(fields)}H", 4 + 2 * len(fields), size, *fields))
        made.extend(bytes(-len(made) % 4))
        places[name] = len(made)
        made.extend(struct.pack("<i", len(made) - at))

    refer("message")
    table("message", 20, 4, 6, 8, 12)  # version 5, a schema, which is here, and no body
    made.extend(struct.pack("<hBx", 4, 1))
    refer("schema")
    made.extend(bytes(8))
    table("schema", 12, 0, 4, 8)  # little-endian
    refer("fields")
    refer("metadata")
    places["fields"] = len(made)
    made.extend(bytes(4))
    places["metadata"] = len(made)
    made.extend(struct.pack("<I", entries))
    for _ in range(entries):
        refer("entry")
    table("entry", 12, 4, 8)
    refer("text")
    refer("text")
    places["text"] = len(made)
    made.extend(struct.pack("<I", len(text)) + text + b"\0")
    made.extend(bytes(-len(made) % 8))
    for at, name in references:
        made[at : at + 4] = struct.pack("<I", places[name] - at)
    return b"\xff" * 4 + struct.pack("<I", len(made)) + bytes(made) + b"\xff" * 4 + bytes(4)


def many_dictionaries() -> bytes:
    """Each column could be written out, all of them together not."""
    kind = pa.dictionary(pa.int8(), pa.string())
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 1_000, pa.int8()), pa.array(["x" * 1_000])).cast(kind)
    batch = weight_batch(*map(weight_row, range(1_000)))
    for at in range(40):
        batch = batch.append_column(f"text{at}", text)
    return contracts.to_message(batch)
