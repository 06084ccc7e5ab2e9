"""Factor ``noise``: P(this event is noise), online, unsupervised, in one pass.

Three latent causes, each a two-component mixture over a sum of robustly standardised *prequential surprises* (an
event is judged by what was known before it), each with a noise share that the stream itself teaches (online EM):

- the *account* is no person (`noise_account`), for every event of it;
- the *order* is no customer's (`noise_order`), for conversions, and for what an account with such orders does later;
- the *event* alone is a slip (`noise_event`), for samples.

They exclude one another as causes, so P(noise) = 1 - Π(1 - P_cause), and the factor log(1 - P) is a sum over causes.
Explicit signals (`noise_explicit`) add log odds. All-zero records mean "never seen"; only ``key`` and ``last_ms`` of
the base fields are read. State per entity is O(1); the population's tables lie in the shard's one ``population``.
"""

from __future__ import annotations

import math
from typing import Any

from sie_online.importance.noise import explicit
from sie_online.importance.noise.account import (
    ACCOUNT_ROLE,
    ACCOUNT_SUM,
    HOUR_MS,
    MEAN_EVENTS,
    N_TRAITS,
    STRANGE_CATEGORY,
    account_probability,
    gap_seconds,
    observe_account,
    recent_events,
    trait_values,
)
from sie_online.importance.noise.event import (
    EVENT_ROLE,
    EVENT_SUM,
    HASTE_ROW,
    ON_THE_WAY,
    STRANGENESS_ROW,
    event_log_ratio,
    haste,
    summed_event,
)
from sie_online.importance.noise.explicit import (
    dwell_log_ratio,
    item_explicit,
    observe_explicit,
)
from sie_online.importance.noise.order import (
    N_ORDER_SURPRISES,
    observe_order,
    order_probability,
    order_surprises,
)
from sie_online.importance.noise.population import (
    NoiseConfig,
    learn_share,
    posterior,
    track,
    trust,
)
from sie_online.jit import kernel
from sie_online.masks import has

__all__ = [
    "CATEGORY_FIELDS",
    "INTEREST_FIELDS",
    "ITEM_FIELDS",
    "KEPT_FIELDS",
    "PAIR_FIELDS",
    "POPULATION_FIELDS",
    "USER_FIELDS",
    "NoiseConfig",
    "assess",
    "observe",
    "reassess",
]

N_ROLES = 3
MIN_MASS = 1e-3  # an event of a condemned account hardly counts as ordinary
N_ROWS = 25  # surprises and sums in the population's tables
AUDIENCE_EVENTS = 64.0  # an item's audience forgets beyond this many events
ORDER_PRIOR = 0.5  # innocent orders presumed of every account
HOURS_KEPT = 65_536.0  # the population's hours are halved at twice this many events

USER_FIELDS: list[tuple[Any, ...]] = [
    ("z_mean", "f4", (N_TRAITS,)),  # running means of the traits of `noise_account`
    ("z_n", "f4"),  # events
    ("z_gap", "f4"),  # mean log(1 + seconds) between events
    ("z_gaps", "f4"),  # gaps in that mean
    ("z_rate", "f4"),  # events, decayed over a day, as of last_ms
    ("z_views", "f4"),  # impressions, views and clicks
    ("z_buys", "f4"),
    ("z_orders", "f4"),  # sum of P(noise) over purchases
    ("z_last_order", "f4"),  # P(noise) of the last purchase
    ("z_category", "u8"),  # category of the last event
    *explicit.USER_FIELDS,
]
ITEM_FIELDS: list[tuple[Any, ...]] = [
    ("z_n", "f8"),
    ("z_views", "f8"),
    ("z_buys", "f8"),
    ("z_new", "f4"),  # mean newness 1 / (1 + events so far) of the accounts behind its events
    ("z_new_buyers", "f4"),  # the same over its purchases
    *explicit.ITEM_FIELDS,
]
CATEGORY_FIELDS: list[tuple[Any, ...]] = [("z_n", "f8")]
PAIR_FIELDS: list[tuple[Any, ...]] = [("z_n", "f4")]
INTEREST_FIELDS: list[tuple[Any, ...]] = [("z_n", "f4")]
POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_n", "f8"),
    ("z_views", "f8"),
    ("z_buys", "f8"),
    *explicit.POPULATION_FIELDS,
    ("z_hours", "f8", (24,)),
    ("z_hours_n", "f8"),
    ("z_traits", "f8", (N_TRAITS,)),  # scratch of one event: kernels cannot allocate
    ("z_surprises", "f8", (N_ORDER_SURPRISES,)),
    ("z_mid", "f8", (N_ROWS,)),  # medians
    ("z_low", "f8", (N_ROWS,)),  # lower quartiles
    ("z_seen", "f8", (N_ROWS,)),  # observations in both
    ("z_share", "f8", (N_ROLES,)),  # noise share per cause
    ("z_share_n", "f8", (N_ROLES,)),
]

KEPT_FIELDS: list[tuple[Any, ...]] = [
    ("surprise", "f8"),  # a view's summed surprise ...
    ("log_odds", "f8"),  # ... and log odds that it brings along
]


@kernel
def combined(cfg: NoiseConfig, first: float, second: float, third: float) -> float:
    """P(at least one cause), below the cap."""
    return min(max(1.0 - (1.0 - first) * (1.0 - second) * (1.0 - third), 0.0), cfg.max_probability)


@kernel
def order_guilt(user: Any) -> float:
    """P(two of the account's orders, drawn at random, are both noise), an innocent half order presumed."""
    guilt = user.z_orders / (user.z_buys + ORDER_PRIOR)
    return float(guilt * guilt)


@kernel
def slip_probability(cfg: NoiseConfig, item: Any, population: Any, kept: Any) -> float:
    """P(the view itself is a slip), with the item's explicit signals as they stand now."""
    odds = event_log_ratio(population, kept.surprise) + kept.log_odds + item_explicit(item, population)
    return posterior(cfg, population, EVENT_ROLE, odds)


@kernel
def assess(
    cfg: NoiseConfig,
    user: Any,
    item: Any,
    category: Any,
    pair: Any,
    interest: Any,
    population: Any,
    event: Any,
    kept: Any,
) -> float:
    """P(noise) of an event from what was known before it.

    Call before `observe` and before ``last_ms`` moves. What `reassess` will need of a view is left in ``kept``
    (`KEPT_FIELDS`). Finite for every input, in [0, ``cfg.max_probability``].
    """
    kept.surprise = ON_THE_WAY
    kept.log_odds = 0.0
    if has(cfg.conversions, event.etype):
        surprises = population.z_surprises
        order_surprises(cfg, user, item, pair, population, event, surprises)
        return combined(cfg, 0.0, order_probability(cfg, population, surprises), 0.0)
    account = account_probability(cfg, user, population)
    if not has(cfg.samples, event.etype):
        return combined(cfg, account, order_guilt(user), 0.0)
    traits = population.z_traits
    trait_values(user, item, category, pair, interest, population, event, traits)
    kept.surprise = summed_event(user, population, event, traits)
    kept.log_odds = dwell_log_ratio(population, event)
    return combined(cfg, account, order_guilt(user), slip_probability(cfg, item, population, kept))


@kernel
def reassess(cfg: NoiseConfig, user: Any, item: Any, population: Any, kept: Any, label: int) -> float:
    """P(noise) of an earlier view with what is known now.

    ``label`` 1: the pair has just converted (call after the conversion was observed): the view is as good as that
    order. ``label`` 0: the window has closed; view and account are judged again.
    """
    if label == 1:
        return combined(cfg, 0.0, user.z_last_order, 0.0)
    account = account_probability(cfg, user, population)
    return combined(cfg, account, order_guilt(user), slip_probability(cfg, item, population, kept))


@kernel
def observe(
    cfg: NoiseConfig,
    user: Any,
    item: Any,
    category: Any,
    pair: Any,
    interest: Any,
    population: Any,
    event: Any,
    p_noise: float,
) -> None:
    """Count the event, after `assess` and before ``last_ms`` moves. ``p_noise`` is what `assess` returned."""
    traits = population.z_traits
    trait_values(user, item, category, pair, interest, population, event, traits)
    account = account_probability(cfg, user, population)
    learn_share(cfg, population, ACCOUNT_ROLE, account, trust(population, ACCOUNT_SUM))
    surprises = population.z_surprises
    order_surprises(cfg, user, item, pair, population, event, surprises)
    observe_order(cfg, population, event, surprises, max(1.0 - account, MIN_MASS))
    if has(cfg.conversions, event.etype):
        _count_order(user, item, population, p_noise)
    elif has(cfg.samples, event.etype):
        _observe_view(cfg, user, item, population, event, traits, max(1.0 - account, MIN_MASS))
    observe_account(cfg, user, population, event, traits)
    observe_explicit(cfg, user, item, population, event)
    _count(user, item, category, pair, interest, population, event)


@kernel
def _count_order(user: Any, item: Any, population: Any, p_noise: float) -> None:
    user.z_orders += p_noise
    user.z_last_order = p_noise
    user.z_buys += 1.0
    item.z_buys += 1.0
    item.z_new_buyers += (1.0 / (1.0 + user.z_n) - item.z_new_buyers) / min(item.z_buys, AUDIENCE_EVENTS)
    population.z_buys += 1.0


@kernel
def _observe_view(
    cfg: NoiseConfig, user: Any, item: Any, population: Any, event: Any, traits: Any, mass: float
) -> None:
    total = summed_event(user, population, event, traits)
    odds = event_log_ratio(population, total) + dwell_log_ratio(population, event)
    learn_share(
        cfg, population, EVENT_ROLE, posterior(cfg, population, EVENT_ROLE, odds), mass * trust(population, EVENT_SUM)
    )
    if total > ON_THE_WAY and mass > 0.0:
        delay = haste(user, event)
        if delay == delay:
            track(population, HASTE_ROW, delay, mass, cfg.memory)
        track(population, STRANGENESS_ROW, traits[STRANGE_CATEGORY], mass, cfg.memory)
        track(population, EVENT_SUM, total, mass, cfg.memory)
    user.z_views += 1.0
    item.z_views += 1.0
    population.z_views += 1.0


@kernel
def _count(user: Any, item: Any, category: Any, pair: Any, interest: Any, population: Any, event: Any) -> None:
    gap = math.log1p(gap_seconds(user, event))
    if gap == gap:
        user.z_gaps += 1.0
        user.z_gap += (gap - user.z_gap) / min(user.z_gaps, MEAN_EVENTS)
    user.z_rate = 1.0 + recent_events(user, event.time_ms)
    user.z_n += 1.0
    user.z_category = event.category_key
    item.z_n += 1.0
    item.z_new += (1.0 / user.z_n - item.z_new) / min(item.z_n, AUDIENCE_EVENTS)
    category.z_n += 1.0
    pair.z_n += 1.0
    interest.z_n += 1.0
    population.z_n += 1.0
    population.z_hours[(event.time_ms // HOUR_MS) % 24] += 1.0
    population.z_hours_n += 1.0
    if population.z_hours_n >= 2.0 * HOURS_KEPT:
        population.z_hours_n *= 0.5
        for hour in range(24):
            population.z_hours[hour] *= 0.5
