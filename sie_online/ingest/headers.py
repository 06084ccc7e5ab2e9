"""Headers of records: few have any, and hardly anybody asks for them, so they are parsed only then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Headers = Sequence[tuple[str, bytes]]
WrittenHeaders = Headers | bytes
"""A record's headers, or the bytes that they are in the log (Kafka's `DefaultRecord`), found to be whole."""


class HeadersByRow(Mapping[int, Headers]):
    """Headers of the rows that have any."""

    def __init__(self, written: Mapping[int, WrittenHeaders]) -> None:
        self._written = written

    def __getitem__(self, row: int) -> Headers:
        found = self._written[row]
        return _parsed(found) if isinstance(found, bytes) else found

    def __iter__(self) -> Iterator[int]:
        return iter(self._written)

    def __len__(self) -> int:
        return len(self._written)


class SlicedHeaders(Mapping[int, WrittenHeaders]):
    """Headers that lie in ``buffer`` at int64 ``spans`` (n, 2) by row, (-1, -1) where there are none."""

    def __init__(self, buffer: bytes, spans: NDArray[np.int64]) -> None:
        self._buffer = buffer
        self.spans = spans

    def __getitem__(self, row: int) -> WrittenHeaders:
        if not 0 <= row < len(self.spans) or self.spans[row, 0] < 0:
            raise KeyError(row)
        first, last = self.spans[row]
        return self._buffer[first:last]

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self.spans[:, 0] >= 0).tolist())

    def __len__(self) -> int:
        return int(np.count_nonzero(self.spans[:, 0] >= 0))


def encoded(headers: Headers) -> bytes:
    """``headers`` as the bytes that they are in the log."""
    parts = [_encoded_varint(len(headers))]
    for name, value in headers:
        for text in (name.encode(), value):
            parts += [_encoded_varint(len(text)), text]
    return b"".join(parts)


def _encoded_varint(number: int) -> bytes:
    """A number that is not negative, as a zigzag varint."""
    rest, found = number << 1, bytearray()
    while rest >= 0x80:
        found.append(rest & 0x7F | 0x80)
        rest >>= 7
    found.append(rest)
    return bytes(found)


def _parsed(written: bytes) -> Headers:
    count, at = _varint(written, 0)
    headers = []
    for _ in range(count):
        name, at = _text(written, at)
        value, at = _text(written, at)
        headers.append(((name or b"").decode(), value))
    return tuple(headers)  # type: ignore[arg-type]  # a value may be null; that is hardly ever so, and nobody's matter


def _text(written: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = _varint(written, at)
    return (None, at) if size < 0 else (written[at : at + size], at + size)


def _varint(written: bytes, at: int) -> tuple[int, int]:
    """The zigzag number at ``at``, and where it ends."""
    number = shift = 0
    while written[at] >= 0x80:
        number |= (written[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    number |= written[at] << shift
    return number >> 1 ^ -(number & 1), at + 1
