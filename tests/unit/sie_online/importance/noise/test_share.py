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
EVENTS = st.lists(
    st.tuples(st.floats(-30.0, 30.0), st.floats(0.0, 10.0), st.integers(0, 500)), min_size=1, max_size=300
)


def learned(events: list[tuple[float, float, int]], cfg: NoiseConfig, start: float) -> float:
    population = np.zeros(1, np.dtype(fields_of("population")))[0]
    model = MODEL._replace(share=np.full(3, start, np.float32))
    for log_ratio, doubt, so_far in events:
        learn_share(cfg, population, model, SAMPLE, so_far, log_ratio, log_ratio - doubt)
    return float(share_of(population, model, SAMPLE))


@settings(max_examples=100, deadline=None)
@given(EVENTS, st.floats(100.0, 1e6), st.floats(MIN_SHARE, MAX_SHARE))
def test_a_share_never_exceeds_what_strong_evidence_alone_would_make_it(
    events: list[tuple[float, float, int]], memory: float, start: float
) -> None:
    """Whatever the settings: were all strong evidence proof of noise, the share could not be higher than it is then."""
    cfg = NoiseConfig(memory=memory)
    proof = [(1e3 if log_ratio - doubt >= STRONG else -1e3, 0.0, n) for log_ratio, doubt, n in events]
    found = learned(events, cfg, start)
    assert MIN_SHARE <= found <= min(learned(proof, cfg, start) + 1e-12, MAX_SHARE)


@pytest.mark.parametrize("memory", [100.0, 5_000.0, 1e6])
def test_weak_evidence_can_only_lower_it_however_much_there_is(memory: float) -> None:
    weak = [(STRONG - 0.01, 0.0, 0)] * 50_000
    assert learned(weak, NoiseConfig(memory=memory), 0.05) < 0.05


def test_it_finds_the_share_that_there_is() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random(40_000) < 0.2
    distance = 4.0  # two normals at this distance, judged by their true log likelihood ratio
    z = rng.normal(size=len(noise)) + distance * noise
    events = [(distance * x - distance**2 / 2, 0.0, 0) for x in z.tolist()]
    assert learned(events, NoiseConfig(), 0.01) == pytest.approx(0.2, abs=0.02)
    assert learned(events[:1], NoiseConfig(), 0.01) == pytest.approx(0.01, abs=0.01)


def test_one_account_counts_less_with_every_event() -> None:
    strange = [(10.0, 0.0, n) for n in range(2_000)]
    accounts = [(10.0, 0.0, 0)] * 2_000
    assert learned(strange, NoiseConfig(), 0.01) < 0.35 < learned(accounts, NoiseConfig(), 0.01)


@given(st.floats(allow_nan=False), st.floats(MIN_SHARE, MAX_SHARE))
def test_a_posterior_is_a_probability_below_the_cap(log_ratio: float, share: float) -> None:
    cfg = NoiseConfig()
    assert 0.0 <= posterior(cfg, share, log_ratio) <= cfg.max_probability
