"""Published lists of recommendations against those of an undisturbed run: what a reader has in the end, and that a
replay repeats what was said of an event and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from sie_online.client.recommendations import RecommendationTable, Recommended, parse_recommendations

SHOWN = 5

ListRecord = tuple[bytes | None, bytes | None, int]
"""Key, value and partition of a record."""


class PublishedLists(NamedTuple):
    """What records of recommendations say, without their owners' generations.

    Attributes:
        records: how many there are.
        taken_back: how many of them are nulls.
        newest: by user, as a reader has them in the end.
        contradictions: of one event another list than was said before, by partition and offset.
        overtaken: users whose last record is not the one that a reader keeps, which compaction would lose.
    """

    records: int
    taken_back: int
    newest: Mapping[str, Recommended]
    contradictions: list[str]
    overtaken: list[str]


def read_lists(records: Iterable[ListRecord]) -> PublishedLists:
    """What ``records`` say, each partition's in the order of its log."""
    table, last = RecommendationTable(), dict[tuple[str, int], Recommended | None]()
    said, contradictions, n, nulls = dict[tuple[int, int], Recommended](), list[str](), 0, 0
    for key, value, partition in records:
        n += 1
        user = table.apply(key, value, partition)
        made = last[user, partition] = None if value is None else _plain(parse_recommendations(user, value))
        nulls += made is None
        if made is not None and said.setdefault((partition, made.offset), made) != made:
            contradictions.append(f"{partition}/{made.offset}")
    newest = {made.user_id: _plain(made) for made in table}
    overtaken = [user for (user, partition), made in last.items() if made != _of(newest, user, partition)]
    return PublishedLists(n, nulls, newest, contradictions, overtaken)


def compare_lists(found: PublishedLists, expected: PublishedLists) -> list[str]:
    """Everything that is wrong with ``found``; nothing if all is well."""
    return [f"lists: {problem}" for problem in _compare(found, expected)]


def _compare(found: PublishedLists, expected: PublishedLists) -> Iterator[str]:
    if places := found.contradictions:
        yield f"{len(places)} repeated ones differ from the ones before, such as {', '.join(places[:SHOWN])}"
    users = sorted(found.newest.keys() | expected.newest.keys())
    if wrong := [user for user in users if found.newest.get(user) != expected.newest.get(user)]:
        has, wants = found.newest.get(wrong[0]), expected.newest.get(wrong[0])
        yield f"{len(wrong)} of {len(users)} users have another than they should, such as {has} instead of {wants}"


def _plain(made: Recommended) -> Recommended:
    return made._replace(generation=0)


def _of(newest: Mapping[str, Recommended], user: str, partition: int) -> Recommended | None:
    made = newest.get(user)
    return made if made is not None and made.partition == partition else None
