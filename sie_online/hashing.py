"""64-bit hashes of identifiers: FNV-1a over the UTF-8 bytes, finished with MurmurHash3's mixer.

Zero is kept free: it means "absent". Sources, and the same for whole columns without kernels: ``text_hashes``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.jit import kernel
from sie_online.text_hashes import MIX_1, MIX_2, OFFSET_BASIS, PRIME, SHIFT


@kernel
def mix(h: Any) -> Any:
    """Spread the bits of a uint64 (fmix64)."""
    h ^= h >> SHIFT
    h *= MIX_1
    h ^= h >> SHIFT
    h *= MIX_2
    h ^= h >> SHIFT
    return h


@kernel
def hash_span(data: Any, first: int, last: int) -> Any:
    """Hash of ``data[first:last]`` (uint8), never 0."""
    h = OFFSET_BASIS
    for at in range(first, last):
        h = (h ^ np.uint64(data[at])) * PRIME
    return max(mix(h), np.uint64(1))


@kernel
def combine(a: Any, b: Any) -> Any:
    """Key of an ordered pair of uint64 keys, never 0."""
    return max(mix(a * PRIME ^ mix(b)), np.uint64(1))


@kernel
def hash_column(offsets: Any, data: Any, out: Any) -> None:
    """Hash every string of an Arrow column; an empty one (how null arrives here) hashes to 0.

    Args:
        offsets: int32 of shape (n + 1,).
        data: uint8, the column's bytes.
        out: uint64 of shape (n,), written.
    """
    for row in range(out.shape[0]):
        first, last = offsets[row], offsets[row + 1]
        out[row] = hash_span(data, first, last) if last > first else np.uint64(0)
