"""Surprises of an account: is its way of moving through the shop that of the others?

Each trait is a mean over the account's events, signed so that higher is stranger, shrunk to the population's median
while the account is young, and standardised over accounts. Nothing here names a kind of bot.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.contracts import VIEW_CODE
from sie_online.elementary import exp, log, log1p
from sie_online.importance.noise.mixtures.mixture import log_ratio, posterior, standardise_sum
from sie_online.importance.noise.population import NoiseConfig, least_rate, standardise, track
from sie_online.jit import kernel

STEADINESS, HOUR, RATE, PASSIVE, NEW_ITEM, SWITCH, STRANGE_CATEGORY, RARE_ITEM = range(8)
N_TRAITS = 8
ACCOUNT_SUM = N_TRAITS  # row of the summed surprise in the population's tables
ACCOUNT_ROLE = 0

DAY_MS = 86_400_000.0
HOUR_MS = 3_600_000
LAST_PASSIVE_TYPE = VIEW_CODE  # impressions and views ask nothing of anyone; clicks and later steps do
TRAIT_CAP = 6.0  # one trait alone cannot convict an account
TRAIT_FLOOR = 0.05  # shares: smaller differences between accounts are no evidence, however uniform the population
RATE_FLOOR = 0.25  # log events a day
SUM_FLOOR = 0.5
MEAN_EVENTS = 256.0  # an account's means forget beyond this many events
YOUNG_EVENTS = 3  # younger accounts show nothing that the population could be compared with
HALF_MASS_EVENTS = 20.0  # an account's events weigh 20 / (20 + n) in the tables: accounts count, not events
CATEGORY_PRIOR_EVENTS = 3.0  # strength of the population's categories in an account's own distribution
CATALOGUE_EVENTS = 1_000.0  # smoothing of the population's categories


class Tempo(NamedTuple):
    """How an event follows its account's earlier ones."""

    log_gap: float  # log(1 + seconds) since the last one (0 if out of order), NaN for the first
    recent: float  # events so far, decayed with a time constant of a day
    log_recent: float  # log(1 + recent)


@kernel
def tempo_of(user: Any, event: Any) -> Tempo:
    """Read the tempo off the account's record, before ``last_ms`` moves."""
    passed_ms = max(0.0, float(event.time_ms - user.last_ms))
    log_gap = log1p(passed_ms / 1000.0) if user.last_ms != 0 else math.nan
    recent = float(user.s_rate * exp(-(passed_ms / DAY_MS)))
    return Tempo(log_gap, recent, log1p(recent))


@kernel
def trait_values(
    user: Any, item: Any, category: Any, pair: Any, interest: Any, population: Any, event: Any, tempo: Tempo, x: Any
) -> None:
    """This event's contribution to each trait (NaN: nothing to say); ``x`` has N_TRAITS places."""
    x[STEADINESS] = -abs(tempo.log_gap - user.s_gap) if user.s_gaps > 0 else math.nan
    hour = (event.time_ms // HOUR_MS) % 24
    x[HOUR] = -log((population.s_hours[hour] + 1.0) / (population.s_hours_n + 24.0))
    x[RATE] = tempo.log_recent
    x[PASSIVE] = 1.0 if event.etype <= LAST_PASSIVE_TYPE else 0.0
    x[NEW_ITEM] = 1.0 if pair.s_n == 0 else 0.0
    x[RARE_ITEM] = -log1p(item.s_n)
    x[SWITCH] = math.nan
    x[STRANGE_CATEGORY] = math.nan
    if event.category_key != 0:
        if user.s_n > 0:
            x[SWITCH] = 0.0 if user.s_category == event.category_key else 1.0
        usual = (category.s_n + 1.0) / (population.s_n + CATALOGUE_EVENTS)
        own = (interest.s_n + CATEGORY_PRIOR_EVENTS * usual) / (user.s_n + CATEGORY_PRIOR_EVENTS)
        x[STRANGE_CATEGORY] = -log(min(own, 1.0))


@kernel
def own_share(cfg: NoiseConfig, user: Any) -> float:
    """How far an account of its age stands by its own means."""
    return math.sqrt(user.s_n / (user.s_n + cfg.shrinkage))


@kernel
def shrunk(user: Any, population: Any, k: int, own: float) -> float:
    """The account's mean of trait ``k``, drawn to the median so that its spread does not depend on its age.

    ``own`` is its `own_share`.
    """
    mean = user.s_mean[k]
    if k == RATE:
        return float(mean)
    mid = population.z_mid[k]
    return float(mid + (mean - mid) * own)


@kernel
def summed_surprise(cfg: NoiseConfig, user: Any, population: Any) -> float:
    """Sum of the account's standardised traits."""
    own, total = own_share(cfg, user), 0.0
    for k in range(N_TRAITS):
        floor = RATE_FLOOR if k == RATE else TRAIT_FLOOR
        total += standardise(population, k, shrunk(user, population, k, own), floor, TRAIT_CAP)
    return total


@kernel
def account_surprise(cfg: NoiseConfig, user: Any, population: Any) -> float:
    """The account's summed surprise in robust standard deviations of the population's; 0 while it is young."""
    if user.s_n < YOUNG_EVENTS:
        return 0.0
    return standardise_sum(population, ACCOUNT_SUM, summed_surprise(cfg, user, population), SUM_FLOOR)


@kernel
def account_probability(cfg: NoiseConfig, population: Any, surprise: float, said: float) -> float:
    """P(the account is no person browsing), from its `account_surprise` and the log odds that people's words add."""
    return posterior(cfg, population, ACCOUNT_ROLE, log_ratio(surprise, cfg.separation) + said)


@kernel
def observe_account(cfg: NoiseConfig, user: Any, population: Any, event: Any, x: Any) -> None:
    """Move the account's means by the event's ``x`` and its place in the population's tables."""
    mass = HALF_MASS_EVENTS / (HALF_MASS_EVENTS + user.s_n)
    gain = 1.0 / min(user.s_n + 1.0, MEAN_EVENTS)
    own, least = own_share(cfg, user), least_rate(cfg)
    for k in range(N_TRAITS):
        if user.s_n == 0:
            user.s_mean[k] = population.z_mid[k]
        if x[k] == x[k]:
            user.s_mean[k] = x[k] if k == RATE else user.s_mean[k] + gain * (x[k] - user.s_mean[k])
        if user.s_n >= YOUNG_EVENTS:
            track(population, k, shrunk(user, population, k, own), mass, least)
    if user.s_n >= YOUNG_EVENTS:
        track(population, ACCOUNT_SUM, summed_surprise(cfg, user, population), mass, least)
