"""What is remembered about users, items, categories, pairs and interests, and how it is read.

All-zero records mean *never seen*. Decayed counters are values as of the record's `last_ms`: they decay when read.
Times inside records are event time: `_ms` in milliseconds, `_s` in whole Unix seconds (0 = never).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sie_online.masks import CONVERSIONS, SAMPLES
from sie_online.moments import DAY_MS, MINUTE_MS

Fields = list[tuple[Any, ...]]

USER_FIELDS: Fields = [
    ("n_views", "u4"),  # exposures, ever
    ("n_buys", "u4"),  # conversions (purchases by default), ever
    ("session_events", "u4"),
    ("last_etype", "u1"),
    ("pace", "f8"),  # events, decayed over minutes
    ("activity", "f8"),  # exposures, decayed over a day
    ("last_item", "u8"),  # keys of the last event
    ("last_category", "u8"),
]
ITEM_FIELDS: Fields = [
    ("n_users", "u4"),  # users that saw it (as far as pairs are remembered)
    ("n_repeats", "u4"),  # exposures to users who had seen it before
    ("views", "f8"),  # decayed over days, like the next two
    ("carts", "f8"),
    ("buys", "f8"),
]
CATEGORY_FIELDS: Fields = [
    ("views", "f8"),  # decayed over days
    ("buys", "f8"),
    ("log_price", "f8"),  # running mean over its last events with a price
    ("n_priced", "u4"),
]
PAIR_FIELDS: Fields = [
    ("n_views", "u2"),
    ("first_s", "u4"),  # first exposure
    ("cart_s", "u4"),  # last time it was put into the cart, marked as favourite, bought
    ("favorite_s", "u4"),
    ("buy_s", "u4"),
]
INTEREST_FIELDS: Fields = [
    ("n_views", "u2"),
    ("n_items", "u2"),  # different items of the category that the user saw
    ("buy_s", "u4"),
]
POPULATION_FIELDS: Fields = [
    ("views", "f8"),  # decayed over days
    ("buys", "f8"),
    ("clock_ms", "i8"),  # when they were last decayed
]


class FeatureConfig(NamedTuple):
    """Settings of the features, as kernels take them."""

    dim: int = 1 << 16  # indices lie in [0, dim), a power of two; 0 means "absent"
    samples: int = SAMPLES  # bit mask: event types that get a label
    conversions: int = CONVERSIONS  # bit mask: event types that make a sample positive
    pace_half_life_ms: float = 5.0 * MINUTE_MS
    activity_half_life_ms: float = 1.0 * DAY_MS
    popularity_half_life_ms: float = 5.0 * DAY_MS
    session_gap_ms: int = 30 * MINUTE_MS
