"""Hashes of whole Arrow columns of text, with numpy alone: the same 64 bits as ``hashing`` gives in kernels.

FNV-1a over the UTF-8 bytes, finished with MurmurHash3's mixer; never 0, which means "absent". Sources: Fowler, Noll &
Vo (FNV-1a, 64 bit); Appleby (fmix64). Integer arithmetic only, so the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

OFFSET_BASIS = np.uint64(0xCBF29CE484222325)
PRIME = np.uint64(0x100000001B3)
MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
SHIFT = np.uint64(33)

Hashes = NDArray[np.uint64]


def hash_texts(column: Any) -> Hashes:
    """Hash of every text of an Arrow array (chunked or not, in a dictionary or not), (n,); of null or empty text 0.

    As many passes over the column as its longest text has bytes, each over those that are as long: fast for ids.

    Raises:
        TypeError: the column does not hold text.
    """
    if isinstance(column, pa.ChunkedArray):
        return np.concatenate([np.empty(0, np.uint64), *map(hash_texts, column.chunks)])
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise TypeError(f"it holds {column.type}, not text")
    size = np.int64 if pa.types.is_large_string(column.type) else np.int32
    _, ends, data = column.buffers()
    if not len(column) or data is None:
        return np.zeros(len(column), np.uint64)
    at = np.frombuffer(ends, size)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    length = np.where(column.is_valid().to_numpy(zero_copy_only=False), np.diff(at), 0)
    return _hash_spans(at[:-1], length, np.frombuffer(data, np.uint8))


def mix(hashes: Hashes) -> Hashes:
    """``hashes`` with their bits spread (fmix64), a new array."""
    h = hashes ^ (hashes >> SHIFT)
    h *= MIX_1
    h ^= h >> SHIFT
    h *= MIX_2
    h ^= h >> SHIFT
    return h


def _hash_spans(first: NDArray[np.int64], length: NDArray[np.int64], data: NDArray[np.uint8]) -> Hashes:
    """Hash of each ``data[first:first + length]``, byte by byte for all of them at once, the longest in front."""
    order = np.argsort(-length, kind="stable")
    first, shorter = first[order], -length[order]
    h = np.full(len(order), OFFSET_BASIS)
    for at in range(int(-shorter[0])):
        longer = int(np.searchsorted(shorter, -at))
        h[:longer] ^= data[first[:longer] + at]
        h[:longer] *= PRIME
    out = np.empty_like(h)
    out[order] = np.where(shorter < 0, np.maximum(mix(h), np.uint64(1)), np.uint64(0))
    return out
