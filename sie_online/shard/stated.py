"""Statements about entities that wait: the newest of each, and all of them as keys and JSON values in one pass.

Owns how they wait and the bytes they become; what these mean is `sie_online.statements`'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from sie_online.ingest.events import EventBatch, Text
from sie_online.ingest.keyed import copy_bytes
from sie_online.jit import kernel
from sie_online.shard.digits import NUMBER_BYTES, write_decimal, write_whole
from sie_online.shard.entities import CATEGORY, ERASED_USER, ITEM, KINDS
from sie_online.statements import EntityState, key

WAITING = np.dtype(
    [
        ("hash", "u8"),  # of the entity's id
        ("n_events", "i8"),
        ("sums", "f8", (3,)),  # weight, noise alpha, noise beta
        ("offset", "i8"),
        ("version", "i8"),  # which of the model versions, by number; `ERASED`: there is no statement any more
    ]
)
ERASED = -1
FIRST_ROOM = 256

_NAMES = [b'"%b":' % name.encode() for name in EntityState.__struct_fields__]
LABELS = Text.of([b"{" + _NAMES[0], *(b"," + name for name in _NAMES[1:]), b"}"])
"""What stands before each field of a statement, in order, and after the last."""
N_EVENTS, SUM_WEIGHT, NOISE_ALPHA, NOISE_BETA, SOURCE_PARTITION, SOURCE_OFFSET, MODEL_VERSION = range(len(_NAMES))
ONE = np.uint64(1)


@dataclass(frozen=True, slots=True)
class Statements:
    """Keys and values of ``sie.entities.v1``, at most one of each entity. An empty value is a null: to be forgotten."""

    keys: Text
    values: Text

    def __len__(self) -> int:
        return len(self.keys.offsets) - 1

    def __iter__(self) -> Iterator[tuple[bytes, bytes | None]]:
        return ((name, value or None) for name, value in zip(self.keys.values(), self.values.values(), strict=True))


NO_STATEMENTS = Statements(Text.of([]), Text.of([]))


class Column(NamedTuple):
    """A `Text` as kernels take it."""

    at: NDArray[np.int32]
    data: NDArray[np.uint8]


class Waiting(NamedTuple):
    """Statements that wait, in order of their entities' first ones; ``used[0]`` counts them."""

    used: NDArray[np.int64]
    rows: NDArray[np.void]
    key_at: NDArray[np.int32]
    keys: NDArray[np.uint8]
    places: NDArray[np.int32]  # open addressing by hash, at most half full: row + 1; 0: free


class StatedEntities:
    """Takes statements of shard ``partition`` and keeps the newest of each entity until it is asked for them."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        halves = [key(kind, b"\0", partition).split(b"\0") for kind in KINDS]
        self._prefixes, self._suffixes = (_column(Text.of(half)) for half in zip(*halves, strict=True))
        self._around = max(len(before) + len(after) for before, after in halves)
        self._versions: list[bytes] = []
        self._waiting = _new_waiting(0, 0)
        self._make_room(FIRST_ROOM, FIRST_ROOM)

    def __len__(self) -> int:
        """Statements that wait."""
        return int(self._waiting.used[0])

    def take(self, stated: NDArray[np.void], events: EventBatch, version: str) -> None:
        """Keep ``stated`` (dtype `output.STATED_ENTITY`), about ``events``; ``version`` is the model's in force."""
        ids = (events.user_id, events.item_id, events.category_id)
        self._make_room(len(stated), sum(text.data.size for text in ids) + len(stated) * self._around)
        users, items, categories = (_column(text) for text in ids)
        name = msgspec.json.encode(version)
        if self._versions[-1:] != [name]:
            self._versions.append(name)
        keep(
            self._waiting,
            stated,
            events.columns,
            users,
            items,
            categories,
            self._prefixes,
            self._suffixes,
            len(self._versions) - 1,
        )

    def pop(self) -> Statements:
        """What waits, which waits no longer."""
        waiting, n = self._waiting, len(self)
        longest = max((len(name) for name in self._versions), default=0)
        versions = Text.of(self._versions)
        data = np.empty(n * (LABELS.data.size + 6 * NUMBER_BYTES + longest), np.uint8)
        at = np.zeros(n + 1, np.int32)
        write_values(waiting, _column(LABELS), self._partition, _column(versions), at, data)
        keys = Text(waiting.key_at[: n + 1].copy(), waiting.keys[: waiting.key_at[n]].copy())
        waiting.used[0] = 0
        waiting.places.fill(0)
        self._versions.clear()
        return Statements(keys, Text(at, data[: at[n]].copy()))

    def _make_room(self, rows: int, key_bytes: int) -> None:
        """So many more, whose keys have at most ``key_bytes`` together, shall find room."""
        old, n = self._waiting, len(self)
        size = int(old.key_at[n])
        if n + rows <= len(old.rows) and size + key_bytes <= len(old.keys):
            return
        new = _new_waiting(_grown(len(old.rows), n + rows), _grown(len(old.keys), size + key_bytes))
        new.used[0] = n
        new.rows[:n], new.key_at[: n + 1], new.keys[:size] = old.rows[:n], old.key_at[: n + 1], old.keys[:size]
        put_in_place(new)
        self._waiting = new


def _new_waiting(rows: int, key_bytes: int) -> Waiting:
    return Waiting(
        used=np.zeros(1, np.int64),
        rows=np.zeros(rows, WAITING),
        key_at=np.zeros(rows + 1, np.int32),
        keys=np.zeros(key_bytes, np.uint8),
        places=np.zeros(1 << (2 * rows - 1).bit_length(), np.int32),
    )


def _grown(room: int, needed: int) -> int:
    return room if needed <= room else max(2 * room, needed)


def _column(text: Text) -> Column:
    return Column(text.offsets, text.data)


@kernel
def keep(
    waiting: Waiting,
    stated: Any,
    events: Any,
    users: Column,
    items: Column,
    categories: Column,
    prefixes: Column,
    suffixes: Column,
    version: int,
) -> None:
    """Keep each of ``stated``, in place of an earlier statement about the same entity."""
    for at in range(stated.shape[0]):
        one = stated[at]
        event, name = events[one.event], waiting.key_at[waiting.used[0]]
        end = copy(prefixes, one.kind, waiting.keys, name)
        if one.kind == ITEM:
            hashed, end = event.item_key, copy(items, one.event, waiting.keys, end)
        elif one.kind == CATEGORY:
            hashed, end = event.category_key, copy(categories, one.event, waiting.keys, end)
        else:
            hashed, end = event.user_key, copy(users, one.event, waiting.keys, end)
        end = copy(suffixes, one.kind, waiting.keys, end)
        row = waiting.rows[find_or_add(waiting, hashed, end)]
        row.n_events, row.offset = np.int64(one.n_events), one.offset
        row.sums[0], row.sums[1], row.sums[2] = one.sum_weight, one.noise_alpha, one.noise_beta
        row.version = version
        if one.kind == ERASED_USER:
            row.version = ERASED


@kernel
def find_or_add(waiting: Waiting, hashed: Any, end: int) -> int:
    """Row of the entity whose key was written behind the last one's, up to ``end``."""
    n, mask = waiting.used[0], np.uint64(waiting.places.shape[0] - 1)
    place = hashed & mask
    while waiting.places[place] != 0:
        row = waiting.places[place] - 1
        if waiting.rows[row].hash == hashed and _same_key(waiting, row, end):
            return int(row)
        place = (place + ONE) & mask
    waiting.places[place] = n + 1
    waiting.rows[n].hash = hashed
    waiting.key_at[n + 1] = end
    waiting.used[0] = n + 1
    return int(n)


@kernel
def _same_key(waiting: Waiting, row: int, end: int) -> bool:
    """Whether the key of ``row`` is the one behind the last, up to ``end``."""
    first, name = waiting.key_at[row], waiting.key_at[waiting.used[0]]
    size = waiting.key_at[row + 1] - first
    if size != end - name:
        return False
    at = 0
    while at < size and waiting.keys[first + at] == waiting.keys[name + at]:
        at += 1
    return bool(at == size)


@kernel
def put_in_place(waiting: Waiting) -> None:
    """Fill the empty ``places`` of all that wait."""
    mask = np.uint64(waiting.places.shape[0] - 1)
    for row in range(waiting.used[0]):
        place = waiting.rows[row].hash & mask
        while waiting.places[place] != 0:
            place = (place + ONE) & mask
        waiting.places[place] = row + 1


@kernel
def write_values(
    waiting: Waiting, labels: Column, partition: int, versions: Column, at: NDArray[np.int32], out: Any
) -> None:
    """Write the JSON value of each that waits; the ``row``-th ends at ``at[row + 1]``, none is left empty but erasures.

    Args:
        waiting: what to write.
        labels: `LABELS`.
        partition: of the shard.
        versions: the model versions, as JSON.
        at: int32 of shape (n + 1,), written; its first is 0.
        out: uint8, large enough; written.
    """
    end = 0
    for number in range(waiting.used[0]):
        row = waiting.rows[number]
        if row.version != ERASED:
            for field in range(labels.at.shape[0] - 1):
                end = copy(labels, field, out, end)
                if field == N_EVENTS:
                    end = write_whole(row.n_events, out, end)
                elif SUM_WEIGHT <= field <= NOISE_BETA:
                    end = write_decimal(row.sums[field - SUM_WEIGHT], out, end)
                elif field == SOURCE_PARTITION:
                    end = write_whole(partition, out, end)
                elif field == SOURCE_OFFSET:
                    end = write_whole(row.offset, out, end)
                elif field == MODEL_VERSION:
                    end = copy(versions, row.version, out, end)
        at[number + 1] = end


@kernel
def copy(column: Column, row: int, out: Any, end: int) -> int:
    """Copy one string to ``out[end:]``; returns where it ends."""
    first = column.at[row]
    return copy_bytes(column.data, first, column.at[row + 1] - first, out, end)
