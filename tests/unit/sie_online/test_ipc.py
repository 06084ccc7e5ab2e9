"""Messages that others wrote: each kind of damage is one error, before anything is allocated or looked at."""

from __future__ import annotations

import resource
import struct
from typing import Any

import pyarrow as pa
import pytest

from sie_online import contracts, ipc
from sie_online.client.rows import SAMPLES, Source, read_batch
from sie_online.errors import MessageError
from tests.support.rows import SOURCE as EVENTS
from tests.support.rows import sample_batch, weight_batch, weight_message, weight_row

SOURCE = Source("sie.weights.v1", 3, 1234)
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


HOSTILE = {
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


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_message_is_one_error_that_names_its_place(name: str) -> None:
    with pytest.raises(MessageError, match=r"sie\.weights\.v1, partition 3, offset 1234") as refused:
        read_batch(HOSTILE[name](), SOURCE, contracts.WEIGHTS)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 500


def test_the_row_before_and_after_the_damage_are_what_was_damaged() -> None:
    """Without the damage each of these messages can be read: it is the damage that is refused."""
    for message in (weight_message(weight_row(user_id="u" * MARKED)), contracts.to_message(made())):
        assert len(read_batch(message, SOURCE, contracts.WEIGHTS))
    assert text_offsets(0, MARKED) == weight_message(weight_row(user_id="u" * MARKED))


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_message_that_others_compressed_is_read(compression: str) -> None:
    assert ipc.read_batch(written(made(), compression=compression)).equals(made())


@pytest.mark.parametrize("compression", ["lz4", "zstd"])
def test_a_bomb_is_refused_before_memory_is_taken_for_it(compression: str) -> None:
    message = bomb(compression)
    assert len(message) < 1_000_000
    before = pa.default_memory_pool().max_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(pa.ArrowInvalid, match="unpacks to more than"):
        ipc.read_batch(message)
    after = pa.default_memory_pool().max_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after[1] - before[1] < 10_000  # kB


def test_samples_may_have_any_number_of_features_but_must_have_their_columns() -> None:
    for n in (1, 7):
        batch = sample_batch(1, 2, n_features=n, n_dense=n)
        assert read_batch(contracts.to_message(batch), SOURCE, SAMPLES).equals(batch)
    with pytest.raises(MessageError, match="'settled_ms' is missing"):
        read_batch(weight_message(weight_row(final=True, label=1, error=0.5)), SOURCE, SAMPLES)


def test_a_sample_with_features_that_are_no_numbers_is_refused() -> None:
    batch = sample_batch(1, n_dense=2)
    at = batch.schema.get_field_index("dense")
    broken = pa.array([[0.5, float("nan")]], batch.schema.field(at).type)
    message = contracts.to_message(batch.set_column(at, batch.schema.field(at), broken))
    with pytest.raises(MessageError, match="'dense'"):
        read_batch(message, SOURCE, SAMPLES)


def test_what_a_message_is_made_of_is_read_back() -> None:
    batch = made()
    assert batch.schema.metadata[b"source_topic"] == EVENTS.encode()
    assert read_batch(contracts.to_message(batch), SOURCE, contracts.WEIGHTS).equals(batch, check_metadata=True)
