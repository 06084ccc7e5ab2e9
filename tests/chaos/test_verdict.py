"""The comparison of what was published finds every kind of difference."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from sie_online.statements import Recommendations, encode_recommendations
from tests.chaos.lists import ListRecord, read_lists
from tests.chaos.verdict import PublishedRows, compare
from tests.support.rows import sample_batch, weight_batch, weight_row

ROWS = [weight_row(offset, revision, event_id=f"e{offset}") for offset in range(3) for revision in range(2)]


def _list(user: str, *items: str, offset: int = 1, generation: int = 1) -> ListRecord:
    key, value = encode_recommendations(Recommendations(user, list(items), 1_000 * offset, 0, offset, generation))
    return key, value, 0


LISTS = [_list("ann", "a", "b"), _list("bob", "c", offset=2), _list("ann", "b", offset=3), (b"user:bob", None, 0)]


def _published(
    *rows: dict[str, Any], dead: list[tuple[int, int]] | None = None, lists: list[ListRecord] = LISTS
) -> PublishedRows:
    samples = pa.Table.from_batches([sample_batch(0, 1)])
    return PublishedRows(pa.Table.from_batches([weight_batch(*rows)]), samples, dead or [(0, 9)], read_lists(lists))


def test_the_same_rows_in_another_order_under_other_generations_and_repeated_are_the_same() -> None:
    found = _published(*ROWS[::-1], *({**row, "generation": 7} for row in ROWS))

    assert compare(found, _published(*ROWS)) == []


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        (ROWS[:-1], "1 rows are missing"),
        ([*ROWS, weight_row(9)], "1 rows should not be there"),
        ([{**ROWS[0], "weight": math.nextafter(ROWS[0]["weight"], 2.0)}, *ROWS[1:]], "undisturbed run's in weight"),
        ([{**ROWS[0], "label": 1}, *ROWS[1:]], "undisturbed run's in label"),
        ([{**ROWS[0], "event_id": "other"}, *ROWS[1:]], "undisturbed run's in event_id"),
        ([*ROWS, {**ROWS[0], "weight": 5.0}], "repeated rows differ from the ones before in weight"),
        ([*ROWS, {**ROWS[0], "label": 0}], "repeated rows differ from the ones before in label"),
    ],
)
def test_a_difference_is_found(changed: list[dict[str, Any]], finding: str) -> None:
    problems = compare(_published(*changed), _published(*ROWS))

    assert any(finding in problem for problem in problems), problems


def test_lists_that_a_replay_or_a_zombie_repeats_are_the_same() -> None:
    replayed = [*LISTS[:2], *(_list("ann", *items, offset=n, generation=2) for n, *items in ((1, "a", "b"), (3, "b")))]
    assert compare(_published(*ROWS, lists=[*replayed, LISTS[3]]), _published(*ROWS)) == []
    zombie = [*replayed, LISTS[3], LISTS[0]]
    assert compare(_published(*ROWS, lists=zombie), _published(*ROWS)) == []
    assert read_lists(zombie).overtaken == ["ann"]


@pytest.mark.parametrize(
    ("lists", "finding"),
    [
        (LISTS[:2] + LISTS[3:], "1 of 1 users have another than they should"),
        (LISTS[:3], "1 of 2 users have another than they should"),
        ([*LISTS, _list("eve", "a")], "1 of 2 users have another than they should"),
        ([_list("ann", "z"), *LISTS], "repeated ones differ from the ones before, such as 0/1"),
    ],
)
def test_a_list_that_is_lost_left_made_up_or_contradicted_is_found(lists: list[ListRecord], finding: str) -> None:
    problems = compare(_published(*ROWS, lists=lists), _published(*ROWS))

    assert any(finding in problem for problem in problems), problems


def test_a_dead_letter_too_few_is_found() -> None:
    assert compare(_published(*ROWS, dead=[(0, 9)]), _published(*ROWS, dead=[(0, 9), (1, 5)]))


def test_not_a_number_equals_itself() -> None:
    odd = [{**row, "uncertainty": math.nan} for row in ROWS]

    assert compare(_published(*odd, *odd), _published(*odd)) == []
