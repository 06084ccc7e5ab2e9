"""Evidence of reach: how much of what an account does is new to it, and is that how it used to be?"""

from __future__ import annotations

from typing import Any

from sie_online.elementary import log1p
from sie_online.importance.noise.walk import KNOWN_CATEGORY, SAMPLE, Step
from sie_online.jit import kernel

NAMES = tuple(
    f"reach.{what}"
    for what in (
        "items",  # items per view
        "categories",  # categories per item
        "fondness",  # largest share of its views that one item has
        "category_drift",  # share of new categories, lately against ever
        "item_drift",
        "leaps",  # steps to another category within seconds, lately
        "new_items",  # lately
        "session_categories",  # new categories of the session, against ever
        "visits",  # to this item so far
    )
)
ITEMS, CATEGORIES, FONDNESS, CATEGORY_DRIFT, ITEM_DRIFT, LEAPS, NEW_ITEMS, SESSION_CATEGORIES, VISITS = range(9)
N_SIGNALS = len(NAMES)

LEAP_S = 30.0
RECENT_CATEGORY, RECENT = 0.2, 0.15
FORGETTING = 0.02
SETTLED_EVENTS = 8

USER_FIELDS: list[tuple[Any, ...]] = [
    ("z_seen_items", "f4"),
    ("z_seen_categories", "f4"),
    ("z_most_visits", "f4"),
    ("z_recent_categories", "f4"),  # shares of new ones, lately ...
    ("z_recent_items", "f4"),
    ("z_usual_categories", "f4"),  # ... and ever
    ("z_usual_items", "f4"),
    ("z_recent_leaps", "f4"),
    ("z_session_categories", "f4"),
]


@kernel
def signal_reach(user: Any, step: Step, out: Any) -> None:
    """Count what is new to the account and write the evidence to ``out`` (N_SIGNALS,). Call after `pace`."""
    is_view = step.head == SAMPLE
    new_item, new_category = 1.0 if step.visits == 0.0 else 0.0, 1.0 if step.is_new_category else 0.0
    leap = 1.0 if step.kind >= KNOWN_CATEGORY and step.gap_s < LEAP_S else 0.0
    if is_view and step.visits == 0.0:
        user.z_seen_items += 1.0
        user.z_seen_categories += new_category
    user.z_most_visits = max(float(user.z_most_visits), step.visits)
    views = user.z_views + (1.0 if is_view else 0.0)
    out[ITEMS] = user.z_seen_items / (views + 1.0)
    out[CATEGORIES] = user.z_seen_categories / (user.z_seen_items + 1.0)
    out[FONDNESS] = user.z_most_visits / (views + 2.0)
    user.z_recent_leaps += RECENT * (leap - user.z_recent_leaps)
    user.z_recent_items += RECENT * (new_item - user.z_recent_items)
    user.z_recent_categories += RECENT_CATEGORY * (new_category - user.z_recent_categories)
    if user.z_session == 1.0:
        user.z_session_categories = 0.0
    user.z_session_categories += new_category
    is_settled = step.n >= SETTLED_EVENTS
    out[CATEGORY_DRIFT] = user.z_recent_categories - user.z_usual_categories if is_settled else 0.0
    out[ITEM_DRIFT] = user.z_recent_items - user.z_usual_items if is_settled else 0.0
    out[LEAPS] = user.z_recent_leaps
    out[NEW_ITEMS] = user.z_recent_items
    gain = max(FORGETTING, 1.0 / (step.n + 1.0))
    user.z_usual_categories += gain * (new_category - user.z_usual_categories)
    user.z_usual_items += gain * (new_item - user.z_usual_items)
    out[SESSION_CATEGORIES] = (user.z_session_categories + 0.5) / (user.z_session + 1.0) - user.z_usual_categories
    out[VISITS] = log1p(step.visits)
