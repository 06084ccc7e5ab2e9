"""The guard's test: what counts as evidence, that chance is rarely taken for harm, and how strength is lost and won."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sie_online.importance import guard
from sie_online.importance.guard import (
    ESTABLISHED_ACTS,
    ESTABLISHED_EVENTS,
    ESTABLISHED_MS,
    HARM,
    HELP,
    LOOK_WEIGHTS,
    LOOKS,
    N_BETS,
    SIDES,
    SIGNS,
    SMALLEST_CLIP,
    STAKE,
    GuardConfig,
    bet,
    guard_of,
    is_established,
    judge,
    log_evidence,
    observe_account,
    strength,
)
from sie_online.jit import kernel
from sie_online.settings import Guard
from sie_online.shard.entities import POPULATION, USERS

CFG = guard_of(Guard())
ROUND = LOOKS[-1]
gains = st.lists(st.tuples(st.integers(0, 4), st.floats(-1, 1)), max_size=60)


class Test:
    """A population and its accounts under one configuration."""

    __test__ = False

    def __init__(self, accounts: int = 5, cfg: GuardConfig = CFG) -> None:
        self.cfg = cfg
        self.rows, self.users = np.zeros(1, POPULATION), np.zeros(accounts, USERS)

    @property
    def population(self) -> Any:
        return self.rows[0]

    @property
    def strength(self) -> float:
        return float(strength(self.cfg, self.population))

    def bet(self, account: Iterable[int], gain: Iterable[float]) -> None:
        who = np.array(list(account), np.int64)
        _bet_all(self.cfg, self.population, self.users, who, np.array(list(gain), np.float64))

    def round(self, gain: float) -> None:
        """A whole round in which every view gains ``gain``, one account after the other."""
        self.until(ROUND, gain)

    def view(self, gain: float) -> None:
        self.until(int(self.population["guard_views"]) + 1, gain)

    def until(self, views: int, gain: float) -> None:
        at = int(self.population["guard_views"])
        self.bet(np.arange(at, views) % len(self.users), np.full(views - at, gain))


@kernel
def _bet_all(cfg: Any, population: Any, users: Any, account: Any, gain: Any) -> None:
    for at in range(account.shape[0]):
        bet(cfg, population, users[account[at]], gain[at])


def capital(totals: NDArray[Any], side: int) -> list[float]:
    """log M by definition, for each clip."""
    clips = [SMALLEST_CLIP * 2**which for which in range(N_BETS)]
    return [float(np.log1p(STAKE * SIGNS[side] * np.clip(totals / clip, -1, 1)).sum()) for clip in clips]


@given(told=gains)
def test_capital_is_that_of_the_accounts_totals(told: list[tuple[int, float]]) -> None:
    test, totals = Test(), np.zeros(5)
    test.bet(*zip(*told, strict=True)) if told else None
    np.add.at(totals, [account for account, _ in told], [gain for _, gain in told])
    for side in (HARM, HELP):
        assert test.population["guard_logs"][side] == pytest.approx(capital(totals, side), abs=1e-9)


@given(told=gains, data=st.data())
def test_the_order_of_views_does_not_matter_at_a_fixed_number_of_them(told: list[tuple[int, float]], data: Any) -> None:
    one, other = Test(), Test()
    for test, views in ((one, told), (other, data.draw(st.permutations(told)))):
        test.bet(*zip(*views, strict=True)) if views else None
    np.testing.assert_allclose(one.population["guard_logs"], other.population["guard_logs"], atol=1e-9)


@given(told=gains)
def test_plain_python_says_the_same(told: list[tuple[int, float]]) -> None:
    compiled, plain, plainly = Test(), Test(), getattr(judge, "py_func")  # noqa: B009 - mypy sees the function itself
    for account, gain in told:
        label, p, q = int(gain > 0), 0.5 + 0.4 * gain, 0.5 - 0.3 * gain
        judge(CFG, compiled.population, compiled.users[account], label, p, q)
        plainly(CFG, plain.population, plain.users[account], label, p, q)
    for name in POPULATION.names or ():
        if name.startswith("guard"):
            np.testing.assert_allclose(compiled.population[name], plain.population[name], rtol=1e-12, err_msg=name)


def test_evidence_is_the_weighted_mean_of_the_capitals_at_the_looks() -> None:
    rng, test = np.random.default_rng(1), Test(accounts=40)
    account, gain = rng.integers(0, 40, LOOKS[2]), rng.normal(-0.002, 0.05, LOOKS[2])
    test.bet(account, gain)
    expected = 0.0
    for look, weight in zip(LOOKS[:3], LOOK_WEIGHTS, strict=False):
        totals = np.bincount(account[:look], gain[:look], 40)
        expected += weight * np.exp(capital(totals, HARM)).mean()
    assert test.population["guard_evidence"][HARM] == pytest.approx(expected, rel=1e-9)


def test_null_accounts_whose_views_all_agree_are_rarely_taken_for_harm() -> None:
    """The worst dependence within accounts: one coin per account. 1,000 streams; 5 % are promised at most."""
    alarms, evidence = 0, []
    for seed in range(1_000):
        rng = np.random.default_rng(seed)
        test, sign = Test(accounts=60), rng.choice([-1.0, 1.0], 60)
        account = np.minimum(rng.geometric(0.05, LOOKS[4]) - 1, 59)  # the largest have hundreds of views
        test.bet(account, sign[account] * rng.exponential(0.02, len(account)))
        alarms += test.strength == 0.0
        evidence.append(float(test.population["guard_evidence"][HARM]))
    assert alarms <= 50
    assert np.mean(evidence) <= 1.5 * sum(LOOK_WEIGHTS[:5]), "each look's mean capital is at most 1, but for chance"


def test_gains_never_cost_strength() -> None:
    test = Test(accounts=200)
    for _ in range(3):
        test.round(0.003)
        assert test.strength == 1.0
    assert int(test.population["guard_judged"]) == 3 * ROUND


def test_harm_is_cut_and_evidence_on_the_way_costs_strength() -> None:
    test, seen = Test(accounts=200), []
    for look in LOOKS:
        test.until(look, -0.001)
        seen.append(test.strength)
        if not test.strength:
            break
        assert test.strength == pytest.approx(1.0 - min(1.0, log_evidence(test.population, HARM) / CFG.log_bound))
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 1.0
    assert seen[-1] == 0.0


def cut() -> Test:
    test = Test(accounts=200)
    while test.strength:
        test.view(-0.01)
    return test


def test_once_cut_only_fresh_evidence_of_help_brings_strength_back() -> None:
    test = cut()
    assert int(test.population["guard_views"]) == 0, "totals start anew"
    test.round(0.0)
    assert test.strength == 0.0, "a round without harm is no evidence of help"
    test.round(-0.001)
    assert test.strength == 0.0
    test.until(LOOKS[-2], 0.01)
    assert test.strength == 1.0
    assert log_evidence(test.population, HARM) == 0.0


def test_help_from_before_the_cut_does_not_count() -> None:
    test = Test(accounts=200)
    test.until(LOOKS[5], 0.01)
    assert log_evidence(test.population, HELP) > CFG.log_bound
    while test.strength:
        test.view(-0.02)
    assert log_evidence(test.population, HELP) == 0.0
    test.until(LOOKS[0], 0.0)
    assert test.strength == 0.0


def test_evidence_of_the_round_before_still_counts_and_that_of_two_before_does_not() -> None:
    test = Test(accounts=200)
    test.population["guard_evidence"][HARM] = math.exp(0.5 * CFG.log_bound)
    test.round(0.003)
    assert test.strength == pytest.approx(0.5, abs=5e-3)
    test.round(0.003)
    assert test.strength == pytest.approx(0.5, abs=5e-3)
    test.round(0.003)
    assert test.strength == 1.0


@pytest.mark.parametrize("given", [0.0, 0.3, 1.0])
def test_a_pinned_strength_stays_and_the_test_goes_on_beside_it(given: float) -> None:
    test = Test(accounts=200, cfg=guard_of(Guard(strength=given)))
    test.until(LOOKS[-2], -0.01)
    assert test.strength == given
    assert int(test.population["guard_is_cut"]) == 1


def test_a_smaller_alpha_asks_for_more_evidence() -> None:
    strict = Test(accounts=200, cfg=guard_of(Guard(alpha=1e-6)))
    first = cut()
    strict.until(int(first.population["guard_judged"]), -0.01)
    assert 0.0 < strict.strength < 1.0


@pytest.mark.parametrize(
    ("events", "acts", "age_ms", "expected"),
    [
        (ESTABLISHED_EVENTS, ESTABLISHED_ACTS, ESTABLISHED_MS + 1, True),
        (ESTABLISHED_EVENTS - 1, ESTABLISHED_ACTS, ESTABLISHED_MS + 1, False),
        (ESTABLISHED_EVENTS, ESTABLISHED_ACTS - 1, ESTABLISHED_MS + 1, False),
        (ESTABLISHED_EVENTS, ESTABLISHED_ACTS, ESTABLISHED_MS, False),
    ],
)
def test_who_is_established(events: int, acts: int, age_ms: int, expected: bool) -> None:
    user, start_ms = np.zeros(1, USERS)[0], 1_700_000_000_000
    for number in range(events):
        observe_account(user, number < acts, start_ms + number)
        user["n_events"] += 1
    assert is_established(user, start_ms + age_ms) is expected


def test_a_twin_that_only_believes_in_another_rate_is_not_worse() -> None:
    """Its level is corrected before it is judged: what is left is the little that finding it takes."""
    rng, test = np.random.default_rng(0), Test(accounts=400)
    p = 0.02 + 0.06 * rng.random(20_000)
    label = (rng.random(len(p)) < p).astype(np.int64)
    doubled = 1 / (1 + np.exp(-(np.log(p / (1 - p)) + math.log(2))))
    _judge_all(CFG, test.population, test.users, rng.integers(0, 400, len(p)), label, p, doubled)
    assert test.population["guard_level"][1] - test.population["guard_level"][0] == pytest.approx(
        -math.log(2), abs=0.05
    )
    assert test.strength > 0.9


@kernel
def _judge_all(cfg: Any, population: Any, users: Any, account: Any, label: Any, p: Any, q: Any) -> None:
    for at in range(account.shape[0]):
        judge(cfg, population, users[account[at]], label[at], p[at], q[at])


@given(p=st.floats(0, 1), q=st.floats(0, 1), label=st.integers(0, 1))
def test_whatever_a_twin_predicts_the_gain_is_bounded(p: float, q: float, label: int) -> None:
    test = Test()
    judge(CFG, test.population, test.users[0], label, p, q)
    assert abs(float(test.users[0]["guard_total"])) <= 1.0
    assert np.isfinite(test.population["guard_level"]).all()


def test_looks_grow_and_weigh_one_together() -> None:
    assert all(earlier < later for earlier, later in itertools.pairwise(LOOKS))
    assert (LOOKS[0], LOOKS[-1]) == (1_000, 100_000)
    assert sum(LOOK_WEIGHTS) == pytest.approx(1.0)


def test_sides_are_named_in_their_order() -> None:
    assert (SIDES[HARM], SIDES[HELP]) == ("harm", "help")
    assert guard.SIGNS[HARM] == -guard.SIGNS[HELP] == -1.0
