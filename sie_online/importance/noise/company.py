"""Evidence of company: do the same few accounts keep meeting at the same items, or go the same way one after another?

An account's most frequent companions are counted in four places (Misra & Gries 1982), and an item remembers its last
four visitors: what is O(1) finds a pair of accounts that shares many rare items, and no pair that shares a popular one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sie_online.elementary import LN2, log
from sie_online.importance.noise.walk import SAMPLE, Step
from sie_online.jit import kernel

NAMES = tuple(
    f"company.{what}"
    for what in (
        "closest",  # meetings with the most frequent companion
        "met_share",  # items at which a companion had just been
        "followed_share",  # steps that another account had just made from the same item
        "repeated_share",  # steps that the account had made from the same item before
        "mean_item",  # mean of the next one over the account's events
        "item",  # how far the item's visitors are each other's companions
        "followed",  # lately
        "repeated",
    )
)
CLOSEST, MET_SHARE, FOLLOWED_SHARE, REPEATED_SHARE, MEAN_ITEM, ITEM, FOLLOWED, REPEATED = range(8)
N_SIGNALS = len(NAMES)

COMPANIONS, VISITORS = 4, 4
MEETINGS_CAP = 3.0
RECENT = 0.15

USER_FIELDS: list[tuple[Any, ...]] = [
    ("z_companions", "u4", (COMPANIONS,)),  # low half of their keys
    ("z_meetings", "f4", (COMPANIONS,)),  # at rare items they weigh more
    ("z_met", "f4"),
    ("z_items", "f4"),  # items come to for the first time
    ("z_steps", "f4"),  # from one item to another
    ("z_followed", "f4"),
    ("z_repeated", "f4"),
    ("z_recent_followed", "f4"),
    ("z_recent_repeated", "f4"),
    ("z_item_company", "f4"),
]
ITEM_FIELDS: list[tuple[Any, ...]] = [
    ("z_last", "u4", (VISITORS,)),  # low half of the last visitors' keys
    ("z_company", "f4"),
    ("z_came_from", "u4"),  # the item before, of the last one to come
    ("z_came", "u4"),  # who that was
]
PAIR_FIELDS: list[tuple[Any, ...]] = [("z_came_from", "u4")]


@kernel
def signal_company(user: Any, item: Any, pair: Any, step: Step, out: Any) -> None:
    """Note who met whom and write the evidence to ``out`` (N_SIGNALS,)."""
    visitors = item.z_visitors + (1.0 if step.is_new_item else 0.0)
    if step.is_new_item:
        _meet_visitors(user, item, step)
    followed, repeated = 0.0, 0.0
    if step.n > 0.0 and user.z_item != step.item:
        followed, repeated = _compare_ways(user, item, pair, step)
    user.z_recent_followed += RECENT * (followed - user.z_recent_followed)
    user.z_recent_repeated += RECENT * (repeated - user.z_recent_repeated)
    closest = 0.0
    for place in range(COMPANIONS):
        closest = max(closest, float(user.z_meetings[place]))
    company = item.z_company / (visitors + 1.0)
    user.z_item_company += company
    out[CLOSEST] = closest / math.sqrt(user.z_items + 1.0)
    out[MET_SHARE] = user.z_met / (user.z_items + 3.0)
    out[FOLLOWED_SHARE] = user.z_followed / (user.z_steps + 5.0)
    out[REPEATED_SHARE] = user.z_repeated / (user.z_steps + 5.0)
    out[MEAN_ITEM] = user.z_item_company / (step.n + 1.0)
    out[ITEM] = company
    out[FOLLOWED] = user.z_recent_followed
    out[REPEATED] = user.z_recent_repeated


@kernel
def _meet_visitors(user: Any, item: Any, step: Step) -> None:
    """Count the item's last visitors as companions, the rarer the item the more; become one of them."""
    worth = LN2 / log(3.0 + item.z_visitors)
    met, closest = 0.0, 0.0
    for place in range(VISITORS):
        visitor = item.z_last[place]
        if visitor != 0 and visitor != step.user:
            met_before = _meet_one(user, visitor, worth)
            closest = max(closest, met_before)
            if met_before > 0.0:
                met = 1.0
    user.z_met += met
    user.z_items += 1.0
    item.z_last[int(item.z_visitors) % VISITORS] = step.user
    item.z_company += min(closest, MEETINGS_CAP)


@kernel
def _meet_one(user: Any, visitor: Any, worth: float) -> float:
    """Count one meeting; how often the two had met before."""
    free = -1
    for place in range(COMPANIONS):
        if user.z_meetings[place] > 0.0 and user.z_companions[place] == visitor:
            before = float(user.z_meetings[place])
            user.z_meetings[place] += worth
            return before
        if user.z_meetings[place] <= 0.0 and free < 0:
            free = place
    if free >= 0:
        user.z_companions[free], user.z_meetings[free] = visitor, worth
    else:
        for place in range(COMPANIONS):
            user.z_meetings[place] -= worth / COMPANIONS
    return 0.0


@kernel
def _compare_ways(user: Any, item: Any, pair: Any, step: Step) -> tuple[float, float]:
    """Whether another account, and whether the account itself, came here from the same item the last time."""
    came_from = np.uint32(user.z_item)
    followed = 1.0 if item.z_came_from == came_from and item.z_came != step.user and item.z_came != 0 else 0.0
    item.z_came_from, item.z_came = came_from, step.user
    user.z_followed += followed
    user.z_steps += 1.0
    repeated = 0.0
    if step.head == SAMPLE:
        repeated = 1.0 if step.visits > 0.0 and pair.z_came_from == came_from else 0.0
        pair.z_came_from = came_from
        user.z_repeated += repeated
    return followed, repeated


@kernel
def forget_companion(user: Any, who: Any) -> None:
    """Strike the account ``who`` (low half of its key) from ``user``'s companions."""
    for place in range(COMPANIONS):
        if user.z_companions[place] == who:
            user.z_companions[place], user.z_meetings[place] = 0, 0.0


@kernel
def forget_visitor(item: Any, who: Any) -> None:
    """Strike the account ``who`` (low half of its key) from ``item``'s last visitors."""
    for place in range(VISITORS):
        if item.z_last[place] == who:
            item.z_last[place] = 0
    if item.z_came == who:
        item.z_came, item.z_came_from = 0, 0
