"""Evidence of the audience: who comes to the item, how many at once, and how often the same ones?"""

from __future__ import annotations

import math
from typing import Any

from sie_online.elementary import exp, log1p
from sie_online.importance.noise.walk import DAY_MS, HOUR_MS, SAMPLE, SEEN_CAP, Step
from sie_online.jit import kernel

NAMES = tuple(
    f"audience.{what}"
    for what in (
        "burst_2h",  # events of two hours beyond what the item's views let expect
        "burst_day",
        "newcomers",  # events of young accounts, beyond their usual share
        "views_per_visitor",
        "devoted",  # visitors that came many times
        "age",
        "sameness",  # of the pauses of those who come
        "mean_newcomers",  # over the account's events
        "mean_burst",
        "mean_devoted",
        "mean_views_per_visitor",
    )
)
BURST_2H, BURST_DAY, NEWCOMERS, VIEWS_PER_VISITOR, DEVOTED, AGE, SAMENESS = range(7)
MEAN_NEWCOMERS, MEAN_BURST, MEAN_DEVOTED, MEAN_VIEWS_PER_VISITOR = range(7, 11)
N_SIGNALS = len(NAMES)

TWO_HOURS_MS, FOUR_HOURS_MS = 2 * HOUR_MS, 4 * HOUR_MS
YOUNG_EVENTS = 10
YOUNG_SHARE = 0.15
CAP, LOW_CAP, DEVOTED_CAP = 6.0, -2.0, 3.0
FORGETTING = 0.15
KNOWN_VIEWS = 3

USER_FIELDS: list[tuple[Any, ...]] = [
    ("z_newcomers", "f4"),
    ("z_bursts", "f4"),
    ("z_devoted", "f4"),
    ("z_views_per_visitor", "f4"),
]
ITEM_FIELDS: list[tuple[Any, ...]] = [
    ("z_2h", "f4"),  # events, decayed over two hours ...
    ("z_day", "f4"),  # ... and over a day, as of last_ms
    ("z_young", "f4"),  # events of young accounts
    ("z_devoted", "f4"),  # visitors that came more than SEEN_CAP times
    ("z_pause", "f4"),  # mean log gap of those who come
    ("z_pause_variance", "f4"),
]


@kernel
def signal_audience(user: Any, item: Any, population: Any, event: Any, step: Step, out: Any) -> None:
    """Count the event among the item's and write the evidence to ``out`` (N_SIGNALS,)."""
    views = float(item.z_views)
    visitors = item.z_visitors + (1.0 if step.is_new_item else 0.0)
    _signal_bursts(item, population, event, views, out)
    item.z_young += 1.0 if step.n < YOUNG_EVENTS else 0.0
    usual = YOUNG_SHARE * (views + 1.0)
    out[NEWCOMERS] = (item.z_young - usual) / math.sqrt(usual + 0.3)
    out[VIEWS_PER_VISITOR] = (views + 1.0) / (visitors + 1.0)
    if step.head == SAMPLE and step.visits == SEEN_CAP:
        item.z_devoted += 1.0
    out[DEVOTED] = item.z_devoted / math.sqrt(visitors + 1.0)
    out[AGE] = log1p(max(0.0, float(event.now_ms - item.z_first_ms)) / HOUR_MS)
    away = step.log_gap - item.z_pause
    gain = max(FORGETTING, 1.0 / (views + 1.0))
    item.z_pause += gain * away
    item.z_pause_variance = (1.0 - gain) * (item.z_pause_variance + gain * away * away)
    out[SAMENESS] = -math.sqrt(max(float(item.z_pause_variance), 0.0)) if views >= KNOWN_VIEWS else 0.0
    _signal_means(user, step, out)


@kernel
def _signal_bursts(item: Any, population: Any, event: Any, views: float, out: Any) -> None:
    if item.z_n > 0.0:
        passed = max(0.0, float(event.now_ms - item.last_ms))
        item.z_2h *= exp(-passed / TWO_HOURS_MS)
        item.z_day *= exp(-passed / DAY_MS)
    known_ms = max(0.0, float(event.now_ms - population.z_first_ms))
    usual_2h = 0.3 + views * TWO_HOURS_MS / max(known_ms, FOUR_HOURS_MS)
    usual_day = 0.5 + views * DAY_MS / max(known_ms, DAY_MS)
    item.z_2h += 1.0
    item.z_day += 1.0
    out[BURST_2H] = (item.z_2h - usual_2h) / math.sqrt(usual_2h)
    out[BURST_DAY] = (item.z_day - usual_day) / math.sqrt(usual_day)


@kernel
def _signal_means(user: Any, step: Step, out: Any) -> None:
    """What sort of items the account goes to."""
    n = step.n + 1.0
    user.z_newcomers += min(max(out[NEWCOMERS], LOW_CAP), CAP)
    user.z_bursts += min(max(out[BURST_2H], LOW_CAP), CAP)
    user.z_devoted += min(out[DEVOTED], DEVOTED_CAP)
    user.z_views_per_visitor += min(out[VIEWS_PER_VISITOR], CAP)
    out[MEAN_NEWCOMERS] = user.z_newcomers / n
    out[MEAN_BURST] = user.z_bursts / n
    out[MEAN_DEVOTED] = user.z_devoted / n
    out[MEAN_VIEWS_PER_VISITOR] = user.z_views_per_visitor / n
