"""What is ordinary: standardised, followed slowly, and what a head is not told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sie_online.importance.noise.evidence import N_SIGNALS, SIGNALS
from sie_online.importance.noise.model import AGES, STRATA, neutral_noise
from sie_online.importance.noise.share import POPULATION_FIELDS as SHARE_FIELDS
from sie_online.importance.noise.standard import (
    CLIP,
    DEEDS,
    POPULATION_FIELDS,
    SCALE_FLOOR,
    follow,
    hide_deeds,
    standardise_evidence,
    start_from,
    stratum_of,
)
from sie_online.importance.noise.walk import ACT, CONVERSION, SAMPLE

POPULATION = np.dtype([*POPULATION_FIELDS, *SHARE_FIELDS])
EVIDENCE = arrays(np.float32, N_SIGNALS, elements=st.floats(-1e6, 1e6, width=32))


def fresh() -> Any:
    population = np.zeros(1, POPULATION)[0]
    start_from(population, neutral_noise())
    return population


def test_an_account_s_own_acts_say_nothing_of_its_samples() -> None:
    evidence = np.arange(1, N_SIGNALS + 1, dtype=np.float32)
    hidden = evidence.copy()
    hide_deeds(SAMPLE, hidden)
    assert {SIGNALS[at] for at in np.flatnonzero(hidden != evidence)} == {SIGNALS[at] for at in DEEDS}
    assert not hidden[list(DEEDS)].any()


@pytest.mark.parametrize("head", [ACT, CONVERSION])
def test_they_are_told_of_acts_and_conversions(head: int) -> None:
    evidence = np.ones(N_SIGNALS, np.float32)
    hide_deeds(head, evidence)
    assert evidence.all()


@given(st.integers(1, 10**9))
def test_strata_are_the_ages_of_samples_and_one_of_each_other_head(events: int) -> None:
    assert stratum_of(SAMPLE, float(events)) == min(events.bit_length() - 1, AGES - 1)
    assert [stratum_of(head, float(events)) for head in (ACT, CONVERSION)] == [STRATA - 2, STRATA - 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(EVIDENCE, st.floats(0.0, 1.0)), min_size=1, max_size=20), st.integers(0, STRATA - 1))
def test_whatever_comes_what_is_ordinary_stays_finite_and_one_stratum_s_own(
    events: list[tuple[np.ndarray, float]], stratum: int
) -> None:
    population, before = fresh(), fresh()
    for evidence, mass in events:
        standardise_evidence(population, stratum, evidence)
        assert (abs(evidence) <= CLIP).all()
        follow(population, stratum, mass, evidence)
    assert np.isfinite(population["z_location"]).all()
    assert (population["z_scale"] >= SCALE_FLOOR).all()
    others = np.arange(STRATA) != stratum
    for name in ("z_location", "z_scale", "z_support"):
        assert (population[name][others] == before[name][others]).all()


def test_location_and_scale_become_those_of_a_normal_stream() -> None:
    rng, population = np.random.default_rng(0), fresh()
    for _ in range(20_000):
        evidence = rng.normal(2.0, 3.0, N_SIGNALS).astype(np.float32)
        standardise_evidence(population, 0, evidence)
        follow(population, 0, 1.0, evidence)
    assert population["z_location"][0] == pytest.approx(2.0, abs=0.4)
    assert population["z_scale"][0] == pytest.approx(3.0, rel=0.15)


def test_what_lies_far_off_moves_them_no_further_than_what_lies_nearer() -> None:
    found = []
    for value in (1.5, 1e6):
        population = fresh()
        evidence = np.full(N_SIGNALS, value, np.float32)
        standardise_evidence(population, 0, evidence)
        follow(population, 0, 1.0, evidence)
        found.append((population["z_location"][0].tolist(), population["z_scale"][0].tolist()))
    assert found[0] == found[1]
    assert found[0][0][0] > 0


def test_what_is_noise_for_sure_moves_nothing() -> None:
    population = fresh()
    follow(population, 0, 0.0, np.full(N_SIGNALS, CLIP, np.float32))
    assert population.tobytes() == fresh().tobytes()
