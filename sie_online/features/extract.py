"""Reading: the features of one event, from what was known before it.

One-hot columns (`FEATURE_NAMES`) become hashed indices; dense columns (`DENSE_NAMES`) stay numbers. Column 0 of the
index space means *absent*: no position was logged, the event has no category, and so on; no model learns from it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sie_online.features.bins import (
    COUNT,
    EDGES,
    LIFT,
    PACE,
    POSITION_CAP,
    PRICE,
    REPEAT,
    SEEN_CAP,
    VOLUME,
    age_bin,
    bin_of,
    decayed,
    elapsed_ms,
    slot,
)
from sie_online.jit import kernel

FEATURE_NAMES = (
    "event_type",
    "pair_recency",  # times this user saw this item x time since
    "pair_user_gap",  # the same x time since the user's last event
    "pair_state",  # seen x in cart x favourite x bought
    "pair_cart_age",
    "pair_favorite_age",
    "pair_age",  # seen x time since the first view
    "last_event",  # type of the user's last event x same item x same category
    "user_activity",  # views within a day x events in this session
    "user_history",  # views x purchases, ever
    "user_lift",  # conversion rate against everybody's
    "interest",  # views x items of this category by this user
    "interest_buy_age",
    "category",
    "item_lift",  # conversion rate x views
    "item_actions",  # carts x purchases
    "item_repeats",  # repeat views per user x users
    "category_volume",  # views x purchases
    "category_lift_seen",
    "user_lift_seen",
    "item_lift_seen",
    "pace_seen",  # events within minutes x time since the last one x seen
    "cart_gap",  # in cart x time since the user's last event x same item as then
    "position",
    "price",  # against the category's
)
N_FEATURES = len(FEATURE_NAMES)
ID_FEATURES = ("category",)
"""Columns that hold an id rather than a bin: their number of values has no bound."""

# Few, and none of users or items: with those, factors learn a log by heart and forget its future (measured).
FACTOR_FEATURES = ("pair_recency", "pair_state", "user_history", "category", "category_volume")
FACTOR_COLUMNS = tuple(FEATURE_NAMES.index(name) for name in FACTOR_FEATURES)
"""Columns whose pairs the recommender's factorisation machine models."""

DENSE_NAMES = (
    "pair_views",
    "pair_gap",
    "user_gap",
    "in_cart",
    "favorite",
    "bought",
    "user_lift",
    "category_lift",
    "item_lift",
    "pace",
    "activity",
    "user_views",
    "item_views",
    "interest_views",
    "position",
    "price",
)
N_DENSE = len(DENSE_NAMES)

# Views' worth of the population's rate that a user's, category's or item's own rate starts from.
RATE_PRIOR = 30.0
ITEM_PRIOR = 20.0
POSITION_MAX = 1e9  # no list is as long
NEVER_S = 30.0 * 86_400.0  # a dense gap that never ended: longer than any attribution window


class Context(NamedTuple):
    """What several columns share; the `Any` are 64-bit integers."""

    seen: Any
    user_gap: Any
    same_item: Any
    same_category: Any
    user_lift: float
    category_lift: float
    item_lift: float
    category_views: float
    category_buys: float
    item_views: float
    item_carts: float
    item_buys: float
    pace: float
    activity: float
    session_events: Any
    position: float
    price: float


def schema_hash() -> str:
    """Digest of column names, their order and the bin edges; it changes whenever stored features change meaning."""
    digest = hashlib.sha256("\n".join((*FEATURE_NAMES, "", *DENSE_NAMES)).encode())
    for name, edges in EDGES.items():
        digest.update(name.encode() + edges.tobytes())
    digest.update(f"{SEEN_CAP} {POSITION_CAP} {RATE_PRIOR} {ITEM_PRIOR} {NEVER_S}".encode())
    return digest.hexdigest()


def as_dict(idx: npt.NDArray[np.uint32], dense: npt.NDArray[np.float32]) -> dict[Hashable, Any]:
    """One event's features for a classifier that takes dictionaries: dense columns, and 1.0 for every bin it is in.

    Ids are left out: a plugged-in model may keep state for every key it meets.
    """
    features: dict[Hashable, Any] = {name: float(value) for name, value in zip(DENSE_NAMES, dense, strict=True)}
    for name, index in zip(FEATURE_NAMES, idx, strict=True):
        if index and name not in ID_FEATURES:
            features[f"{name}={index}"] = 1.0
    return features


@kernel
def _slot_number(position: float) -> float:
    """The logged position; NaN where there is none that makes sense."""
    return position if 0.0 <= position < POSITION_MAX else math.nan


@kernel
def _relative_price(price: float, category: Any) -> float:
    """Log of the price against the category's running mean; NaN where either is unknown."""
    if not (0.0 < price < math.inf) or category.n_priced == 0:
        return math.nan
    return float(math.log(price) - category.log_price)


@kernel
def _context(cfg: Any, user: Any, item: Any, category: Any, pair: Any, population: Any, event: Any) -> Any:
    now = event.time_ms
    base = (population.buys + 1.0) / (population.views + 50.0)
    age = elapsed_ms(event.now_ms, category.last_ms)
    category_views = decayed(category.views, age, cfg.popularity_half_life_ms)
    category_buys = decayed(category.buys, age, cfg.popularity_half_life_ms)
    age = elapsed_ms(event.now_ms, item.last_ms)
    item_views = decayed(item.views, age, cfg.popularity_half_life_ms)
    item_carts = decayed(item.carts, age, cfg.popularity_half_life_ms)
    item_buys = decayed(item.buys, age, cfg.popularity_half_life_ms)
    category_rate = (category_buys + RATE_PRIOR * base) / (category_views + RATE_PRIOR)
    item_rate = (item_buys + ITEM_PRIOR * category_rate) / (item_views + ITEM_PRIOR)
    user_rate = (user.n_buys + RATE_PRIOR * base) / (user.n_views + RATE_PRIOR)
    gap = elapsed_ms(now, user.last_ms)
    same_item = np.int64(user.last_item == event.item_key)
    same_category = np.int64(event.category_key != 0 and user.last_category == event.category_key)
    session_events = np.int64(user.session_events) if gap < cfg.session_gap_ms else 0
    return Context(
        min(np.int64(pair.n_views), SEEN_CAP),
        age_bin(now, user.last_ms),
        same_item,
        same_category,
        math.log(user_rate / base),
        math.log(category_rate / base),
        math.log(item_rate / base),
        category_views,
        category_buys,
        item_views,
        item_carts,
        item_buys,
        decayed(user.pace, gap, cfg.pace_half_life_ms),
        decayed(user.activity, gap, cfg.activity_half_life_ms),
        session_events,
        _slot_number(event.position),
        _relative_price(event.price, category),
    )


@kernel
def _pair_columns(c: Any, pair: Any, now: int, dim: int, out: Any) -> None:
    bought = 1 if pair.buy_s > 0 else 0
    state = (1 if pair.cart_s > 0 else 0) + (2 if pair.favorite_s > 0 else 0) + 4 * bought
    out[1] = slot(1, c.seen * 16 + age_bin(now, pair.last_ms), dim)
    out[2] = slot(2, c.seen * 16 + c.user_gap, dim)
    out[3] = slot(3, min(c.seen, 3) * 8 + state, dim)
    out[4] = slot(4, age_bin(now, np.int64(pair.cart_s) * 1000) * 2 + bought, dim)
    out[5] = slot(5, age_bin(now, np.int64(pair.favorite_s) * 1000) * 2 + bought, dim)
    out[6] = slot(6, c.seen * 16 + age_bin(now, np.int64(pair.first_s) * 1000), dim)
    out[22] = slot(22, (1 if pair.cart_s > 0 else 0) * 32 + c.user_gap * 2 + c.same_item, dim)


@kernel
def _user_columns(c: Any, user: Any, interest: Any, now: int, dim: int, out: Any) -> None:
    lift = bin_of(c.user_lift, LIFT)
    seen = min(c.seen, 3)
    out[7] = slot(7, user.last_etype * 4 + c.same_item * 2 + c.same_category, dim)
    out[8] = slot(8, bin_of(c.activity, VOLUME) * 16 + bin_of(float(c.session_events), COUNT), dim)
    out[9] = slot(9, bin_of(float(user.n_views), VOLUME) * 16 + bin_of(float(user.n_buys), COUNT), dim)
    out[10] = slot(10, lift, dim)
    out[11] = slot(11, bin_of(float(interest.n_views), COUNT) * 16 + bin_of(float(interest.n_items), COUNT), dim)
    out[12] = slot(12, age_bin(now, np.int64(interest.buy_s) * 1000), dim)
    out[19] = slot(19, lift * 4 + seen, dim)
    out[21] = slot(21, (bin_of(c.pace, PACE) * 16 + c.user_gap) * 4 + seen, dim)


@kernel
def _item_columns(c: Any, item: Any, category_key: Any, dim: int, out: Any) -> None:
    lift = bin_of(c.item_lift, LIFT)
    seen = min(c.seen, 3)
    repeats = (item.n_repeats + 0.5) / (item.n_users + 2.0)
    out[13] = slot(13, category_key, dim) if category_key != 0 else 0
    out[14] = slot(14, lift * 16 + bin_of(c.item_views, COUNT), dim)
    out[15] = slot(15, bin_of(c.item_carts, COUNT) * 16 + bin_of(c.item_buys, COUNT), dim)
    out[16] = slot(16, bin_of(repeats, REPEAT) * 16 + bin_of(float(item.n_users), COUNT), dim)
    out[17] = slot(17, bin_of(c.category_views, VOLUME) * 16 + bin_of(c.category_buys, COUNT), dim)
    out[18] = slot(18, bin_of(c.category_lift, LIFT) * 4 + seen, dim)
    out[20] = slot(20, lift * 4 + seen, dim)


@kernel
def _log_seconds(now: int, then_ms: int) -> float:
    return math.log1p(min(elapsed_ms(now, then_ms) / 1000.0, NEVER_S) if then_ms != 0 else NEVER_S)


@kernel
def _dense_columns(c: Any, user: Any, pair: Any, interest: Any, now: int, out: Any) -> None:
    out[0] = math.log1p(float(pair.n_views))
    out[1] = _log_seconds(now, pair.last_ms)
    out[2] = _log_seconds(now, user.last_ms)
    out[3] = 1.0 if pair.cart_s > 0 else 0.0
    out[4] = 1.0 if pair.favorite_s > 0 else 0.0
    out[5] = 1.0 if pair.buy_s > 0 else 0.0
    out[6] = c.user_lift
    out[7] = c.category_lift
    out[8] = c.item_lift
    out[9] = math.log1p(c.pace)
    out[10] = math.log1p(c.activity)
    out[11] = math.log1p(float(user.n_views))
    out[12] = math.log1p(c.item_views)
    out[13] = math.log1p(float(interest.n_views))
    out[14] = math.log1p(c.position) if c.position == c.position else 0.0
    out[15] = c.price if c.price == c.price else 0.0


@kernel
def extract(
    cfg: Any,
    user: Any,
    item: Any,
    category: Any,
    pair: Any,
    interest: Any,
    population: Any,
    event: Any,
    idx_out: Any,
    dense_out: Any,
) -> None:
    """Write the features of ``event`` as seen before it.

    cfg: FeatureConfig; user .. population: records with this package's fields and ``last_ms``; event: its columns.
    idx_out: uint32 (N_FEATURES,), values in [0, cfg.dim), 0 = absent. dense_out: float32 (N_DENSE,), finite.
    """
    c = _context(cfg, user, item, category, pair, population, event)
    now = event.time_ms
    dim = cfg.dim
    idx_out[0] = slot(0, event.etype, dim)
    _pair_columns(c, pair, now, dim, idx_out)
    _user_columns(c, user, interest, now, dim, idx_out)
    _item_columns(c, item, event.category_key, dim, idx_out)
    idx_out[23] = slot(23, min(np.int64(c.position), POSITION_CAP), dim) if c.position == c.position else 0
    idx_out[24] = slot(24, bin_of(c.price, PRICE), dim) if c.price == c.price else 0
    _dense_columns(c, user, pair, interest, now, dense_out)
