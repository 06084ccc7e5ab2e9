"""Kafka's default placement of a keyed record: murmur2 of the key, modulo the number of partitions.

The same numbers as the Java client's ``Utils.murmur2`` and aiokafka's (which takes 20 µs a key in pure Python:
too slow to replay a log at full rate).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.events import Text
from sie_online.jit import kernel

SEED = 0x9747B28C
M = 0x5BD1E995
MASK = 0xFFFFFFFF


@kernel
def murmur2(data: NDArray[np.uint8]) -> int:
    """MurmurHash2 (32 bit, unsigned) of a uint8 array."""
    n = len(data)
    h = np.uint64((SEED ^ n) & MASK)
    m, mask = np.uint64(M), np.uint64(MASK)
    tail = n - n % 4
    for at in range(0, tail, 4):
        k = np.uint64(data[at]) | np.uint64(data[at + 1]) << np.uint64(8)
        k |= np.uint64(data[at + 2]) << np.uint64(16) | np.uint64(data[at + 3]) << np.uint64(24)
        k = (k * m) & mask
        k ^= k >> np.uint64(24)
        k = (k * m) & mask
        h = ((h * m) & mask) ^ k
    if n % 4 == 3:
        h ^= np.uint64(data[tail + 2]) << np.uint64(16)
    if n % 4 >= 2:
        h ^= np.uint64(data[tail + 1]) << np.uint64(8)
    if n % 4 >= 1:
        h ^= np.uint64(data[tail])
        h = (h * m) & mask
    h ^= h >> np.uint64(13)
    h = (h * m) & mask
    h ^= h >> np.uint64(15)
    return int(h)


def partition_of(key: bytes, partitions: int) -> int:
    """Partition in ``range(partitions)`` that Kafka's default partitioner gives a record with this key."""
    return (int(murmur2(np.frombuffer(key, dtype=np.uint8))) & 0x7FFFFFFF) % partitions


def partitions_of(keys: Text, partitions: int) -> NDArray[np.int64]:
    """``partition_of`` of many keys at once; shape (n,)."""
    placed = np.empty(len(keys.offsets) - 1, np.int64)
    _place_all(keys.data, keys.offsets, partitions, placed)
    return placed


@kernel
def _place_all(data: Any, offsets: Any, partitions: int, placed: Any) -> None:
    for row in range(placed.shape[0]):
        placed[row] = (murmur2(data[offsets[row] : offsets[row + 1]]) & 0x7FFFFFFF) % partitions


class Placer:
    """``partition_of`` that remembers: a user's events come again and again."""

    REMEMBERED = 1 << 20  # keys; about 100 MB, then it starts over

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions
        self._known = {b"": partition_of(b"", partitions)}  # compiles here, not at the first record

    def __call__(self, key: bytes) -> int:
        """Partition of ``key``."""
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= self.REMEMBERED:
                self._known.clear()
            found = self._known[key] = partition_of(key, self.partitions)
        return found
