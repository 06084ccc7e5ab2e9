"""Counts of several rankers put together: what adds up, what is kept where there are bounds, what is damaged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sie_online.ingest.events import Text
from sie_online.ranking.counts import Counts, added, aged, counts_of, packed, unpacked

Pairs = dict[tuple[str, str], float]


def part(
    popularity: dict[str, float], pairs: Pairs, clock_ms: int = 1_000, half_life_ms: float = 0.0, **bounds: int
) -> Counts:
    names = list(popularity)
    return counts_of(
        clock_ms,
        half_life_ms,
        Text.of([name.encode() for name in names]),
        np.array(list(popularity.values())),
        np.array([names.index(first) for first, _ in pairs], np.int64),
        np.array([names.index(second) for _, second in pairs], np.int64),
        np.array(list(pairs.values())),
        **bounds,
    )


def read(counts: Counts) -> tuple[dict[str, float], Pairs]:
    names = [item.decode() for item in counts.items.values()]
    pairs = zip(counts.owners().tolist(), counts.neighbours.tolist(), counts.counts.tolist(), strict=True)
    return dict(zip(names, counts.popularity.tolist(), strict=True)), {(names[a], names[b]): c for a, b, c in pairs}


def test_counts_of_the_same_pair_add_up_and_others_stand_beside_them() -> None:
    one = part({"a": 3, "b": 2}, {("a", "b"): 2, ("b", "a"): 2})
    two = part({"b": 5, "c": 1, "a": 1}, {("a", "b"): 1, ("c", "b"): 4})
    total = added([one, two])
    assert total is not None
    assert read(total) == ({"b": 7, "a": 4, "c": 1}, {("a", "b"): 3, ("b", "a"): 2, ("c", "b"): 4})
    assert total.clock_ms == 1_000


def test_the_strongest_neighbours_of_the_most_popular_items_are_kept() -> None:
    pairs = {("a", "b"): 1.0, ("a", "c"): 3.0, ("a", "d"): 2.0, ("d", "a"): 9.0, ("b", "c"): 0.0}
    kept = part({"a": 4, "b": 3, "c": 2, "d": 1}, pairs, most_items=3, most_neighbours=1)
    assert read(kept) == ({"a": 4, "b": 3, "c": 2}, {("a", "c"): 3})


def test_the_order_of_items_does_not_matter() -> None:
    popularity: dict[str, float] = dict.fromkeys("abcdef", 1.0)
    pairs: Pairs = {(a, b): 1.0 for a in popularity for b in popularity if a != b}
    backwards = dict(reversed(popularity.items()))
    first = part(popularity, pairs, most_items=4, most_neighbours=2)
    second = part(backwards, dict(reversed(pairs.items())), most_items=4, most_neighbours=2)
    assert packed(first) == packed(second)


def test_nothing_is_the_sum_of_nothing() -> None:
    assert added([]) is None
    assert added([part({}, {})]) is None


def test_counts_age_together() -> None:
    made = part({"a": 4, "b": 2}, {("a", "b"): 2}, half_life_ms=4_000)
    older = aged(made, 5_000)
    assert (older.clock_ms, read(older)) == (5_000, ({"a": 2, "b": 1}, {("a", "b"): 1}))
    assert aged(made._replace(half_life_ms=0.0), 5_000).popularity.tolist() == [4, 2]


def test_counts_of_different_times_add_up_at_the_later_one() -> None:
    one = part({"a": 4}, {}, 1_000, half_life_ms=4_000)
    two = part({"a": 1, "b": 1}, {("b", "a"): 1}, 5_000, half_life_ms=4_000)
    total = added([one, two])
    assert total is not None
    assert (total.clock_ms, read(total)) == (5_000, ({"a": 3, "b": 1}, {("b", "a"): 1}))


def test_counts_survive_being_packed() -> None:
    made = part({"été": 4, "b": 2}, {("été", "b"): 2})
    again = unpacked(packed(made))
    assert again.clock_ms == made.clock_ms
    assert read(again) == read(made)
    assert [column.dtype for column in again[2:]] == [column.dtype for column in made[2:]]


items = st.sampled_from("abcdefgh")
popularities = st.dictionaries(items, st.integers(1, 9), max_size=8)


@st.composite
def parts(draw: st.DrawFn) -> tuple[dict[str, float], Pairs]:
    popularity = draw(popularities)
    names = st.sampled_from(sorted(popularity)) if popularity else st.nothing()
    pairs = draw(st.dictionaries(st.tuples(names, names), st.integers(1, 9), max_size=12)) if popularity else {}
    return {k: float(v) for k, v in popularity.items()}, {k: float(v) for k, v in pairs.items() if k[0] != k[1]}


@given(st.lists(parts(), max_size=4))
def test_a_sum_is_what_a_dictionary_would_make_of_it(given_parts: list[tuple[dict[str, float], Pairs]]) -> None:
    popularity: dict[str, float] = {}
    pairs: Pairs = {}
    for each, of_pairs in given_parts:
        for name, value in each.items():
            popularity[name] = popularity.get(name, 0.0) + value
        for pair, value in of_pairs.items():
            pairs[pair] = pairs.get(pair, 0.0) + value
    total = added([part(*each) for each in given_parts])
    assert (({}, {}) if total is None else read(total)) == (popularity, pairs)
    if total is not None:
        for first in range(total.n):
            end = int(total.ends[first])
            begin = int(total.ends[first - 1]) if first else 0
            assert (np.diff(total.counts[begin:end]) <= 0).all()


@pytest.mark.parametrize("n", [0, 1])
def test_a_part_without_pairs_is_whole(n: int) -> None:
    made = part({"a": 1.0} if n else {}, {})
    assert (made.n, len(made.counts), made.ends.tolist()) == (n, 0, [0] * n)
