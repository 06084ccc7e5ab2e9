"""Lists of recommendations that wait: the newest of each user, as the records that readers decode."""

from __future__ import annotations

import numpy as np

from sie_online.ingest.events import Text
from sie_online.shard.lists import ERASED, MADE, MadeLists, WaitingLists
from sie_online.statements import decode_recommendations

PARTITION, GENERATION = 3, 7
USERS = Text.of([b"ann", "été".encode(), b'say "hi"'])

Made = tuple[int, int, list[bytes] | None]  # row of the user, offset, items


def lists(*made: Made) -> MadeLists:
    rows = [(user, offset, offset * 1_000, ERASED if items is None else len(items)) for user, offset, items in made]
    return MadeLists(np.array(rows, MADE), Text.of([item for _, _, items in made for item in items or ()]))


def said(waiting: WaitingLists) -> dict[bytes, list[str] | None]:
    records = list(waiting.pop(GENERATION))
    assert len({key for key, _ in records}) == len(records)
    return {key: None if value is None else decode_recommendations(value).items for key, value in records}


def test_a_list_becomes_a_record_that_names_its_place() -> None:
    waiting = WaitingLists(PARTITION)
    waiting.take(lists((1, 5, [b"a", b'"\\\n', "日".encode()])), USERS)
    ((key, value),) = waiting.pop(GENERATION)
    made = decode_recommendations(value or b"")
    assert key == "user:été".encode()
    assert (made.user_id, made.items) == ("été", ["a", '"\\\n', "日"])
    assert (made.partition, made.offset, made.event_time_ms, made.generation) == (PARTITION, 5, 5_000, GENERATION)


def test_only_the_newest_list_of_each_user_is_said_and_that_once() -> None:
    waiting = WaitingLists(PARTITION)
    waiting.take(lists((0, 1, [b"a", b"b"]), (2, 2, []), (0, 3, [b"c"])), USERS)
    waiting.take(lists((2, 4, [b"d", b"e"])), USERS)
    assert len(waiting) == 2
    assert said(waiting) == {b"user:ann": ["c"], b'user:say "hi"': ["d", "e"]}
    assert len(waiting) == 0
    assert said(waiting) == {}


def test_an_erasure_takes_the_list_back_and_later_events_make_another() -> None:
    waiting = WaitingLists(PARTITION)
    waiting.take(lists((0, 1, [b"a"]), (0, 2, None)), USERS)
    assert said(waiting) == {b"user:ann": None}
    waiting.take(lists((0, 1, [b"a"]), (0, 2, None), (0, 3, [b"b"])), USERS)
    assert said(waiting) == {b"user:ann": ["b"]}
