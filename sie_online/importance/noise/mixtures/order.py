"""Surprises of an order: did a customer of some standing come to this purchase by looking around?

An order is a conversion, whichever event type that is.
Higher is stranger. Every surprise is standardised over purchases; what is unknown counts as ordinary.
"""

from __future__ import annotations

import math
from typing import Any

from sie_online.elementary import asinh, log, log1p
from sie_online.importance.noise.mixtures.account import ACCOUNT_SUM, Tempo
from sie_online.importance.noise.mixtures.mixture import learn_share, log_ratio, posterior, standardise_sum, trust
from sie_online.importance.noise.population import LOWER_QUARTILE_Z, NoiseConfig, least_rate, standardise, track
from sie_online.jit import kernel
from sie_online.masks import has

NEW_ACCOUNT, UNBROWSED, ITEM_EXCESS, NEW_BUYERS, HURRY, QUIET_DAY, ODD_ACCOUNT, NEW_AUDIENCE = range(8)
N_ORDER_SURPRISES = 8
FIRST_ROW = ACCOUNT_SUM + 1
ORDER_SUM = FIRST_ROW + N_ORDER_SURPRISES
PURCHASE_SUM = ORDER_SUM + 1  # the summed surprise again, over purchases alone
ORDER_ROLE = 1

ORDER_CAP = 6.0
ORDER_FLOOR = 0.25  # log counts: a quarter more or less is no difference
SUM_FLOOR = 1.0
DOUBT = 0.5  # of a suspect order is left out of what purchases are like: at 1, suspicion feeds itself on heavy tails
HALF_BELIEF = 60.0  # purchases at which their own centre and scale are half believed
TAIL = 3.0  # deviations beyond which evidence grows as a logarithm: orders of real people have a heavy tail
ODD = 2.0  # deviations: below, an account is like many others and adds nothing
RATE_PRIOR_VIEWS = 10.0
BUYER_PRIOR = 1.0  # purchases at which an item's buyers are half believed
AUDIENCE_PRIOR = 2.0  # the same for its visitors


@kernel
def order_surprises(
    user: Any, item: Any, pair: Any, population: Any, event: Any, tempo: Tempo, account: float, x: Any
) -> None:
    """The purchase's surprises before it is counted; ``x`` has N_ORDER_SURPRISES places.

    ``account`` is its `account_surprise`.
    """
    x[NEW_ACCOUNT] = -log1p(user.s_n)
    x[UNBROWSED] = log((user.s_buys + 0.5) / (user.s_views + 1.0))
    expected = item.s_views * (population.s_buys + 1.0) / (population.s_views + RATE_PRIOR_VIEWS)
    x[ITEM_EXCESS] = log1p(max(0.0, item.s_buys - expected) / math.sqrt(expected + 1.0))
    x[NEW_BUYERS] = item.s_new_buyers * item.s_buys / (item.s_buys + BUYER_PRIOR)
    x[NEW_AUDIENCE] = item.s_new * math.sqrt(item.s_n / (item.s_n + AUDIENCE_PRIOR))
    x[HURRY] = -log1p(max(0.0, (event.time_ms - pair.last_ms) / 1000.0)) if pair.s_n > 0 else math.nan
    x[QUIET_DAY] = -tempo.log_recent
    x[ODD_ACCOUNT] = max(0.0, account - ODD)


@kernel
def summed_order(population: Any, x: Any) -> float:
    """Sum of the standardised surprises."""
    total = 0.0
    for k in range(N_ORDER_SURPRISES):
        total += standardise(population, FIRST_ROW + k, x[k], ORDER_FLOOR, ORDER_CAP)
    return total


@kernel
def order_surprise(population: Any, x: Any) -> float:
    """The summed surprise in robust standard deviations of what it is over all events."""
    return standardise_sum(population, ORDER_SUM, summed_order(population, x), SUM_FLOOR)


@kernel
def order_probability(cfg: NoiseConfig, population: Any, x: Any) -> float:
    """P(the order is no customer's) from its surprises.

    Purchases may be stranger than other events by nature: their own centre and scale count where they are the more
    cautious ones.
    """
    belief = population.z_seen[PURCHASE_SUM] / (population.z_seen[PURCHASE_SUM] + HALF_BELIEF)
    centre = max(0.0, belief * population.z_mid[PURCHASE_SUM])
    scale = max(1.0, belief * (population.z_mid[PURCHASE_SUM] - population.z_low[PURCHASE_SUM]) / LOWER_QUARTILE_Z)
    sober = TAIL * asinh((order_surprise(population, x) - centre) / scale / TAIL)
    return posterior(cfg, population, ORDER_ROLE, log_ratio(sober, cfg.separation))


@kernel
def observe_order(cfg: NoiseConfig, population: Any, event: Any, x: Any, mass: float) -> None:
    """Enter an event's surprises, with weight ``mass``, into the population's tables.

    All but the haste of a purchase are compared with what they are at *any* event: purchases are few, and those of a
    polluted log far more polluted than its events (generated streams: AUC of orders .998 against .970).
    """
    purchase, least = has(cfg.conversions, event.etype), least_rate(cfg)
    for k in range(N_ORDER_SURPRISES):
        if x[k] == x[k] and (purchase or k != HURRY):
            track(population, FIRST_ROW + k, x[k], mass, least)
    if purchase:
        probability = order_probability(cfg, population, x)
        learn_share(cfg, population, ORDER_ROLE, probability, trust(population, ORDER_SUM))
        track(population, PURCHASE_SUM, order_surprise(population, x), 1.0 - DOUBT * probability, least)
    track(population, ORDER_SUM, summed_order(population, x), mass, least)
