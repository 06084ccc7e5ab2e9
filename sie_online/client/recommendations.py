"""What to show each user now: the newest list that a shard has made of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from sie_online.client.compacted import CompactedReader, short, text_of, whole
from sie_online.client.entities import parse_key
from sie_online.client.reader import Message
from sie_online.contracts import INT64_MAX, PARTITION_MAX

WHAT = "list of recommendations"
LIST_BYTES = 1 << 20
"""A longer value is not parsed; as long as a message that a worker may send."""


class Recommended(NamedTuple):
    """A user's list; the fields are those of ``sie_online.statements.Recommendations``."""

    user_id: str
    items: tuple[str, ...]
    event_time_ms: int
    partition: int
    offset: int
    generation: int


class RecommendationTable:
    """The newest list of each user, held in memory: ``table["4711"].items``, the best first.

    A user's lists come from one shard, but for those from before the number of partitions was changed: of several
    shards' lists the one after the latest event counts. Of one shard's, the highest generation's newest; a list of a
    lower generation than was read before is of a worker that had lost the shard, and is passed over.
    """

    def __init__(self) -> None:
        self._lists: dict[str, dict[int, Recommended]] = {}
        self._generations: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._lists)

    def __iter__(self) -> Iterator[Recommended]:
        return (self[user_id] for user_id in self._lists)

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._lists

    def __getitem__(self, user_id: str) -> Recommended:
        """Raises ``KeyError`` for a user without a list."""
        return max(self._lists[user_id].values(), key=lambda made: (made.event_time_ms, made.partition))

    def get(self, user_id: str) -> tuple[str, ...]:
        """The user's items, the best first; none for a user without a list."""
        return self[user_id].items if user_id in self else ()

    def apply(self, key: bytes | None, value: bytes | None, partition: int) -> str:
        """Take one record of ``partition`` in; a null value erases. Returns whose list it is.

        Raises ``ValueError`` if it is no list, and changes nothing.
        """
        user_id = parse_user(key)
        self.put(user_id, partition, None if value is None else parse_recommendations(user_id, value))
        return user_id

    def put(self, user_id: str, partition: int, made: Recommended | None) -> None:
        """Take in what the shard of ``partition`` has made for the user; None: forget what it had made."""
        if made is not None and made.generation < self._generations.get(partition, 0):
            return
        lists = self._lists.setdefault(user_id, {})
        before = lists.get(partition)
        if made is None:
            lists.pop(partition, None)
        else:
            self._generations[partition] = made.generation
            if before is None or (before.generation, before.offset) <= (made.generation, made.offset):
                lists[partition] = made
        if not lists:
            del self._lists[user_id]


class RecommendationReader(CompactedReader):
    """Reads ``sie.recs.v1`` into ``table``; workers write it under ``recommend.publish``.

    Example::

        async with RecommendationReader(broker="127.0.0.1:9092") as recommendations:
            await recommendations.refresh()
            print(recommendations.table.get("4711"))

    A record that is no list is counted (``unreadable``) and passed over; with ``strict`` it is an error.

    Raises, on entering, what ``TopicReader`` raises.
    """

    topic_setting = "recs"
    what = WHAT
    table_type = RecommendationTable
    table: RecommendationTable

    def take_in(self, record: Message) -> None:
        """Apply ``record`` to the table."""
        self.table.apply(record.key, record.value, record.partition)


def parse_user(key: bytes | None) -> str:
    """The user of ``user:<id>``; raises ``ValueError`` for another key."""
    name, _ = parse_key(key)
    if name.kind != "user":
        raise ValueError("its key names no user")
    return name.id


def parse_recommendations(user_id: str, value: bytes) -> Recommended:
    """The user's list in a JSON value; unknown fields are ignored. Raises ``ValueError`` if there is none."""
    try:
        fields = json.loads(short(value, LIST_BYTES))
        made = Recommended(
            user_id=text_of(fields["user_id"]),
            items=_items(fields["items"]),
            event_time_ms=whole(fields["event_time_ms"], INT64_MAX),
            partition=whole(fields["partition"], PARTITION_MAX),
            offset=whole(fields["offset"], INT64_MAX),
            generation=whole(fields["generation"], INT64_MAX),
        )
    except KeyError as error:
        raise ValueError(f"field {error} is missing") from None
    except (TypeError, RecursionError):
        raise ValueError("the value is no JSON object of a user, items and a place") from None
    if made.user_id != user_id:
        raise ValueError("key and value name different users")
    return made


def _items(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError
    return tuple(map(text_of, value))
