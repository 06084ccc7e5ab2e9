"""Records laid out in one buffer, with spans: made of objects, found in a log's own bytes, or put together of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.headers import SlicedHeaders, WrittenHeaders

NULL_SPAN = (-1, -1)
NO_TIMESTAMP = -1
"""Kafka's, of a record that has none: those of message format 0."""
MOST_HELD = 2
"""Times what it needs of it, a batch of records may hold of a buffer that is not its own; of a larger one it copies."""


@dataclass(slots=True)
class RecordColumns:
    """Consecutive records of one partition, laid out in ``buffer[first:last]``.

    ``values`` and ``keys`` are int64 spans of shape (n, 2) into ``buffer``; (-1, -1) is null. ``timestamps_ms`` are
    Kafka's. ``headers`` are those of the rows that have any.
    """

    buffer: bytes
    first: int
    last: int
    values: NDArray[np.int64]
    keys: NDArray[np.int64]
    offsets: NDArray[np.int64]
    timestamps_ms: NDArray[np.int64]
    headers: Mapping[int, WrittenHeaders]

    def __len__(self) -> int:
        return len(self.offsets)

    @property
    def offset(self) -> int:
        """Of the last record: what aiokafka moves its position by."""
        return int(self.offsets[-1])

    @classmethod
    def of(cls, records: Iterable[Any]) -> RecordColumns:
        """Lay ``records`` (see ``sie_online.ingest.records.Record``) out, values first and then keys."""
        rows = list(records)
        values, at = _spans([row.value for row in rows], 0)
        keys, end = _spans([row.key for row in rows], at)
        parts = [row.value for row in rows if row.value is not None] + [row.key for row in rows if row.key is not None]
        stamps_ms = [NO_TIMESTAMP if row.timestamp is None else row.timestamp for row in rows]
        return cls(
            buffer=b"".join(parts),
            first=0,
            last=end,
            values=values,
            keys=keys,
            offsets=np.array([row.offset for row in rows], dtype=np.int64),
            timestamps_ms=np.array(stamps_ms, dtype=np.int64),
            headers={index: tuple(row.headers) for index, row in enumerate(rows) if row.headers},
        )


def joined(parts: Sequence[RecordColumns]) -> RecordColumns:
    """``parts``, one or more, one after the other over one buffer.

    That is the parts' own, without a copy, where they share one and leave little of it unused.
    """
    pieces = _pieces(parts)
    needed = sum(last - first for _, first, last in pieces)
    (buffer, _, _), *others = pieces
    if others or MOST_HELD * needed < len(buffer):
        buffer = b"".join([memoryview(whole)[first:last] for whole, first, last in pieces])
        parts = _moved(parts, pieces, buffer)
    if len(parts) == 1:
        return parts[0]
    return RecordColumns(
        buffer=buffer,
        first=0,
        last=len(buffer),
        values=np.concatenate([part.values for part in parts]),
        keys=np.concatenate([part.keys for part in parts]),
        offsets=np.concatenate([part.offsets for part in parts]),
        timestamps_ms=np.concatenate([part.timestamps_ms for part in parts]),
        headers=_headers(parts, buffer),
    )


_Piece = tuple[bytes, int, int]
"""A buffer, and what is needed of it: from where to where."""


def _pieces(parts: Sequence[RecordColumns]) -> list[_Piece]:
    """What ``parts`` need of their buffers. Parts that share one lie in it in order: what is between them stays."""
    pieces: list[_Piece] = []
    for part in parts:
        first = part.first
        if pieces and pieces[-1][0] is part.buffer:
            _, first, _ = pieces.pop()
        pieces.append((part.buffer, first, part.last))
    return pieces


def _moved(parts: Sequence[RecordColumns], pieces: Sequence[_Piece], buffer: bytes) -> list[RecordColumns]:
    """``parts`` as they lie in ``buffer``, in which ``pieces`` are put end to end."""
    found, at, remaining = [], 0, iter(pieces)
    whole, first, last = next(remaining)
    for part in parts:
        if part.buffer is not whole:
            at += last - first
            whole, first, last = next(remaining)
        values, keys = (_shifted(spans, at - first) for spans in (part.values, part.keys))
        headers = part.headers
        if isinstance(headers, SlicedHeaders):
            headers = SlicedHeaders(buffer, _shifted(headers.spans, at - first))
        found.append(replace(part, buffer=buffer, values=values, keys=keys, headers=headers))
    return found


def _shifted(spans: NDArray[np.int64], shift: int) -> NDArray[np.int64]:
    return np.where(spans < 0, spans, spans + shift) if shift else spans


def _headers(parts: Sequence[RecordColumns], buffer: bytes) -> Mapping[int, WrittenHeaders]:
    """Those of ``parts``, which all lie in ``buffer``: as slices of it, unless some were laid out row by row."""
    sliced = [part.headers.spans for part in parts if isinstance(part.headers, SlicedHeaders)]
    if len(sliced) == len(parts):
        return SlicedHeaders(buffer, np.concatenate(sliced))
    found, at = {}, 0
    for part in parts:
        found.update({at + row: headers for row, headers in part.headers.items()})
        at += len(part)
    return found


def _spans(parts: list[bytes | None], at: int) -> tuple[NDArray[np.int64], int]:
    """Spans of ``parts`` laid end to end from position ``at``; shape (n, 2), and the position after them."""
    lengths = np.array([-1 if part is None else len(part) for part in parts], dtype=np.int64)
    ends = at + np.cumsum(np.maximum(lengths, 0))
    spans = np.stack([ends - lengths, ends], axis=1) if len(parts) else np.empty((0, 2), dtype=np.int64)
    spans[lengths < 0] = NULL_SPAN
    return spans, int(ends[-1]) if len(parts) else at
