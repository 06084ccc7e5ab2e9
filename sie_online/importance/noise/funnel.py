"""Evidence of the funnel: do acts and orders come as they come to others who looked as often, at such an item?"""

from __future__ import annotations

import math
from typing import Any

from sie_online.elementary import doublings, log
from sie_online.importance.noise.habits import context_of
from sie_online.importance.noise.walk import CONVERSION, PAUSES, SAMPLE, SEEN_CAP, Step
from sie_online.jit import kernel

NAMES = tuple(
    f"funnel.{what}"
    for what in (
        "engagement",  # the account's acts beyond what its views let expect
        "act_share",
        "order_share",
        "act_drift",  # share of acts, lately against ever
        "item_engagement",  # the item's acts beyond what its views let expect
        "item_orders",  # the same for orders
        "item_new_buyers",  # newness of the accounts that ordered it
        "act_delay",  # surprise at how long after the first look an act comes
    )
)
ENGAGEMENT, ACT_SHARE, ORDER_SHARE, ACT_DRIFT, ITEM_ENGAGEMENT, ITEM_ORDERS, ITEM_NEW_BUYERS, ACT_DELAY = range(8)
N_SIGNALS = len(NAMES)

UNSEEN = (SEEN_CAP + 1) * 2 * PAUSES  # context of an act on what was never looked at
CONTEXTS = UNSEEN + 1
DELAYS = 24  # doubling bins of seconds; 0: never looked at
ACT_PRIOR, ORDER_PRIOR, VIEW_PRIOR = 0.5, 0.2, 10.0  # acts, orders and views presumed in every context
DELAY_PRIOR = 0.2
UNSEEN_ACTS = 0.05  # acts expected where nothing was looked at
NEWNESS_EVENTS = 5.0  # views at which an account is half new
ORDER_SLACK, ORDER_CAUTION = 0.2, 1.5
RECENT, FORGETTING = 0.2, 0.02
SETTLED_EVENTS = 8

USER_FIELDS: list[tuple[Any, ...]] = [
    ("z_expected_acts", "f4"),
    ("z_acts", "f4"),
    ("z_orders", "f4"),
    ("z_recent_acts", "f4"),  # share of acts, lately ...
    ("z_usual_acts", "f4"),  # ... and ever
]
ITEM_FIELDS: list[tuple[Any, ...]] = [
    ("z_expected_acts", "f4"),
    ("z_expected_orders", "f4"),
    ("z_acts", "f4"),
    ("z_orders", "f4"),
    ("z_new_buyers", "f4"),  # sum of newness over orders
]
PAIR_FIELDS: list[tuple[Any, ...]] = [("z_context", "u1")]  # of the last view
POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_context_views", "f8", (CONTEXTS,)),
    ("z_context_acts", "f8", (CONTEXTS,)),
    ("z_context_orders", "f8", (CONTEXTS,)),
    ("z_delays", "f8", (2, DELAYS)),  # of acts, of orders
    ("z_delays_sum", "f8", (2,)),
]


@kernel
def signal_funnel(user: Any, item: Any, pair: Any, population: Any, event: Any, step: Step, out: Any) -> None:
    """Count the event in the funnel and write its evidence to ``out`` (N_SIGNALS,)."""
    is_act = step.head != SAMPLE
    out[ACT_DELAY] = 0.0
    if is_act:
        _count_act(user, item, pair, population, event, step, out)
    else:
        _expect(user, item, pair, population, step)
    out[ITEM_ENGAGEMENT] = (item.z_acts - item.z_expected_acts - 0.1) / math.sqrt(item.z_expected_acts + 0.5)
    expected = ORDER_SLACK + ORDER_CAUTION * item.z_expected_orders
    out[ITEM_ORDERS] = (item.z_orders - expected) / math.sqrt(expected)
    out[ITEM_NEW_BUYERS] = (item.z_new_buyers + 0.3) / (item.z_orders + 1.0)
    views = user.z_views + (0.0 if is_act else 1.0)
    out[ENGAGEMENT] = (user.z_acts - user.z_expected_acts) / math.sqrt(user.z_expected_acts + 0.5)
    out[ACT_SHARE] = (user.z_acts + 0.3) / (views + 3.0)
    out[ORDER_SHARE] = (user.z_orders + 0.05) / (views + 2.0)
    act = 1.0 if is_act else 0.0
    user.z_recent_acts += RECENT * (act - user.z_recent_acts)
    out[ACT_DRIFT] = user.z_recent_acts - user.z_usual_acts if step.n >= SETTLED_EVENTS else 0.0
    user.z_usual_acts += max(FORGETTING, 1.0 / (step.n + 1.0)) * (act - user.z_usual_acts)


@kernel
def _expect(user: Any, item: Any, pair: Any, population: Any, step: Step) -> None:
    """A view: what acts and orders come of such?"""
    context = context_of(pair, step)
    population.z_context_views[context] += step.mass
    views = population.z_context_views[context] + VIEW_PRIOR
    acts = (population.z_context_acts[context] + ACT_PRIOR) / views
    user.z_expected_acts += acts
    item.z_expected_acts += acts
    item.z_expected_orders += (population.z_context_orders[context] + ORDER_PRIOR) / views
    pair.z_context = context


@kernel
def _count_act(user: Any, item: Any, pair: Any, population: Any, event: Any, step: Step, out: Any) -> None:
    context = int(pair.z_context)
    bin_ = 0
    if pair.z_views == 0.0:
        context = UNSEEN
        population.z_context_views[UNSEEN] += step.mass
        user.z_expected_acts += UNSEEN_ACTS
    else:
        seconds = max(1.0, (event.time_ms - pair.z_first_view_ms) / 1000.0)
        bin_ = min(DELAYS - 1, 1 + doublings(seconds))
    population.z_context_acts[context] += step.mass
    user.z_acts += 1.0
    item.z_acts += 1.0
    order = 1 if step.head == CONVERSION else 0
    if order == 1:
        population.z_context_orders[context] += step.mass
        user.z_orders += 1.0
        item.z_orders += 1.0
        item.z_new_buyers += 1.0 / (1.0 + user.z_views / NEWNESS_EVENTS)
    seen = population.z_delays[order, bin_] + DELAY_PRIOR
    out[ACT_DELAY] = -log(seen / (population.z_delays_sum[order] + DELAYS * DELAY_PRIOR))
    population.z_delays[order, bin_] += step.mass
    population.z_delays_sum[order] += step.mass
