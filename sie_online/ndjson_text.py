"""Rows of weights and samples as JSON lines (`sie_online.ndjson`), written column by column.

Every column becomes one text of all its values, in which each value has a span; a kernel then copies, row by row, what
lies in the spans and what stands between them. A value that many rows share is written once. What it costs:
`docs/formats.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sie_online.escape import safe_json
from sie_online.ingest.keyed import copy_bytes
from sie_online.jit import kernel

_UNSAFE = r'[^\pL\pM\pN\pP\pS ]|["\\]'
"""In a text that has to be escaped: what JSON asks for, and whatever is not printable."""

_PLAIN = np.array([0x20 <= byte < 0x7F and byte not in b'"\\\\' for byte in range(256)])
"""Bytes that stand for themselves; most ids have no others, and looking at bytes takes a fiftieth of the time."""

_COMMA = ord(",")


class Spans(NamedTuple):
    """Where in ``data`` the text of each row's value begins and ends: int64 of shape (n,)."""

    data: NDArray[np.uint8]
    first: NDArray[np.int64]
    end: NDArray[np.int64]


class Lines(NamedTuple):
    """Rows as text: row i, with its line end, is ``data[ends[i - 1]:ends[i]]``."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]

    def messages(self, limit: int) -> Iterator[bytes]:
        """Whole lines together, in order: as many as have at most ``limit`` bytes, but one at least."""
        at = begun = 0
        while at < len(self.ends):
            at = max(at + 1, int(np.searchsorted(self.ends, begun + limit, "right")))
            end = int(self.ends[at - 1])
            yield self.data[begun:end].tobytes()
            begun = end


def lines(batch: pa.RecordBatch) -> Lines:
    """The rows of ``batch``, each as a JSON object of its columns in order.

    Columns may be integers, floats, bools, texts, dictionaries of texts, and lists of fixed size of numbers; a float
    that is not finite is null.
    """
    n, separator = len(batch), "{"
    texts, literals = [], []
    for at, name in enumerate(batch.schema.names):
        before, spans, after = _column(batch.column(at))
        literals.append(f"{separator}{json.dumps(name)}:{before}".encode())
        texts.append(spans)
        separator = f"{after},"
    literals.append(f"{separator[:-1]}}}\n".encode())
    return _joined(n, literals, texts)


def messages(rows: pa.RecordBatch, limit: int) -> Iterator[bytes]:
    """``rows`` as messages of whole lines, of at most ``limit`` bytes unless one row has more; in order."""
    return lines(rows).messages(limit) if rows.num_rows else iter(())


def warm_up() -> None:
    """Compile the kernel, or load it from the cache."""
    lines(pa.record_batch({"n": pa.array([1])}))


def _column(column: Any) -> tuple[str, Spans, str]:
    """The values of ``column``, and what stands before and behind each."""
    kind = column.type
    if pa.types.is_fixed_size_list(kind):
        return "[", _of_lists(column), "]"
    if pa.types.is_dictionary(kind):
        return '"', _picked(_of_texts(column.dictionary), column.indices.to_numpy()), '"'
    if pa.types.is_string(kind):
        return '"', _of_texts(column), '"'
    if pa.types.is_boolean(kind):
        return "", _picked(_of_texts(pa.array(["false", "true"])), column.cast(pa.int8()).to_numpy()), ""
    return "", _of_numbers(column), ""


def _of_numbers(column: Any) -> Spans:
    if column.null_count:
        return _separated(msgspec.json.encode(column.to_pylist()), len(column))
    values = column.to_numpy()
    if len(values) and (values == values[0]).all() and not (values[0] == 0 and np.signbit(values).any()):
        return _picked(_of_numbers_each(column[:1]), np.zeros(len(values), np.int8))
    return _of_numbers_each(column)


def _of_numbers_each(column: Any) -> Spans:
    if pa.types.is_float32(column.type):
        return _of_plain(_float32_texts(column))
    return _separated(msgspec.json.encode(column.to_numpy().tolist()), len(column))


def _of_lists(column: Any) -> Spans:
    """Of lists: what stands within the brackets."""
    flat, width = column.flatten(), column.type.list_size
    if not len(flat):
        return _picked(_of_texts(pa.array([""])), np.zeros(len(column), np.int8))
    if pa.types.is_float32(flat.type):
        ends = pa.array(np.arange(0, len(flat) + 1, width, dtype=np.int32))
        compute: Any = pc  # the stubs lag behind
        return _of_plain(compute.binary_join(pa.ListArray.from_arrays(ends, _float32_texts(flat)), ","))
    data, first, end = _separated(msgspec.json.encode(flat.to_numpy().tolist()), len(flat))
    return Spans(data, first[::width], end[width - 1 :: width])


def _float32_texts(values: Any) -> Any:
    """In float32's own shortest form, which only Arrow knows; it writes -0.0 as a whole number, which has no sign."""
    texts, numbers = values.cast(pa.string()), values.to_numpy()
    compute: Any = pc
    for odd, written in (((numbers == 0) & np.signbit(numbers), "-0.0"), (~np.isfinite(numbers), "null")):
        if odd.any():
            texts = compute.if_else(pa.array(odd), written, texts)
    return texts


def _separated(array: bytes, n: int) -> Spans:
    """Of the ``n`` numbers in a JSON array."""
    data = np.frombuffer(array, np.uint8)
    edges = np.empty(n + 1, np.int64)
    edges[0], edges[1:n], edges[n:] = 0, np.flatnonzero(data == _COMMA), len(data) - 1
    return Spans(data, edges[:n] + 1, edges[1:])


def _of_texts(texts: Any) -> Spans:
    spans = _of_plain(texts)
    if _PLAIN[spans.data[spans.first[:1].sum() : spans.end[-1:].sum()]].all():
        return spans
    compute: Any = pc  # the stubs lag behind
    unsafe = compute.match_substring_regex(texts, _UNSAFE)
    escaped = [safe_json(json.dumps(text, ensure_ascii=False))[1:-1] for text in texts.filter(unsafe).to_pylist()]
    return _of_plain(compute.replace_with_mask(texts, unsafe, pa.array(escaped, pa.string())))


def _of_plain(texts: Any) -> Spans:
    _, offsets, data = texts.buffers()
    if data is None:
        return Spans(np.empty(0, np.uint8), *np.zeros((2, len(texts)), np.int64))
    edges = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    return Spans(np.frombuffer(data, np.uint8), edges[:-1], edges[1:])


def _picked(spans: Spans, rows: NDArray[Any]) -> Spans:
    return Spans(spans.data, spans.first[rows], spans.end[rows])


def _joined(n: int, literals: list[bytes], texts: list[Spans]) -> Lines:
    """``literals`` around and between the values of each row."""
    parts = [np.frombuffer(literal, np.uint8) for literal in literals] + [text.data for text in texts]
    begins = np.cumsum([0, *map(len, parts)])
    fixed, moved = begins[: len(literals) + 1], begins[len(literals) :]
    first, end = (
        np.stack([edge + at for edge, at in zip(edges, moved, strict=False)])
        for edges in ([text.first for text in texts], [text.end for text in texts])
    )
    ends = np.cumsum((end - first).sum(axis=0) + fixed[-1])
    out = np.empty(int(ends[-1]) if n else 0, np.uint8)
    join(np.concatenate(parts), fixed, first, end, out)
    return Lines(out, ends)


@kernel
def join(data: Any, fixed: Any, first: Any, end: Any, out: Any) -> None:
    """Write, for every row, the literals with the row's values between them.

    Args:
        data: uint8, all texts.
        fixed: int64 of shape (k + 2,): where the k + 1 literals begin, one behind the other, and the last one ends.
        first, end: int64 of shape (k, n): spans of the values.
        out: uint8, written.
    """
    at, k = 0, first.shape[0]
    for row in range(first.shape[1]):
        for column in range(k):
            at = copy_bytes(data, fixed[column], fixed[column + 1] - fixed[column], out, at)
            at = copy_bytes(data, first[column, row], end[column, row] - first[column, row], out, at)
        at = copy_bytes(data, fixed[k], fixed[k + 1] - fixed[k], out, at)
