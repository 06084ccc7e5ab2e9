"""From log ratios to P(noise): what stands out of the stream, how common it is, and that neither feeds on itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sie_online.contracts import NOISE_HEADS
from sie_online.importance.noise import share
from sie_online.importance.noise.model import neutral_noise
from sie_online.importance.noise.population import LOWER_QUARTILE_Z, NoiseConfig
from sie_online.importance.noise.share import (
    DISTANCE,
    LEAST_SPREAD,
    MAX_SHARE,
    MIN_SHARE,
    POPULATION_FIELDS,
    SHARP_CAP,
    SOFT_BELOW,
    STRONG,
    follow_ratios,
    learn_share,
    posterior,
    presume,
    share_of,
    sharpened,
)
from sie_online.importance.noise.walk import SAMPLE
from sie_online.linkage import Kernel

MODEL, CFG = neutral_noise(), NoiseConfig()
POPULATION = np.dtype(POPULATION_FIELDS)
Seen = list[tuple[float, int]]
EVENTS = st.lists(st.tuples(st.floats(-30.0, 30.0), st.integers(0, 500)), min_size=1, max_size=300)
MEMORIES, SHARES, HEADS = st.floats(1.0, 1e6), st.floats(MIN_SHARE, MAX_SHARE), st.integers(0, len(NOISE_HEADS) - 1)
RATIOS = st.floats(-1e6, 1e6)
SURE = STRONG + 1.0
APART = 3.0  # standard deviations between noise and what is ordinary


def model_of(start: float, middle: float = 0.0, below: float = -1.0) -> Any:
    return MODEL._replace(share=np.full(3, start, np.float32), ordinary=np.tile(np.float32([middle, below]), (3, 1)))


def fresh(model: Any = MODEL) -> Any:
    population = np.zeros(1, POPULATION)[0]
    presume(population, model)
    return population


def quantiles_at(middle: float, below: float, above: float | None = None) -> Any:
    """As far above the median as below it, unless told otherwise."""
    population = fresh()
    population["z_middle"], population["z_below"] = middle, below
    population["z_above"] = 2 * middle - below if above is None else above
    return population


# -- how common noise is


def learned(events: Seen, *, memory: float = 5_000.0, start: float = 0.01) -> float:
    """The share after events of which the sureness, and how many their account had before, are given."""
    model = model_of(start)
    population, cfg = fresh(model), NoiseConfig(memory=memory)
    for sure, so_far in events:
        learn_share(cfg, population, model, SAMPLE, so_far, sure)
    return float(share_of(population, model, SAMPLE))


@settings(max_examples=100, deadline=None)
@given(EVENTS, MEMORIES, SHARES)
def test_the_share_stays_within_its_bounds_whatever_comes_and_whatever_is_set(
    events: Seen, memory: float, start: float
) -> None:
    assert MIN_SHARE <= learned(events, memory=memory, start=start) <= MAX_SHARE


@pytest.mark.parametrize("memory", [100.0, 5_000.0, 1e6])
def test_what_ordinary_events_show_is_no_noise_however_much_there_is(memory: float) -> None:
    rng = np.random.default_rng(0)
    ordinary = [(sure, 0) for sure in rng.normal(-(APART**2) / 2, APART, 20_000).tolist()]
    assert learned(ordinary, memory=memory, start=0.2) < 0.02


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


@given(SHARES, st.floats(-30.0, STRONG, exclude_max=True))
def test_weak_evidence_never_raises_the_share(start: float, sure: float) -> None:
    assert learned([(sure, 0)] * 20, start=start) <= max(np.float32(start), MIN_SHARE)


@given(st.floats(allow_nan=False), SHARES)
def test_a_posterior_is_a_probability_below_the_cap(log_ratio: float, start: float) -> None:
    assert 0.0 <= posterior(CFG, start, log_ratio) <= CFG.max_probability


# -- what stands out


@given(RATIOS, RATIOS, st.floats(0.0, 1e3), HEADS)
def test_a_sharpened_ratio_is_bounded_and_in_the_ratios_order(one: float, middle: float, off: float, head: int) -> None:
    population = quantiles_at(middle, middle - off)
    found = [sharpened(population, head, one + more) for more in (0.0, 1.0, 10.0)]
    assert found == sorted(found)
    assert all(-2 * SHARP_CAP < each <= SHARP_CAP for each in found)


def test_what_lies_half_as_far_as_noise_is_as_likely_either() -> None:
    population, scale = quantiles_at(2.0, 2.0 - 3.0 * LOWER_QUARTILE_Z), 3.0
    assert sharpened(population, SAMPLE, 2.0 + scale * DISTANCE / 2) == pytest.approx(0.0, abs=1e-9)
    assert sharpened(population, SAMPLE, 2.0 + scale * (DISTANCE / 2 + 1.0)) == pytest.approx(min(DISTANCE, SHARP_CAP))
    ordinary = sharpened(population, SAMPLE, 2.0)
    assert SOFT_BELOW > ordinary > -(DISTANCE**2) / 2  # softened, so that what people say can move it


@given(st.floats(0.1, 5.0), st.floats(1.0, 10.0))
def test_where_ratios_are_spread_wide_above_nothing_stands_out(off: float, times: float) -> None:
    wide, narrow = quantiles_at(0.0, -off, off * times), quantiles_at(0.0, -off)
    assert sharpened(wide, SAMPLE, 2 * off) <= sharpened(narrow, SAMPLE, 2 * off)
    assert sharpened(wide, SAMPLE, off * times) < 0.0


@given(
    st.floats(-20.0, 20.0), st.floats(-5.0, 5.0), st.floats(0.5, 5.0), st.floats(-100.0, 100.0), st.floats(1.0, 100.0)
)
def test_in_which_units_and_from_where_a_model_counts_does_not_matter(
    ratio: float, middle: float, off: float, shift: float, scale: float
) -> None:
    plain = sharpened(quantiles_at(middle, middle - off), SAMPLE, ratio)
    moved = quantiles_at(scale * middle + shift, scale * (middle - off) + shift)
    assert sharpened(moved, SAMPLE, scale * ratio + shift) == pytest.approx(plain, abs=1e-6)


def test_quantiles_that_meet_are_told_apart_by_the_least_spread() -> None:
    population = quantiles_at(1.0, 1.0)
    assert sharpened(population, SAMPLE, 1.0 + LEAST_SPREAD * DISTANCE / 2) == pytest.approx(0.0, abs=1e-9)


# -- quantiles of the stream


def followed(ratios: np.ndarray, model: Any = MODEL) -> np.ndarray:
    """Median, lower and upper quartile after each of the ratios, every one of another account."""
    population, found = fresh(model), []
    for ratio in ratios.tolist():
        follow_ratios(population, SAMPLE, ratio, 1.0)
        found.append(tuple(population[name][SAMPLE] for name in ("z_middle", "z_below", "z_above")))
    return np.array(found)


DRAWN: dict[str, tuple[Any, float, float, float]] = {
    "normal": (lambda rng, n: rng.normal(size=n), 0.0, -LOWER_QUARTILE_Z, LOWER_QUARTILE_Z),
    "logistic": (lambda rng, n: rng.logistic(size=n), 0.0, -math.log(3), math.log(3)),
    "exponential": (lambda rng, n: rng.exponential(size=n), math.log(2), math.log(4 / 3), math.log(4)),
    "normal far off": (
        lambda rng, n: rng.normal(8.0, 2.0, size=n),
        8.0,
        8.0 - 2.0 * LOWER_QUARTILE_Z,
        8.0 + 2.0 * LOWER_QUARTILE_Z,
    ),
}


@pytest.mark.parametrize("drawn", DRAWN)
def test_quantiles_become_those_of_the_stream(drawn: str) -> None:
    draw, middle, below, above = DRAWN[drawn]
    tracked = followed(draw(np.random.default_rng(0), 16_000))
    scale = max(middle - below, above - middle) / LOWER_QUARTILE_Z
    assert (abs(tracked[8_000:].mean(axis=0) - (middle, below, above)) < 0.05 * scale).all()
    assert (abs(tracked[8_000:] - (middle, below, above)) < 0.35 * scale).all()


def test_noise_above_hardly_moves_them() -> None:
    rng = np.random.default_rng(0)
    ordinary, noise = rng.normal(size=16_000), rng.random(16_000) < 0.1
    moved = followed(ordinary + 8.0 * noise)[8_000:].mean(axis=0) - followed(ordinary)[8_000:].mean(axis=0)
    assert (moved > 0).all() and (moved < 0.35).all()


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 4.0), (-7.0, 1.0), (3.0, 10.0)])
def test_quantiles_move_with_the_ratios(shift: float, scale: float) -> None:
    ratios = np.random.default_rng(1).normal(size=2_000)
    plain = followed(ratios)
    moved = followed(scale * ratios + shift, model_of(0.01, shift, shift - scale))
    np.testing.assert_allclose(moved, scale * plain + shift, atol=1e-4 * scale)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(RATIOS, st.floats(1e-6, 1.0)), min_size=1, max_size=200), HEADS)
def test_whatever_comes_quantiles_are_finite_in_order_and_of_one_head(
    events: list[tuple[float, float]], head: int
) -> None:
    population, before = fresh(), fresh()
    for ratio, mass in events:
        follow_ratios(population, head, ratio, mass)
        assert np.isfinite(sharpened(population, head, ratio))
    assert (population["z_below"] <= population["z_middle"]).all()
    assert (population["z_middle"] <= population["z_above"]).all()
    reach = 2 * max(1.0, *(abs(ratio) for ratio, _ in events))
    assert (abs(population["z_middle"]) <= reach).all()
    others = np.arange(len(NOISE_HEADS)) != head
    for name in ("z_middle", "z_below", "z_above", "z_known"):
        assert (population[name][others] == before[name][others]).all()


# -- all of it


def judged(ratios: np.ndarray, model: Any) -> np.ndarray:
    """P(noise) of every ratio in its stream, and what is sure about it is all of it."""
    population, found = fresh(model), []
    for ratio in ratios.tolist():
        odds = sharpened(population, SAMPLE, ratio)
        found.append(posterior(CFG, share_of(population, model, SAMPLE), odds))
        follow_ratios(population, SAMPLE, ratio, 1.0)
        learn_share(CFG, population, model, SAMPLE, 0.0, odds)
    return np.array(found)


@settings(max_examples=15, deadline=None)
@given(st.floats(-5.0, 5.0), st.floats(0.05, 5.0), st.floats(-3.0, 3.0), SHARES, st.integers(0, 100))
def test_ordinary_streams_never_become_noisy_whatever_is_presumed(
    middle: float, scale: float, off: float, start: float, seed: int
) -> None:
    """P(noise) feeds the share, and the share P(noise): from any start the two calm each other down."""
    model = model_of(start, middle + off * scale, middle + (off - LOWER_QUARTILE_Z) * scale)
    found = judged(np.random.default_rng(seed).normal(middle, scale, 3_000), model)
    assert found[1_500:].mean() < 0.02
    assert (found[1_500:] > 0.5).mean() < 0.01


def test_noise_that_stands_out_is_found_and_ordinary_events_are_left_alone() -> None:
    rng = np.random.default_rng(0)
    noise = rng.random(6_000) < 0.1
    found = judged(rng.normal(size=6_000) + 2.0 * DISTANCE * noise, model_of(0.01))[3_000:]
    assert found[noise[3_000:]].mean() > 0.9
    assert found[~noise[3_000:]].mean() < 0.03


@settings(max_examples=20, deadline=None)
@given(EVENTS, SHARES)
def test_plain_python_says_the_same(events: Seen, start: float) -> None:
    def run(population: Any) -> list[float]:
        said = []
        for ratio, so_far in events:
            odds = share.sharpened(population, SAMPLE, ratio)
            share.follow_ratios(population, SAMPLE, ratio, share.mass_of_account(float(so_far)))
            share.learn_share(CFG, population, model, SAMPLE, float(so_far), odds)
            said += [odds, share.posterior(CFG, share.share_of(population, model, SAMPLE), odds)]
        return said

    model = model_of(start)
    compiled, plain = fresh(model), np.zeros(1, POPULATION).view(np.recarray)
    presume(plain[0], model)
    expected = run(compiled)
    with pytest.MonkeyPatch.context() as patch:
        for name, known in list(vars(share).items()):
            if isinstance(known, Kernel):
                patch.setattr(share, name, known.py_func)
        assert not isinstance(share.sharpened, Kernel)
        np.testing.assert_allclose(run(plain[0]), expected, rtol=1e-12, atol=1e-12)
    for field in POPULATION.names or ():
        np.testing.assert_allclose(plain[field][0], compiled[field], rtol=1e-12, err_msg=field)
