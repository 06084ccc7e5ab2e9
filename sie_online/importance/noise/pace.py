"""Evidence of pace: how fast, how evenly and at which times, and is that how this account used to be?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sie_online.contracts import NOISE_HEADS
from sie_online.elementary import doublings, exp, log, log1p
from sie_online.importance.noise.habits import HOUR, OWN_AT, OWN_HOURS
from sie_online.importance.noise.walk import DAY_MS, HOUR_MS, Step
from sie_online.jit import kernel

NAMES = tuple(
    f"pace.{what}"
    for what in (
        "rate",  # log events a day
        "spread",  # of log gaps
        "short_share",
        "fast_share",
        "hours",  # of the day, against what as many events would reach
        "days",  # of its life, that it came
        "age",
        "gap_drift",  # log gap, lately against ever
        "short_drift",
        "fast",  # lately
        "place",  # in the session
        "pause",  # before the session
        "burst_2s",
        "burst_10s",
        "regular_share",  # returns to an item after the same time as the last one
        "regular",  # lately
        "redelivery",  # surprise at the time since the same act on the same item
    )
)
RATE, SPREAD, SHORT_SHARE, FAST_SHARE, HOURS, DAYS, AGE, GAP_DRIFT, SHORT_DRIFT = range(9)
FAST, PLACE, PAUSE, BURST_2S, BURST_10S, REGULAR_SHARE, REGULAR, REDELIVERY = range(9, 17)
N_SIGNALS = len(NAMES)

SHORT_S, FAST_S, INSTANT_S, SESSION_S = 300.0, 10.0, 2.0, 1_800.0
RECENT_GAP, RECENT, RECENT_REGULAR = 0.2, 0.15, 0.1
FORGETTING = 0.02
SETTLED_EVENTS = 8
DAYS_KEPT = 30  # in the map of days
LEAST_AGE_DAYS = 0.2
RETURN_S = 20.0  # sooner, a return to an item is no return
REDELIVERIES = 19  # doubling bins of seconds
REDELIVERY_PRIOR = 0.2
LOG_OTHER_HOURS = -0.13353139262452263  # log(1 - 1 / OWN_HOURS)

USER_FIELDS: list[tuple[Any, ...]] = [
    ("z_short", "f4"),
    ("z_instant", "f4"),
    ("z_days", "u4"),  # bit map of the days modulo DAYS_KEPT
    ("z_usual_gap", "f4"),  # mean log gap, and ...
    ("z_gap_variance", "f4"),
    ("z_recent_gap", "f4"),  # ... lately
    ("z_usual_short", "f4"),
    ("z_recent_short", "f4"),
    ("z_recent_fast", "f4"),
    ("z_session", "f4"),  # events of the session
    ("z_pause", "f4"),  # seconds before it
    ("z_burst_2s", "f4"),
    ("z_burst_10s", "f4"),
    ("z_regular", "f4"),
    ("z_returns", "f4"),
    ("z_recent_regular", "f4"),
]
PAIR_FIELDS: list[tuple[Any, ...]] = [
    ("z_last_ms", "i8", (len(NOISE_HEADS),)),  # of the last event of each kind
    ("z_return", "f4"),  # log seconds of the last return
]
POPULATION_FIELDS: list[tuple[Any, ...]] = [("z_redelivery", "f8", (REDELIVERIES,)), ("z_redelivery_sum", "f8")]


@kernel
def signal_pace(user: Any, pair: Any, population: Any, event: Any, step: Step, out: Any) -> None:
    """Move the account's tempo by the event and write the evidence to ``out`` (N_SIGNALS,)."""
    n = step.n + 1.0
    _signal_returns(user, pair, population, event, step, out)
    _signal_now(user, step, out)
    _signal_drift(user, step, out)
    user.z_days |= np.uint32(1) << np.uint32((event.time_ms // DAY_MS) % DAYS_KEPT)
    age_ms = max(0.0, float(event.time_ms - user.z_first_ms)) if step.n > 0.0 else 0.0
    out[RATE] = log(n / max(age_ms / DAY_MS, LEAST_AGE_DAYS))
    out[SPREAD] = math.sqrt(max(float(user.z_gap_variance), 0.0))
    out[SHORT_SHARE] = user.z_short / n
    out[FAST_SHARE] = user.z_instant / (n + 2.0)
    out[HOURS] = _hours_seen(user) / (OWN_HOURS * (1.0 - exp(n * LOG_OTHER_HOURS)))
    out[DAYS] = _days_seen(user) / (1.0 + age_ms / DAY_MS)
    out[AGE] = log1p(age_ms / HOUR_MS)


@kernel
def _signal_now(user: Any, step: Step, out: Any) -> None:
    if step.n == 0.0 or step.gap_s > SESSION_S:
        user.z_session, user.z_pause = 0.0, step.gap_s
    user.z_session += 1.0
    user.z_burst_2s = user.z_burst_2s * (exp(-step.gap_s / 2.0) if step.n > 0.0 else 0.0) + 1.0
    user.z_burst_10s = user.z_burst_10s * (exp(-step.gap_s / 10.0) if step.n > 0.0 else 0.0) + 1.0
    out[PLACE] = log1p(user.z_session)
    out[PAUSE] = log1p(user.z_pause / 3_600.0)
    out[BURST_2S] = user.z_burst_2s
    out[BURST_10S] = user.z_burst_10s


@kernel
def _signal_drift(user: Any, step: Step, out: Any) -> None:
    """Own recent tempo against the own past."""
    follows = step.n > 0.0
    short = 1.0 if follows and step.gap_s < SHORT_S else 0.0
    fast = 1.0 if follows and step.gap_s < FAST_S else 0.0
    user.z_short += short
    user.z_instant += 1.0 if follows and step.gap_s < INSTANT_S else 0.0
    user.z_recent_fast += RECENT * (fast - user.z_recent_fast)
    user.z_recent_short += RECENT_GAP * (short - user.z_recent_short)
    if step.n <= 1.0:
        user.z_recent_gap = step.log_gap
    else:
        user.z_recent_gap += RECENT_GAP * (step.log_gap - user.z_recent_gap)
    is_settled = step.n >= SETTLED_EVENTS
    spread = math.sqrt(max(float(user.z_gap_variance), 0.0)) + 0.3
    out[GAP_DRIFT] = (user.z_recent_gap - user.z_usual_gap) / spread if is_settled else 0.0
    out[SHORT_DRIFT] = user.z_recent_short - user.z_usual_short if is_settled else 0.0
    out[FAST] = user.z_recent_fast
    gain = max(FORGETTING, 1.0 / (step.n + 1.0))
    user.z_usual_short += gain * (short - user.z_usual_short)
    away = step.log_gap - user.z_usual_gap
    user.z_usual_gap += gain * away
    user.z_gap_variance = (1.0 - gain) * (user.z_gap_variance + gain * away * away)


@kernel
def _signal_returns(user: Any, pair: Any, population: Any, event: Any, step: Step, out: Any) -> None:
    """Time since the same act on the same item: redelivered at once, or come back like clockwork."""
    last_ms = pair.z_last_ms[step.head]
    pair.z_last_ms[step.head] = event.time_ms
    regular = 0.0
    out[REDELIVERY] = 0.0
    if last_ms != 0:
        seconds = max(0.0, (event.time_ms - last_ms) / 1000.0)
        place = min(REDELIVERIES - 1, doublings(max(seconds, 0.5)) + 1)
        seen = population.z_redelivery[place] + REDELIVERY_PRIOR
        total = population.z_redelivery_sum + REDELIVERIES * REDELIVERY_PRIOR
        out[REDELIVERY] = -log(seen / total) - 1.0
        population.z_redelivery[place] += step.mass
        population.z_redelivery_sum += step.mass
        if step.head == 0 and seconds > RETURN_S:
            waited = log(seconds)
            if pair.z_return > 0.0:
                regular = max(0.0, 1.0 - 3.0 * abs(waited - pair.z_return))
                user.z_regular += regular
                user.z_returns += 1.0
            pair.z_return = waited
    user.z_recent_regular += RECENT_REGULAR * (regular - user.z_recent_regular)
    out[REGULAR_SHARE] = user.z_regular / (user.z_returns + 4.0)
    out[REGULAR] = user.z_recent_regular


@kernel
def _hours_seen(user: Any) -> float:
    seen = 0.0
    for hour in range(OWN_HOURS):
        if user.z_own[OWN_AT[HOUR] + hour] > 0.0:
            seen += 1.0
    return seen


@kernel
def _days_seen(user: Any) -> float:
    days, seen = np.uint32(user.z_days), 0.0
    while days != 0:
        days &= days - np.uint32(1)
        seen += 1.0
    return seen
