"""What a noise model takes for noise in a log, with hindsight: odd events, odd accounts, and few of the ordinary."""

from __future__ import annotations

import numpy as np
import pytest

from sie_online.importance.noise.evidence import N_SIGNALS
from sie_online.importance.noise.model import neutral_noise
from sie_online.shard.trace import Trace
from streams.trainer.suspects import DOUBTFUL, SUSPECT, mass_of, suspicion

USERS, EVENTS = 200, 30
MODEL = neutral_noise()._replace(mix=np.tile(np.array([0, 1, 0, 0, 0, 0], np.float32), (3, 1)))


def log_of_logits(logit: np.ndarray, user: np.ndarray, head: int = 0) -> Trace:
    """A trace of which only the first stage's logits matter: `MODEL` mixes in nothing else."""
    n = len(logit)
    order = np.argsort(user, kind="stable")
    events = np.zeros(n, np.float32)
    starts = np.concatenate([[0], np.flatnonzero(np.diff(user[order])) + 1])
    events[order] = np.arange(n) - np.repeat(starts, np.diff([*starts, n])) + 1
    nothing = np.zeros(n)
    return Trace(
        np.zeros((n, N_SIGNALS), np.float32),
        np.full(n, head, np.int8),
        events,
        user,
        np.zeros(n, np.int64),
        logit.astype(np.float32),
        nothing,
        nothing,
        np.arange(n),
    )


@pytest.fixture
def ordinary() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(USERS), EVENTS)
    return rng.normal(0, 0.3, USERS)[user] + rng.normal(-1, 0.7, len(user)), user


def test_a_log_of_ordinary_events_is_hardly_suspected(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    found = suspicion(log_of_logits(*ordinary), MODEL)
    assert ((found >= 0) & (found <= 1)).all()
    assert (found >= SUSPECT).mean() < 0.01


def test_an_account_that_is_a_little_odd_throughout_is_suspected_as_a_whole(
    ordinary: tuple[np.ndarray, np.ndarray],
) -> None:
    logit, user = ordinary
    odd = user < 20
    alone = suspicion(log_of_logits(logit + 2.2 * odd, np.arange(len(user))), MODEL)
    found = suspicion(log_of_logits(logit + 2.2 * odd, user), MODEL)
    assert (alone[odd] >= SUSPECT).mean() < 0.5
    assert (found[odd] >= SUSPECT).mean() > 0.95
    assert (found[~odd] >= DOUBTFUL).mean() < 0.02


def test_few_odd_events_do_not_make_their_account_suspect(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    logit, user = ordinary
    odd = np.arange(len(user)) % EVENTS == 7
    found = suspicion(log_of_logits(logit + 5 * odd, user), MODEL)
    assert (found[odd] >= SUSPECT).mean() > 0.9
    assert (found[~odd] >= DOUBTFUL).mean() < 0.05


def test_it_does_not_depend_on_how_long_or_how_high_log_ratios_are(ordinary: tuple[np.ndarray, np.ndarray]) -> None:
    logit, user = ordinary
    found = suspicion(log_of_logits(logit, user), MODEL)
    np.testing.assert_allclose(suspicion(log_of_logits(3 * logit + 2, user), MODEL), found, atol=0.01)


def test_accounts_of_a_single_event_are_judged_by_it_alone() -> None:
    logit = np.random.default_rng(1).normal(-1, 0.7, 500)
    logit[:5] = 6.0
    found = suspicion(log_of_logits(logit, np.arange(500)), MODEL)
    assert (found[:5] >= SUSPECT).all()
    assert (found[5:] < SUSPECT).mean() > 0.97


def test_an_accounts_events_count_less_and_less() -> None:
    log = log_of_logits(np.zeros(40), np.zeros(40, np.int64))
    mass = mass_of(log)
    assert mass[0] == pytest.approx(20 / 21)
    assert (np.diff(mass) < 0).all()
