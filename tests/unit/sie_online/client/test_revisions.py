"""The latest-revision memory: any order and repetition of statements leads to the same table, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sie_online.client import revisions
from sie_online.client.revisions import STATEMENT, LatestRevisions, pack_key


class RowRevision(NamedTuple):
    """One statement of the tests."""

    key: int
    revision: int = 0
    generation: int = 1
    digest: int = 0
    final: bool = False


def rows(said: Sequence[RowRevision]) -> np.ndarray:
    statements = np.zeros(len(said), STATEMENT)
    for name in RowRevision._fields:
        statements[name] = [getattr(one, name) for one in said]
    return statements


def admitted(memory: LatestRevisions, *said: RowRevision) -> list[bool]:
    return memory.admit(rows(said)).tolist()


def table(memory: LatestRevisions, batches: Sequence[Sequence[RowRevision]]) -> dict[int, RowRevision]:
    """What a subscriber holds that replaces an event's row by every one that is news."""
    held: dict[int, RowRevision] = {}
    for batch in batches:
        for one, news in zip(batch, memory.admit(rows(batch)).tolist(), strict=True):
            if news:
                held[one.key] = one
    return held


@st.composite
def histories(draw: st.DrawFn, *, late_adoption: bool) -> list[list[RowRevision]]:
    """Batches of statements about a few events, in any order and repeated; a replay repeats the values.

    With ``late_adoption`` the values depend on the generation too.
    """
    last = {key: draw(st.integers(0, 3)) for key in range(draw(st.integers(1, 6)))}
    every = [
        RowRevision(
            key, revision, generation, digest=revision * 10 + generation * late_adoption, final=revision == final
        )
        for key, final in last.items()
        for revision in range(final + 1)
        for generation in (1, 2, 5)
    ]
    said = draw(st.permutations(every + draw(st.lists(st.sampled_from(every), max_size=20))))
    cuts = sorted(draw(st.lists(st.integers(0, len(said)), max_size=6)))
    return [list(said[a:b]) for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True)]


@given(histories(late_adoption=False))
def test_any_interleaving_of_replays_leads_to_the_same_table(batches: list[list[RowRevision]]) -> None:
    held = table(LatestRevisions(), batches)
    last = {one.key: one.revision for batch in batches for one in batch if one.final}
    assert {key: (one.revision, one.digest, one.final) for key, one in held.items()} == {
        key: (revision, revision * 10, True) for key, revision in last.items()
    }


@given(histories(late_adoption=True))
def test_where_values_differ_the_highest_generation_wins(batches: list[list[RowRevision]]) -> None:
    held = table(LatestRevisions(), batches)
    assert {one.generation for one in held.values()} == {5}
    assert all(one.final for one in held.values())


@given(histories(late_adoption=False))
def test_each_revision_of_an_event_is_news_at_most_once(batches: list[list[RowRevision]]) -> None:
    memory = LatestRevisions()
    news = [
        (one.key, one.revision)
        for batch in batches
        for one, new in zip(batch, memory.admit(rows(batch)).tolist(), strict=True)
        if new
    ]
    assert len(news) == len(set(news))


@given(histories(late_adoption=False), histories(late_adoption=True))
def test_nothing_is_lost_from_the_counts(one: list[list[RowRevision]], other: list[list[RowRevision]]) -> None:
    memory = LatestRevisions()
    news = sum(int(memory.admit(rows(batch)).sum()) for batch in one + other)
    total = sum(map(len, one + other))
    assert news + memory.dropped.duplicates + memory.dropped.stale == total


@given(histories(late_adoption=True), st.integers(1, 4), st.integers(1, 4))
def test_memory_never_exceeds_its_bounds(
    batches: list[list[RowRevision]], open_events: int, settled_events: int
) -> None:
    memory = LatestRevisions(open_events, settled_events)
    for batch in batches:
        memory.admit(rows(batch))
        assert memory.open <= open_events
        assert memory.settled <= settled_events
        held = [level.rows for level in (memory._base, memory._recent)]
        assert memory.open + memory.settled == sum(map(len, held))


def test_an_open_event_is_forgotten_at_its_final_row() -> None:
    memory = LatestRevisions()
    assert admitted(memory, RowRevision(1), RowRevision(2), RowRevision(1, 1, digest=1, final=True)) == [
        True,
        True,
        True,
    ]
    assert (memory.open, memory.settled) == (1, 1)


def test_a_replay_behind_the_final_row_stays_filtered() -> None:
    memory = LatestRevisions()
    first = [RowRevision(1), RowRevision(1, 1, digest=1, final=True)]
    assert admitted(memory, *first) == [True, True]
    assert admitted(memory, *[one._replace(generation=2) for one in first]) == [False, False]
    assert (memory.dropped.stale, memory.dropped.duplicates) == (1, 1)


def test_the_oldest_open_event_is_forgotten_first() -> None:
    memory = LatestRevisions(open_events=8)
    admitted(memory, *[RowRevision(key) for key in range(8)])
    admitted(memory, RowRevision(0, 1, digest=1))  # heard of again: no longer the oldest
    admitted(memory, RowRevision(8))
    assert memory.forgotten == 2
    assert admitted(memory, RowRevision(0)) == [False]
    assert admitted(memory, RowRevision(1)) == [True]  # forgotten, so news again


def test_a_zombies_older_statement_is_stale_even_with_other_values() -> None:
    memory = LatestRevisions()
    assert admitted(memory, RowRevision(1, generation=2, digest=7), RowRevision(1, generation=1, digest=8)) == [
        True,
        False,
    ]
    assert memory.dropped.stale == 1


def test_a_late_adoption_replaces_the_same_revision() -> None:
    memory = LatestRevisions()
    assert admitted(memory, RowRevision(1, generation=1, digest=7), RowRevision(1, generation=2, digest=8)) == [
        True,
        True,
    ]


def test_levels_that_have_been_merged_still_answer() -> None:
    memory = LatestRevisions()
    keys = np.random.default_rng(0).permutation(3 * revisions._RECENT_ROWS)
    for lot in np.array_split(keys, 50):
        assert memory.admit(rows_of(lot)).all()
    for lot in np.array_split(keys, 50):
        assert not memory.admit(rows_of(lot)).any()
    assert memory.open == len(keys)


def rows_of(keys: np.ndarray) -> np.ndarray:
    statements = np.zeros(len(keys), STATEMENT)
    statements["key"] = keys
    return statements


def test_keys_of_different_partitions_and_offsets_differ() -> None:
    partitions, offsets = np.array([0, 1, 1, 4095], np.int32), np.array([2**40, 0, 2**40, 2**43], np.int64)
    keys = pack_key(partitions, offsets)
    assert len(set(keys.tolist())) == 4
    assert (np.diff(keys) > 0).all()
