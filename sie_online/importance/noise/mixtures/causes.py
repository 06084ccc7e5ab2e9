"""P(noise) of an event by three latent causes: unsupervised, in one pass, from the shop's own stream alone.

Each cause is a two-component mixture over a sum of robustly standardised *prequential surprises* (an event is judged
by what was known before it), with a noise share that the stream itself teaches:

- the *account* is no person (``account``), for every event of it;
- the *order* is no customer's (``order``), for conversions, and for what an account with such orders does later;
- the *event* alone is a slip (``event``), for samples.

They exclude one another as causes, so P(noise) = 1 - Π(1 - P_cause). What people say outright adds log odds
(`noise.explicit`). All-zero records mean "never seen"; only ``key`` and ``last_ms`` of the base fields are read. State
per entity is O(1); the population's tables lie in the shard's one ``population``.
"""

from __future__ import annotations

from typing import Any

from sie_online.importance.noise.explicit import Words, item_explicit, user_explicit
from sie_online.importance.noise.mixtures.account import (
    ACCOUNT_ROLE,
    ACCOUNT_SUM,
    HOUR_MS,
    MEAN_EVENTS,
    N_TRAITS,
    STRANGE_CATEGORY,
    Tempo,
    account_probability,
    account_surprise,
    observe_account,
    tempo_of,
    trait_values,
)
from sie_online.importance.noise.mixtures.event import (
    EVENT_ROLE,
    EVENT_SUM,
    HASTE_ROW,
    ON_THE_WAY,
    STRANGENESS_ROW,
    event_log_ratio,
    summed_event,
)
from sie_online.importance.noise.mixtures.mixture import learn_share, posterior, trust
from sie_online.importance.noise.mixtures.order import (
    N_ORDER_SURPRISES,
    observe_order,
    order_probability,
    order_surprises,
)
from sie_online.importance.noise.population import NoiseConfig, least_rate, track
from sie_online.jit import kernel
from sie_online.masks import has

N_ROLES = 3
MIN_MASS = 1e-3  # an event of a condemned account hardly counts as ordinary
AUDIENCE_EVENTS = 64.0  # an item's audience forgets beyond this many events
ORDER_PRIOR = 0.5  # innocent orders presumed of every account
HOURS_KEPT = 65_536.0  # the population's hours are halved at twice this many events

USER_FIELDS: list[tuple[Any, ...]] = [
    ("s_mean", "f4", (N_TRAITS,)),  # running means of the traits of ``account``
    ("s_n", "f4"),  # events
    ("s_gap", "f4"),  # mean log(1 + seconds) between events
    ("s_gaps", "f4"),  # gaps in that mean
    ("s_rate", "f4"),  # events, decayed over a day, as of last_ms
    ("s_views", "f4"),  # impressions, views and clicks
    ("s_buys", "f4"),
    ("s_orders", "f4"),  # sum of P(noise) over purchases
    ("s_last_order", "f4"),  # P(noise) of the last purchase
    ("s_category", "u8"),  # category of the last event
]
ITEM_FIELDS: list[tuple[Any, ...]] = [
    ("s_n", "f8"),
    ("s_views", "f8"),
    ("s_buys", "f8"),
    ("s_new", "f4"),  # mean newness 1 / (1 + events so far) of the accounts behind its events
    ("s_new_buyers", "f4"),  # the same over its purchases
]
CATEGORY_FIELDS: list[tuple[Any, ...]] = [("s_n", "f8")]
PAIR_FIELDS: list[tuple[Any, ...]] = [("s_n", "f4")]
INTEREST_FIELDS: list[tuple[Any, ...]] = [("s_n", "f4")]
POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("s_n", "f8"),
    ("s_views", "f8"),
    ("s_buys", "f8"),
    ("s_hours", "f8", (24,)),
    ("s_hours_n", "f8"),
    ("s_traits", "f8", (N_TRAITS,)),  # scratch of one event: kernels cannot allocate
    ("s_surprises", "f8", (N_ORDER_SURPRISES,)),
    ("s_share", "f8", (N_ROLES,)),  # noise share per cause
    ("s_share_n", "f8", (N_ROLES,)),
]


@kernel
def combined(cfg: NoiseConfig, first: float, second: float, third: float) -> float:
    """P(at least one cause), below the cap."""
    return min(max(1.0 - (1.0 - first) * (1.0 - second) * (1.0 - third), 0.0), cfg.max_probability)


@kernel
def order_guilt(user: Any) -> float:
    """P(two of the account's orders, drawn at random, are both noise), an innocent half order presumed."""
    guilt = user.s_orders / (user.s_buys + ORDER_PRIOR)
    return float(guilt * guilt)


@kernel
def slip_probability(cfg: NoiseConfig, population: Any, kept: Any, said: float) -> float:
    """P(the view itself is a slip), with the log odds that people's words on its item add."""
    odds = event_log_ratio(population, kept.surprise) + kept.log_odds + said
    return posterior(cfg, population, EVENT_ROLE, odds)


@kernel
def assess_causes(
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
    """P(noise) of an event from what was known before it; then the event is counted. Once per event.

    Call before ``last_ms`` moves. A view's summed surprise is left in ``kept``, of which ``log_odds`` is read. Finite
    for every input, in [0, ``cfg.max_probability``].
    """
    traits, surprises = population.s_traits, population.s_surprises
    tempo, odd = tempo_of(user, event), account_surprise(cfg, user, population)
    trait_values(user, item, category, pair, interest, population, event, tempo, traits)
    order_surprises(user, item, pair, population, event, tempo, odd, surprises)
    account = account_probability(cfg, population, odd, user_explicit(user, population))
    order, sample = has(cfg.conversions, event.etype), has(cfg.samples, event.etype)
    kept.surprise = ON_THE_WAY
    if order:
        found = combined(cfg, 0.0, order_probability(cfg, population, surprises), 0.0)
    else:
        slip = 0.0
        if sample:
            kept.surprise = summed_event(population, tempo, traits)
            slip = slip_probability(cfg, population, kept, item_explicit(item, population))
        found = combined(cfg, account, order_guilt(user), slip)
    learn_share(cfg, population, ACCOUNT_ROLE, account, trust(population, ACCOUNT_SUM))
    ordinary = max(1.0 - account, MIN_MASS)
    observe_order(cfg, population, event, surprises, ordinary)
    if order:
        _count_order(user, item, population, found)
    elif sample:
        _observe_view(cfg, user, item, population, tempo, traits, kept, ordinary)
    observe_account(cfg, user, population, event, traits)
    _count(user, item, category, pair, interest, population, event, tempo)
    return found


@kernel
def reassess_causes(cfg: NoiseConfig, user: Any, population: Any, kept: Any, label: int, said: Words) -> float:
    """P(noise) of an earlier view with what is known now, and ``said`` of its user and item.

    ``label`` 1: the pair has just converted (call after the conversion was assessed): the view is as good as that
    order. ``label`` 0: the window has closed; view and account are judged again.
    """
    if label == 1:
        return combined(cfg, 0.0, user.s_last_order, 0.0)
    account = account_probability(cfg, population, account_surprise(cfg, user, population), said.user)
    return combined(cfg, account, order_guilt(user), slip_probability(cfg, population, kept, said.item))


@kernel
def _count_order(user: Any, item: Any, population: Any, p_noise: float) -> None:
    user.s_orders += p_noise
    user.s_last_order = p_noise
    user.s_buys += 1.0
    item.s_buys += 1.0
    item.s_new_buyers += (1.0 / (1.0 + user.s_n) - item.s_new_buyers) / min(item.s_buys, AUDIENCE_EVENTS)
    population.s_buys += 1.0


@kernel
def _observe_view(
    cfg: NoiseConfig, user: Any, item: Any, population: Any, tempo: Tempo, traits: Any, kept: Any, mass: float
) -> None:
    total = float(kept.surprise)
    odds = event_log_ratio(population, total) + kept.log_odds
    learn_share(
        cfg, population, EVENT_ROLE, posterior(cfg, population, EVENT_ROLE, odds), mass * trust(population, EVENT_SUM)
    )
    if total > ON_THE_WAY and mass > 0.0:
        least = least_rate(cfg)
        if tempo.log_gap == tempo.log_gap:
            track(population, HASTE_ROW, -tempo.log_gap, mass, least)
        track(population, STRANGENESS_ROW, traits[STRANGE_CATEGORY], mass, least)
        track(population, EVENT_SUM, total, mass, least)
    user.s_views += 1.0
    item.s_views += 1.0
    population.s_views += 1.0


@kernel
def _count(
    user: Any, item: Any, category: Any, pair: Any, interest: Any, population: Any, event: Any, tempo: Tempo
) -> None:
    if tempo.log_gap == tempo.log_gap:
        user.s_gaps += 1.0
        user.s_gap += (tempo.log_gap - user.s_gap) / min(user.s_gaps, MEAN_EVENTS)
    user.s_rate = 1.0 + tempo.recent
    user.s_n += 1.0
    user.s_category = event.category_key
    item.s_n += 1.0
    item.s_new += (1.0 / user.s_n - item.s_new) / min(item.s_n, AUDIENCE_EVENTS)
    category.s_n += 1.0
    pair.s_n += 1.0
    interest.s_n += 1.0
    population.s_n += 1.0
    population.s_hours[(event.time_ms // HOUR_MS) % 24] += 1.0
    population.s_hours_n += 1.0
    if population.s_hours_n >= 2.0 * HOURS_KEPT:
        population.s_hours_n *= 0.5
        for hour in range(24):
            population.s_hours[hour] *= 0.5
