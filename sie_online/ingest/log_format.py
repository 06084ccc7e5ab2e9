"""Records of Kafka's message format 2, found in place: spans, offsets and timestamps, without an object per record.

The walk only ever says "these are the records" or "unsure": whatever is not plainly right is left to the consumer's own
parser. Nothing outside the batches is read, whatever the lengths in them say, and what it is sure of equals what that
parser gives: both are tested. Source: Apache Kafka, `DefaultRecordBatch` and `DefaultRecord`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.jit import kernel

HEADER_BYTES, AFTER_LENGTH = 61, 12
BASE_OFFSET_AT, LENGTH_AT, ATTRIBUTES_AT, LAST_DELTA_AT, FIRST_MS_AT, NEWEST_MS_AT, COUNT_AT = 0, 8, 21, 23, 27, 35, 57
"""Numbers in a batch's header, big-endian."""
STAMPED = 0x08
"""In the attributes' last byte: the broker has set the timestamps; the newest is everyone's."""
SMALLEST_RECORD = 7
"""Bytes: length, attributes, two deltas, no key, no value, no headers."""
NOWHERE = -1
CONTINUED = 0x80
"""Set in a byte of a varint that is not its last; set in no byte of ASCII."""
VARINT_BITS = 63
"""Nine bytes. Ten are needed by no length, and only by timestamps a hundred million years apart."""

AT, BATCH, BATCH_END, LEFT, FLOOR = range(5)
"""A place in a log: where the next record begins, where its batch begins and ends, how many records that has left, and
the offset below which records are passed over."""
FULL, ENDED, UNSURE = range(3)
"""Why a walk ended: there is no room for more; there is no more; what comes next is not plain."""


@kernel
def enter(buffer: Any, batch: int, floor: int, place: Any) -> None:
    """Set ``place`` to the first record of the batch that begins at ``batch`` in ``buffer``."""
    place[AT] = batch + HEADER_BYTES
    place[BATCH] = batch
    place[BATCH_END] = batch + AFTER_LENGTH + _number(buffer, batch + LENGTH_AT, 4)
    place[LEFT] = max(_number(buffer, batch + COUNT_AT, 4), 0)
    place[FLOOR] = floor


@kernel
def walk(
    buffer: Any,
    end: int,
    place: Any,
    most_bytes: int,
    values: Any,
    keys: Any,
    offsets: Any,
    stamps_ms: Any,
    headers: Any,
) -> tuple[int, int, int, int]:
    """Lay records out until the columns are full, the values are long enough, none is left, or one is not plain.

    Args:
        buffer: uint8, with whole, uncompressed batches end to end, at rising offsets.
        end: where the last of them ends.
        place: int64 of shape (5,), where to begin; set to where it ended.
        most_bytes: no further once values have so many bytes together.
        values, keys, headers: int64 of shape (n, 2), written: spans in ``buffer``; (-1, -1) is null, or no headers.
        offsets, stamps_ms: int64 of shape (n,), written.

    Returns:
        Rows written, bytes of their values, how many of them have headers, and why it ended.
    """
    rows = n_bytes = n_headed = 0
    while True:
        batch = place[BATCH]
        is_stamped = (buffer[batch + ATTRIBUTES_AT + 1] & STAMPED) != 0
        base, last = _number(buffer, batch + BASE_OFFSET_AT, 8), _number(buffer, batch + LAST_DELTA_AT, 4)
        base_ms = _number(buffer, batch + (NEWEST_MS_AT if is_stamped else FIRST_MS_AT), 8)
        while place[LEFT] > 0:
            if rows == len(offsets) or n_bytes >= most_bytes:
                return rows, n_bytes, n_headed, FULL
            n_heads, row = _record(buffer, place, base, last, rows, values, keys, offsets, stamps_ms, headers)
            if n_heads < 0:
                return rows, n_bytes, n_headed, UNSURE
            if row == rows:
                continue
            stamps_ms[rows] = base_ms if is_stamped else base_ms + stamps_ms[rows]
            n_bytes += values[rows, 1] - values[rows, 0]
            n_headed += n_heads > 0
            rows = row
        if place[AT] != place[BATCH_END]:
            return rows, n_bytes, n_headed, UNSURE
        if place[AT] >= end:
            return rows, n_bytes, n_headed, ENDED
        enter(buffer, place[AT], base + last + 1, place)


@kernel
def _record(
    buffer: Any,
    place: Any,
    base: int,
    last_delta: int,
    row: int,
    values: Any,
    keys: Any,
    offsets: Any,
    stamps_ms: Any,
    headers: Any,
) -> tuple[int, int]:
    """Read the record at ``place`` and move there behind it: how many headers it has (-1: unsure), and the next row.

    That is ``row`` again where the record is passed over. Its timestamp is left relative.
    """
    size, body = _varint(buffer, place[AT], place[BATCH_END])
    last = body + size
    if not (0 <= body < last <= place[BATCH_END] and buffer[body] < CONTINUED):
        return -1, row
    delta_ms, at = _varint(buffer, body + 1, last)
    delta, at = _varint(buffer, at, last)
    key_size, key = _varint(buffer, at, last)
    value_size, value = _varint(buffer, key + max(key_size, 0), last)
    heading = value + max(value_size, 0)
    n_heads, at = _varint(buffer, heading, last)
    if n_heads > 0:
        at = _after_headers(buffer, n_heads, at, last)
    if n_heads < 0 or at != last or not 0 <= delta <= last_delta:
        return -1, row
    place[AT] = last
    place[LEFT] -= 1
    offset = base + delta
    if offset < place[FLOOR]:
        return n_heads, row
    place[FLOOR] = offset + 1
    _note(values, row, value, value_size)
    _note(keys, row, key, key_size)
    _note(headers, row, heading, last - heading if n_heads > 0 else NOWHERE)
    offsets[row] = offset
    stamps_ms[row] = delta_ms
    return n_heads, row + 1


@kernel
def _after_headers(buffer: Any, n_heads: int, at: int, last: int) -> int:
    """Where ``n_heads`` headers end; NOWHERE unless they are whole, and their names ASCII (which is valid UTF-8)."""
    while n_heads > 0 and at >= 0:
        size, name = _varint(buffer, at, last)
        if name < 0 or not 0 <= size <= last - name:
            return NOWHERE
        for at in range(name, name + size):
            if buffer[at] >= CONTINUED:
                return NOWHERE
        size, value = _varint(buffer, name + size, last)
        at = value + max(size, 0)
        n_heads -= 1
    return at


@kernel
def _varint(buffer: Any, at: int, end: int) -> tuple[int, int]:
    """The zigzag number at ``at`` and where it ends; 0 and NOWHERE unless it lies in ``buffer[0:end]``."""
    number, shift = 0, 0
    while 0 <= at < end and shift < VARINT_BITS:
        byte: int = np.int64(buffer[at])  # type: ignore[assignment]  # signed, as all else
        at += 1
        number |= (byte & ~CONTINUED) << shift
        if byte < CONTINUED:
            return number >> 1 ^ -(number & 1), at
        shift += 7
    return 0, NOWHERE


@kernel
def _number(buffer: Any, at: int, size: int) -> int:
    """The signed big-endian number of ``size`` bytes at ``at``."""
    number = -1 if buffer[at] >= 0x80 else 0
    for step in range(size):
        byte: int = np.int64(buffer[at + step])  # type: ignore[assignment]  # signed, as all else
        number = number << 8 | byte
    return number


@kernel
def _note(spans: Any, row: int, at: int, size: int) -> None:
    spans[row, 0] = at if size >= 0 else NOWHERE
    spans[row, 1] = at + size if size >= 0 else NOWHERE
