"""Where an event stands in its account's walk through the shop: what all of its evidence is computed from, once."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online.contracts import NOISE_HEADS, VIEW_CODE
from sie_online.elementary import doublings, log
from sie_online.importance.noise.population import NoiseConfig
from sie_online.jit import kernel
from sie_online.masks import has

SAMPLE, ACT, CONVERSION = range(len(NOISE_HEADS))
"""Heads of the noise model."""

GAP_BINS = 16
LONG_GAP_BIN, FIRST_GAP_BIN = 14, 15
HALF_DAY_S, LONG_GAP_S = 16_384.0, 40_000.0
FIRST, SAME_ITEM, SEEN_ITEM, SAME_CATEGORY, KNOWN_CATEGORY, NEW_CATEGORY = range(6)
KINDS = 6
POPULARITY_EDGES = (1.0, 2.0, 3.0, 6.0, 12.0, 30.0)
POPULARITY_BINS = len(POPULARITY_EDGES) + 1
PAUSE_EDGES_S = (8.0, 60.0, 1_800.0, 20_000.0)
PAUSES = len(PAUSE_EDGES_S) + 2
SEEN_CAP = 3
FIRST_LOG_GAP = 5.0  # in place of a gap that there is not
HALF_MASS_EVENTS = 30.0
HOUR_MS, DAY_MS = 3_600_000, 86_400_000

USER_FIELDS: list[tuple[Any, ...]] = [
    ("z_n", "f4"),  # events
    ("z_views", "f4"),
    ("z_first_ms", "i8"),
    ("z_item", "u4"),  # of the last event: low half of its keys ...
    ("z_category", "u4"),
    ("z_gap_bin", "u1"),  # ... and how it was reached
    ("z_kind", "u1"),
]
ITEM_FIELDS: list[tuple[Any, ...]] = [
    ("z_n", "f4"),
    ("z_views", "f4"),
    ("z_visitors", "f4"),  # accounts that came, counted as long as their pair is remembered
    ("z_first_ms", "i8"),
]
PAIR_FIELDS: list[tuple[Any, ...]] = [("z_views", "f4"), ("z_acts", "f4"), ("z_first_view_ms", "i8")]
INTEREST_FIELDS: list[tuple[Any, ...]] = [("z_views", "f4")]
POPULATION_FIELDS: list[tuple[Any, ...]] = [("z_first_ms", "i8")]


class Step(NamedTuple):
    """One event as a step of its account's walk, by what was known before it."""

    n: float  # the account's events before
    head: int  # of the noise model
    etype: int
    gap_s: float  # since the account's last event, at least 0; 0 for its first
    log_gap: float  # log seconds, at least log 0.5
    gap_bin: int
    pause: int
    kind: int
    popularity: int
    hour: int
    visits: float  # views of the pair before
    is_new_item: bool  # the account never came to the item
    is_new_category: bool
    user: Any  # low half of the keys
    item: Any
    mass: float  # of the event in tables over everybody: an account's thousandth event says little about the others


@kernel
def low_half(key: Any) -> Any:
    """The low 32 bits of a key: enough to tell an account's few companions apart."""
    return np.uint32(key & np.uint64(0xFFFFFFFF))


@kernel
def step_of(cfg: NoiseConfig, user: Any, item: Any, pair: Any, interest: Any, event: Any) -> Step:
    """Read the event's place off the records."""
    n = float(user.z_n)
    is_new_item = pair.z_views == 0.0 and pair.z_acts == 0.0
    gap_s, log_gap, gap_bin, pause, kind = 0.0, FIRST_LOG_GAP, FIRST_GAP_BIN, 0, FIRST
    if user.z_n > 0.0:
        gap_s = max(0.0, (event.time_ms - user.last_ms) / 1000.0)
        log_gap = log(max(gap_s, 0.5))
        gap_bin, pause = _gap_bin(gap_s), 1 + _place(PAUSE_EDGES_S, gap_s)
        kind = _kind(user, interest, event, is_new_item)
    return Step(
        n=n,
        head=head_of(cfg, event.etype),
        etype=int(event.etype),
        gap_s=gap_s,
        log_gap=log_gap,
        gap_bin=gap_bin,
        pause=pause,
        kind=kind,
        popularity=_place(POPULARITY_EDGES, float(item.z_views)),
        hour=int((event.time_ms // HOUR_MS) % 24),
        visits=float(pair.z_views),
        is_new_item=is_new_item,
        is_new_category=interest.z_views == 0.0,
        user=low_half(event.user_key),
        item=low_half(event.item_key),
        mass=1.0 / (1.0 + n / HALF_MASS_EVENTS),
    )


@kernel
def head_of(cfg: NoiseConfig, etype: int) -> int:
    """Head of the noise model that judges an event: what asks nothing of anyone is judged as samples are."""
    if has(cfg.conversions, etype):
        return CONVERSION
    return SAMPLE if has(cfg.samples, etype) or etype <= VIEW_CODE else ACT


@kernel
def _kind(user: Any, interest: Any, event: Any, is_new_item: bool) -> int:
    if user.z_item == low_half(event.item_key):
        return SAME_ITEM
    if not is_new_item:
        return SEEN_ITEM
    if user.z_category == low_half(event.category_key):
        return SAME_CATEGORY
    return NEW_CATEGORY if interest.z_views == 0.0 else KNOWN_CATEGORY


@kernel
def _gap_bin(gap_s: float) -> int:
    """Doubling bins: below 1 s, below 2 s, ...; two open ones at the end."""
    if gap_s >= LONG_GAP_S:
        return LONG_GAP_BIN
    if gap_s >= HALF_DAY_S:
        return LONG_GAP_BIN - 1
    return doublings(max(gap_s, 0.5)) + 1


@kernel
def _place(edges: Any, value: float) -> int:
    place = 0
    for edge in edges:
        place += 1 if value >= edge else 0
    return place


@kernel
def take_step(user: Any, item: Any, pair: Any, interest: Any, event: Any, step: Step) -> None:
    """Count the event, last of all."""
    if step.n == 0.0:
        user.z_first_ms = event.time_ms
    user.z_n += 1.0
    user.z_item, user.z_category = step.item, low_half(event.category_key)
    user.z_gap_bin, user.z_kind = step.gap_bin, step.kind
    item.z_n += 1.0
    if step.is_new_item:
        item.z_visitors += 1.0
    if step.head == SAMPLE:
        if pair.z_views == 0.0:
            pair.z_first_view_ms = event.time_ms
        user.z_views += 1.0
        item.z_views += 1.0
        pair.z_views += 1.0
        interest.z_views += 1.0
    else:
        pair.z_acts += 1.0


@kernel
def meet(item: Any, population: Any, event: Any) -> None:
    """Note when the item, and the shop, were first heard of; first of all."""
    if item.z_first_ms == 0:
        item.z_first_ms = event.now_ms
    if population.z_first_ms == 0:
        population.z_first_ms = event.now_ms
