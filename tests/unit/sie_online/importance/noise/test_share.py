"""How common noise is: learned from strong evidence alone, and never by feeding on itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.importance.noise.detector import fields_of
from sie_online.importance.noise.model import neutral_noise
from sie_online.importance.noise.population import NoiseConfig
from sie_online.importance.noise.share import MAX_SHARE, MIN_SHARE, STRONG, learn_share, posterior, share_of
from sie_online.importance.noise.walk import SAMPLE

MODEL = neutral_noise()
Seen = list[tuple[float, int]]
EVENTS = st.lists(st.tuples(st.floats(-30.0, 30.0), st.integers(0, 500)), min_size=1, max_size=300)
MEMORIES = st.floats(1.0, 1e6)
SURE = STRONG + 1.0
APART = 3.0  # standard deviations between noise and what is ordinary


def learned(events: Seen, *, memory: float = 5_000.0, start: float = 0.01) -> float:
    """The share after events of which the sureness, and how many their account had before, are given."""
    population = np.zeros(1, np.dtype(fields_of("population")))[0]
    model = MODEL._replace(share=np.full(3, start, np.float32))
    for sure, so_far in events:
        learn_share(NoiseConfig(memory=memory), population, model, SAMPLE, so_far, sure)
    return float(share_of(population, model, SAMPLE))


@settings(max_examples=100, deadline=None)
@given(EVENTS, MEMORIES, st.floats(MIN_SHARE, MAX_SHARE))
def test_it_stays_within_its_bounds_whatever_comes_and_whatever_is_set(
    events: Seen, memory: float, start: float
) -> None:
    assert MIN_SHARE <= learned(events, memory=memory, start=start) <= MAX_SHARE


@pytest.mark.parametrize("memory", [100.0, 5_000.0, 1e6])
def test_what_ordinary_events_show_is_no_noise_however_much_there_is(memory: float) -> None:
    rng = np.random.default_rng(0)
    ordinary = [(sure, 0) for sure in rng.normal(-(APART**2) / 2, APART, 50_000).tolist()]
    assert learned(ordinary, memory=memory, start=0.2) < 0.01


@pytest.mark.parametrize("there", [0.02, 0.1, 0.3])
def test_it_finds_most_of_the_share_that_there_is_wherever_it_starts(there: float) -> None:
    """And no more than that: noise without strong evidence counts as none."""
    rng = np.random.default_rng(0)
    noise = rng.random(40_000) < there
    events = [(sure, 0) for sure in (rng.normal(0, APART, len(noise)) + (noise - 0.5) * APART**2).tolist()]
    low, high = (learned(events, start=start) for start in (MIN_SHARE, MAX_SHARE))
    assert 0.75 * there < low <= high < 1.05 * there
    assert high - low < 0.001
    assert learned(events[:1]) == pytest.approx(0.01, abs=0.01)


def test_one_account_counts_less_with_every_event() -> None:
    strange = [(SURE, n) for n in range(2_000)]
    accounts = [(SURE, 0)] * 2_000
    assert learned(strange) < 0.35 < learned(accounts)


@given(st.floats(allow_nan=False), st.floats(MIN_SHARE, MAX_SHARE))
def test_a_posterior_is_a_probability_below_the_cap(log_ratio: float, share: float) -> None:
    cfg = NoiseConfig()
    assert 0.0 <= posterior(cfg, share, log_ratio) <= cfg.max_probability
