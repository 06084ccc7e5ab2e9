"""Examples: how much each counts, what is held out, and how they are sampled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import ExamplesError
from models.noise.examples import (
    FULL_GROUP,
    KIND_SHARES,
    Examples,
    held_out,
    joined,
    kinds,
    sampled,
    sampled_rows,
    weights,
)
from tests.support.noise_examples import made_examples

EXAMPLES = made_examples()


def weight_of(examples: Examples, innocent_share: float = 0.3) -> np.ndarray:
    return weights(examples.head, examples.noise, examples.innocent, examples.group, innocent_share)


def test_in_every_head_noise_weighs_one_half_and_innocents_their_share_of_the_rest() -> None:
    weight = weight_of(EXAMPLES, 0.3)
    assert weight.sum() == pytest.approx(1)
    for head in range(3):
        rows = EXAMPLES.head == head
        assert weight[rows].sum() == pytest.approx(1 / 3)
        assert weight[rows & EXAMPLES.noise].sum() == pytest.approx(1 / 6)
        assert weight[rows & EXAMPLES.innocent].sum() == pytest.approx(0.15 / 3)


def test_without_innocents_the_ordinary_have_their_share() -> None:
    examples = made_examples(innocent=0)
    assert weight_of(examples)[~examples.noise].sum() == pytest.approx(0.5)


def test_groups_weigh_alike_whatever_their_size_but_for_tiny_ones() -> None:
    huge, usual = made_examples(noise=1, innocent=0, ordinary=2, rows=3_000), made_examples(noise=4, first=100)
    tiny = made_examples(noise=1, innocent=0, ordinary=0, rows=9, first=200)
    examples = joined([huge, usual, tiny])
    weight = weight_of(examples)
    first, second, small = (weight[examples.group == group].sum() for group in (0, 100, 200))
    assert first == pytest.approx(second)
    assert small < first * 9 / FULL_GROUP + 1e-9


def test_a_head_with_one_class_teaches_nothing() -> None:
    rows = (EXAMPLES.head != 1) | ~EXAMPLES.noise
    examples = EXAMPLES.take(rows)
    weight = weight_of(examples)
    assert not weight[examples.head == 1].any()
    assert weight[examples.head == 0].sum() == pytest.approx(0.5)


def test_examples_of_one_class_or_none_are_refused_in_words() -> None:
    for rows in (EXAMPLES.noise, ~EXAMPLES.noise, np.zeros(len(EXAMPLES.noise), np.bool_)):
        with pytest.raises(ValueError, match="no head has both noise and others"):
            weight_of(EXAMPLES.take(rows))


def test_noise_cannot_be_innocent() -> None:
    with pytest.raises(ExamplesError, match="at once"):
        kinds(np.array([True]), np.array([True]))


@given(st.integers(0, 1000), st.sampled_from([0.1, 0.2, 0.5]))
def test_whole_groups_of_every_kind_are_held_out(seed: int, share: float) -> None:
    apart = held_out(EXAMPLES, share, seed)
    assert np.array_equal(apart, held_out(EXAMPLES, share, seed))
    for kind, groups in ((EXAMPLES.noise, 12), (EXAMPLES.innocent, 6), (~EXAMPLES.noise & ~EXAMPLES.innocent, 6)):
        kept, left = set(EXAMPLES.group[kind & apart].tolist()), set(EXAMPLES.group[kind & ~apart].tolist())
        assert not kept & left
        assert len(kept) == max(1, round(share * groups))


def test_a_kind_with_few_groups_is_held_out_by_rows() -> None:
    examples = made_examples(noise=2, innocent=0, ordinary=1)
    apart = held_out(examples, 0.2, 0)
    for group in range(3):
        assert 0.1 < apart[examples.group == group].mean() < 0.3


@given(st.integers(50, 5_000), st.integers(0, 1000))
def test_a_sample_has_rows_without_repeats_and_no_more_than_asked_for(rows: int, seed: int) -> None:
    found = sampled_rows(EXAMPLES, rows, seed)
    assert len(found) <= rows
    assert (np.diff(found) > 0).all()
    assert np.array_equal(found, sampled_rows(EXAMPLES, rows, seed))


def test_a_sample_holds_its_shares_of_kinds_and_no_group_crowds_out_another() -> None:
    huge = made_examples(noise=1, innocent=0, ordinary=1, rows=20_000, first=100)
    examples = joined([made_examples(rows=300), huge])
    found = sampled(examples, 3_000, 0)
    assert len(found.head) > 2_800
    share = np.bincount(kinds(found.noise, found.innocent)) / len(found.head)
    assert np.allclose(share, KIND_SHARES, atol=0.02)
    counts = np.unique(found.group[found.noise], return_counts=True)[1]
    assert len(counts) == 13
    assert counts.max() - counts.min() <= 3


def test_what_a_kind_cannot_use_goes_to_the_others() -> None:
    examples = made_examples(noise=1, innocent=0, ordinary=6, rows=100)
    assert len(sampled_rows(examples, 600, 0)) > 580
    assert len(sampled_rows(examples, 10_000, 0)) == 700
