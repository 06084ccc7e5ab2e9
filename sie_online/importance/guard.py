"""The guard: how far the weights may depart from 1, by whether those who learn with them predict better.

Owns the strength s in ``w <- 1 + s (w - 1)`` and the test behind it: whose views are judged, what a judged view says,
and what of it is evidence. Two twins learn side by side, one with the weights and one without; when a view settles,

    d = clip(loss(uniform) - loss(weighted), -1, 1)         (log losses of what both predicted at the event)

**Who is judged.** On all events even perfect weights lose: the twin that learns from bots predicts bots best. So only
views of *established* accounts count, as it was known at the view: `is_established`.

**By what.** Weights move the rate of conversions that a model believes in, which a job's intercept takes back and which
would drown what they do to the rest; so each twin is judged after a running correction of its level, fitted to the
judged views before.

**Evidence.** Views of one account depend on each other in ways that nobody knows; accounts are taken as independent.
Let S_a be the sum of d over the judged views of account a in a *round*, X_a = clip(S_a / c, -1, 1) for a clip c, and
mu_a its mean. If mu_a is at most 0 on average over accounts, then for a fixed number n of judged views of A accounts

    E M_c(n) = E prod_a (1 + b X_a) = prod_a (1 + b mu_a) <= (1 + b mean_a mu_a)^A <= 1         (0 < b < 1)

whatever happens within an account; the first inequality is that of the means. The same holds for the mean over some
clips. An account's total goes on changing, so M(n) is no martingale in n: evidence is taken at fixed looks n_k only.
E = w_1 M(n_1) + ... + w_k M(n_k) only grows (all w_k together are 1), and stays below 1/alpha for the whole round with
probability 1 - alpha or more (Markov's inequality). A round ends with its last look; the next one's totals start anew,
and its alpha is its own.
(Bets: Waudby-Smith & Ramdas, JRSSB 2023; e-values: Vovk & Wang, Ann. Stat. 2021.)

**Strength.** While harm is not established, s = 1 - log+ E_harm / log(1/alpha), with the larger E_harm of this round
and the one before; at E_harm >= 1/alpha harm is established and s = 0. From there only help that is established in a
round begun since brings s = 1 back.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.contracts import PROBABILITY_FLOOR
from sie_online.elementary import exp, log
from sie_online.jit import kernel
from sie_online.moments import DAY_MS
from sie_online.settings import Guard

HARM, HELP = 0, 1
SIDES = ("harm", "help")
SIGNS = (-1.0, 1.0)
"""What a twin's gain means to either side."""

ESTABLISHED_EVENTS = 20
ESTABLISHED_ACTS = 2
ESTABLISHED_MS = DAY_MS
"""An account is established from so many events on, so many of them acts (no views), and so long after its first."""

STAKE = 0.65
"""Share of the capital that an account can lose for us: b above."""
SMALLEST_CLIP = 0.5
N_BETS = 3
"""Clips are 1/2, 1 and 2 nats. Losses are skewed, many small ones against a few large; a clip far below the totals
would judge the typical account instead of the mean, and cut perfect weights."""

FIRST_LOOK = 1_000
LOOKS_PER_DECADE = 8
N_LOOKS = 17
LOOKS = tuple(round(FIRST_LOOK * 10 ** (k / LOOKS_PER_DECADE)) for k in range(N_LOOKS))
"""Judged views in a round at which evidence is taken, up to 100,000, where the round ends. Denser looks cost more
evidence than they save in waiting."""
HEAVIEST_LOOK = 6
LOOK_WIDTH = 3.0
_UNSCALED = tuple(1.0 / (1.0 + ((k - HEAVIEST_LOOK) / LOOK_WIDTH) ** 2) for k in range(N_LOOKS))
LOOK_WEIGHTS = tuple(each / sum(_UNSCALED) for each in _UNSCALED)
"""w_k: most where harm worth the name should be found, at 2,400 to 13,000 views, and a ninth of that at the end."""

LARGEST_LOG = 60.0
"""exp of it is evidence enough, and finite."""
LEVEL_PRIOR = 5.0
"""What the level starts with, in the curvature of its loss: a judged view adds p (1 - p)."""
LEVEL_MEMORY = 20_000.0
"""Judged views over which the level forgets."""

USER_FIELDS: list[tuple[Any, ...]] = [
    ("guard_first_ms", "i8"),  # first event, event time; 0: none yet
    ("guard_total", "f8"),  # S_a of round ...
    ("guard_round", "i4"),  # ... this
    ("guard_acts", "i4"),
]
POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("guard_judged", "i8"),  # views, ever
    ("guard_round", "i8"),
    ("guard_views", "i8"),  # judged in this round
    ("guard_looks", "i8"),  # taken in it
    ("guard_logs", "f8", (2, N_BETS)),  # log M_c(now), by side
    ("guard_evidence", "f8", (2,)),  # E, by side
    ("guard_before", "f8"),  # E of harm when the round before ended
    ("guard_is_cut", "i8"),  # harm is established
    ("guard_withheld", "f8"),  # 1 - s
    ("guard_level", "f8", (2,)),  # by twin: what is added to the logit ...
    ("guard_curvature", "f8", (2,)),  # ... and what has been seen for it
]


class GuardConfig(NamedTuple):
    """``pinned``: the strength, NaN where the guard decides; ``log_bound``: log(1 / alpha)."""

    pinned: float
    log_bound: float


def guard_of(settings: Guard) -> GuardConfig:
    """The kernels' scalars for ``settings``."""
    pinned = math.nan if settings.strength is None else settings.strength
    return GuardConfig(pinned=pinned, log_bound=-math.log(settings.alpha))


@kernel
def strength(cfg: GuardConfig, population: Any) -> float:
    """The strength in force, in [0, 1]."""
    if cfg.pinned == cfg.pinned:
        return float(cfg.pinned)
    return float(1.0 - population.guard_withheld)


@kernel
def log_evidence(population: Any, side: int) -> float:
    """log E of harm or help in this round, at least 0."""
    return log(max(1.0, population.guard_evidence[side]))


@kernel
def is_established(user: Any, time_ms: int) -> bool:
    """Whether an event of the account at ``time_ms``, not counted yet, is to be judged."""
    return bool(
        user.n_events >= ESTABLISHED_EVENTS
        and user.guard_acts >= ESTABLISHED_ACTS
        and time_ms - user.guard_first_ms > ESTABLISHED_MS
    )


@kernel
def observe_account(user: Any, is_act: bool, time_ms: int) -> None:
    """Count an event of the account."""
    if user.guard_first_ms == 0:
        user.guard_first_ms = max(time_ms, 1)
    if is_act:
        user.guard_acts += 1


@kernel
def judge(cfg: GuardConfig, population: Any, user: Any, label: int, p_uniform: float, p_weighted: float) -> None:
    """Take in what a settled view of an established account says; ``p_*`` as predicted at the event."""
    gain = _loss(population, 0, p_uniform, label) - _loss(population, 1, p_weighted, label)
    bet(cfg, population, user, min(1.0, max(-1.0, gain)))


@kernel
def _loss(population: Any, twin: int, p: float, label: int) -> float:
    """Log loss of a twin's prediction after the correction of its level, which then learns."""
    p = min(1.0 - PROBABILITY_FLOOR, max(PROBABILITY_FLOOR, p))
    corrected = 1.0 / (1.0 + exp(-(log(p / (1.0 - p)) + population.guard_level[twin])))
    corrected = min(1.0 - PROBABILITY_FLOOR, max(PROBABILITY_FLOOR, corrected))
    seen = population.guard_curvature[twin] * (1.0 - 1.0 / LEVEL_MEMORY) + corrected * (1.0 - corrected)
    population.guard_curvature[twin] = seen
    population.guard_level[twin] += (label - corrected) / (LEVEL_PRIOR + seen)
    return -log(corrected if label == 1 else 1.0 - corrected)


@kernel
def bet(cfg: GuardConfig, population: Any, user: Any, gain: float) -> None:
    """Add ``gain``, d of one view, to its account's total; at a look, take evidence and set the strength."""
    if user.guard_round != population.guard_round:
        user.guard_round, user.guard_total = population.guard_round, 0.0
    before, after = user.guard_total, user.guard_total + gain
    user.guard_total = after
    for which in range(N_BETS):
        clip = SMALLEST_CLIP * (1 << which)
        old, new = STAKE * _clipped(before / clip), STAKE * _clipped(after / clip)
        for side in range(2):
            population.guard_logs[side, which] += log((1.0 + SIGNS[side] * new) / (1.0 + SIGNS[side] * old))
    population.guard_judged += 1
    population.guard_views += 1
    if population.guard_views == LOOKS[population.guard_looks]:
        _look(cfg, population)


@kernel
def _clipped(x: float) -> float:
    return min(1.0, max(-1.0, x))


@kernel
def _look(cfg: GuardConfig, population: Any) -> None:
    for side in range(2):
        for which in range(N_BETS):
            capital = exp(min(LARGEST_LOG, population.guard_logs[side, which]))
            population.guard_evidence[side] += LOOK_WEIGHTS[population.guard_looks] * capital / N_BETS
    population.guard_looks += 1
    if population.guard_is_cut != 0:
        if log_evidence(population, HELP) >= cfg.log_bound:
            population.guard_is_cut, population.guard_withheld = 0, 0.0
            _start_round(population, 0.0)
    else:
        harm = log(max(1.0, population.guard_before, population.guard_evidence[HARM]))
        population.guard_withheld = min(1.0, harm / cfg.log_bound)
        if log_evidence(population, HARM) >= cfg.log_bound:
            population.guard_is_cut = 1
            _start_round(population, 0.0)
    if population.guard_looks == N_LOOKS:
        _start_round(population, population.guard_evidence[HARM])


@kernel
def _start_round(population: Any, harm: float) -> None:
    """All totals and capitals anew; ``harm`` is what the guard goes on with of the round that ends."""
    population.guard_round += 1
    population.guard_views = population.guard_looks = 0
    for side in range(2):
        population.guard_evidence[side] = 0.0
        for which in range(N_BETS):
            population.guard_logs[side, which] = 0.0
    population.guard_before = harm
