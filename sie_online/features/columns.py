"""The columns of an event's features, by name: one-hot ones, which are hashed, and dense ones, which stay numbers.

A new column is its line here and the line in `sie_online.features.extract` that writes it.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt


class Features(NamedTuple):
    """The hashed columns, in order; an `x` joins what is binned together."""

    event_type: int
    pair_recency: int  # times this user saw this item x time since
    pair_user_gap: int  # the same x time since the user's last event
    pair_state: int  # seen x in cart x favourite x bought
    pair_cart_age: int
    pair_favorite_age: int
    pair_age: int  # seen x time since the first view
    last_event: int  # type of the user's last event x same item x same category
    user_activity: int  # views within a day x events in this session
    user_history: int  # views x purchases, ever
    user_lift: int  # conversion rate against everybody's
    interest: int  # views x items of this category by this user
    interest_buy_age: int
    category: int
    item_lift: int  # conversion rate x views
    item_actions: int  # carts x purchases
    item_repeats: int  # repeat views per user x users
    category_volume: int  # views x purchases
    category_lift_seen: int
    user_lift_seen: int
    item_lift_seen: int
    pace_seen: int  # events within minutes x time since the last one x seen
    cart_gap: int  # in cart x time since the user's last event x same item as then
    position: int
    price: int  # against the category's


FEATURE_NAMES = Features._fields
N_FEATURES = len(FEATURE_NAMES)
FEATURE = Features(*range(N_FEATURES))
"""The place of each column in `idx_out`."""

ID_FEATURES = ("category",)
"""Columns that hold an id rather than a bin: their number of values has no bound."""

# Few, and none of users or items: with those, factors learn a log by heart and forget its future (measured).
FACTOR_FEATURES = ("pair_recency", "pair_state", "user_history", "category", "category_volume")
FACTOR_COLUMNS = tuple(FEATURE_NAMES.index(name) for name in FACTOR_FEATURES)
"""Columns whose pairs the recommender's factorisation machine models."""


class Dense(NamedTuple):
    """The real-valued columns, in order."""

    pair_views: int  # log(1 + times this user saw this item)
    pair_gap: int  # log(1 + seconds) since their last event, `NEVER_S` at most
    user_gap: int  # the same since the user's last event
    in_cart: int  # 0 or 1, like the next two
    favorite: int
    bought: int
    user_lift: int  # log of the conversion rate against everybody's, like the next two
    category_lift: int
    item_lift: int
    pace: int  # log(1 + events within minutes)
    activity: int  # log(1 + views within a day)
    user_views: int  # log(1 + views, ever)
    item_views: int  # log(1 + views within days)
    interest_views: int  # log(1 + views of items of this category by this user)
    position: int  # log(1 + position), 0 where absent
    price: int  # log of price / category's price, 0 where absent


DENSE_NAMES = Dense._fields
N_DENSE = len(DENSE_NAMES)
DENSE = Dense(*range(N_DENSE))
"""The place of each column in `dense_out`."""


def as_dict(idx: npt.NDArray[np.uint32], dense: npt.NDArray[np.float32]) -> dict[Hashable, Any]:
    """One event's features for a classifier that takes dictionaries: dense columns, and 1.0 for every bin it is in.

    Ids are left out: a plugged-in model may keep state for every key it meets.
    """
    features: dict[Hashable, Any] = {name: float(value) for name, value in zip(DENSE_NAMES, dense, strict=True)}
    for name, index in zip(FEATURE_NAMES, idx, strict=True):
        if index and name not in ID_FEATURES:
            features[f"{name}={index}"] = 1.0
    return features
