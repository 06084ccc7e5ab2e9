"""Many small keyed records at once: each where its key belongs, laid out as Kafka's record batches hold them.

The bytes are those of a batch of format 2 behind its header, as the producer's own builder would write them
(kafka.apache.org/documentation, "Record"). Built one by one, in Python, a record costs more than all it says.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.events import Text
from sie_online.ingest.headers import Headers, encoded
from sie_online.ingest.partitioner import partitions_of
from sie_online.jit import kernel

HEADER_BYTES = 61
"""Of a record batch."""
RECORD_BYTES = 22
"""A record takes at most so much beside key, value and headers: four varints of five bytes each, two of one."""
SEVEN, SEVEN_BITS, MORE = np.uint64(7), np.uint64(0x7F), np.uint64(0x80)

FILLED = np.dtype([("partition", "i8"), ("records", "i8"), ("end", "i8")])


class Filled(NamedTuple):
    """The records of one batch: ``n_records`` of them, all with the batch's own timestamp."""

    partition: int
    n_records: int
    records: memoryview


def fill_batches(keys: Text, values: Text, partitions: int, limit: int, headers: Headers = ()) -> Iterator[Filled]:
    """Records of ``keys`` and ``values`` (an empty value is null), by partition, in order within each.

    All have the same ``headers``. Batches have at most ``limit`` bytes with their own header, unless one record alone
    has more.
    """
    placed = partitions_of(keys, partitions)
    n, heads = len(placed), np.frombuffer(encoded(headers), np.uint8)
    filled = np.zeros(n, FILLED)
    data = np.empty(keys.data.size + values.data.size + n * (RECORD_BYTES + heads.size), np.uint8)
    order = np.argsort(placed, kind="stable")
    count = fill(
        keys.offsets, keys.data, values.offsets, values.data, heads, placed, order, limit - HEADER_BYTES, filled, data
    )
    first, written = 0, data.data
    for partition, records, end in filled[:count].tolist():
        yield Filled(partition, records, written[first:end])
        first = end


@kernel
def fill(
    key_at: NDArray[np.int32],
    keys: Any,
    value_at: NDArray[np.int32],
    values: Any,
    heads: Any,
    placed: Any,
    order: Any,
    limit: int,
    filled: Any,
    out: Any,
) -> int:
    """Write all records in ``order`` to ``out``; returns how many batches they fill, which ``filled`` tells apart."""
    count, first, end = 0, 0, 0
    for at in range(order.shape[0]):
        row = order[at]
        key_bytes, value_bytes = key_at[row + 1] - key_at[row], value_at[row + 1] - value_at[row]
        number = filled[count - 1].records if count > 0 else 0
        size = record_size(number, key_bytes, value_bytes, heads.size)
        is_full = end - first + varint_size(size) + size > limit
        if count == 0 or filled[count - 1].partition != placed[row] or is_full:
            filled[count].partition = placed[row]
            count, first, number = count + 1, end, 0
            size = record_size(number, key_bytes, value_bytes, heads.size)
        end = write_varint(size, out, end)
        out[end] = out[end + 1] = 0  # attributes, and the time since the batch's
        end = write_varint(number, out, end + 2)
        end = write_varint(key_bytes, out, end)
        end = copy_bytes(keys, key_at[row], key_bytes, out, end)
        said_bytes = value_bytes if value_bytes > 0 else -1
        end = write_varint(said_bytes, out, end)
        end = copy_bytes(values, value_at[row], value_bytes, out, end)
        end = copy_bytes(heads, 0, heads.size, out, end)
        filled[count - 1].records = number + 1
        filled[count - 1].end = end
    return count


@kernel
def record_size(number: int, key_bytes: int, value_bytes: int, head_bytes: int) -> int:
    """Size of the ``number``-th record of a batch behind the varint that states it; a value of 0 bytes is null."""
    lengths = varint_size(number) + varint_size(key_bytes) + varint_size(value_bytes)  # -1 takes no more than 0
    return int(lengths + key_bytes + value_bytes + head_bytes + 2)


@kernel
def zigzag(number: int) -> Any:
    """An int64 as the uint64 that its varint writes."""
    return np.uint64((np.int64(number) << 1) ^ (np.int64(number) >> 63))


@kernel
def varint_size(number: int) -> int:
    """Bytes of a number as a varint."""
    rest, size = zigzag(number) >> SEVEN, 1
    while rest > 0:
        rest >>= SEVEN
        size += 1
    return size


@kernel
def write_varint(number: int, out: Any, end: int) -> int:
    """Write a number as a varint; returns where it ends."""
    rest = zigzag(number)
    while rest > SEVEN_BITS:
        out[end] = np.uint8(rest & SEVEN_BITS | MORE)
        rest >>= SEVEN
        end += 1
    out[end] = np.uint8(rest)
    return int(end + 1)


@kernel
def copy_bytes(data: Any, first: int, size: int, out: Any, end: int) -> int:
    """Copy ``data[first : first + size]`` to ``out[end:]``; returns where it ends."""
    for at in range(np.uint64(size)):  # indices that cannot be negative: a third of the time
        out[np.uint64(end) + at] = data[np.uint64(first) + at]
    return int(end + size)
