"""Reading: the features of one event, from what was known before it.

Writes the columns that `sie_online.features.columns` names. Index 0 means *absent*: no position was logged, the event
has no category, and so on; no model learns from it.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, NamedTuple

import numpy as np

from sie_online.contracts import POSITION_MAX
from sie_online.elementary import log, log1p
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
    Fading,
    age_bin,
    bin_of,
    elapsed_ms,
    fading_of,
    is_price,
    slot,
)
from sie_online.features.columns import DENSE, DENSE_NAMES, FEATURE, FEATURE_NAMES
from sie_online.jit import kernel

# Views' worth of the population's rate that a user's, category's or item's own rate starts from.
RATE_PRIOR = 30.0
ITEM_PRIOR = 20.0
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


@kernel
def _slot_number(position: float) -> float:
    """The logged position; NaN where there is none that makes sense."""
    return position if 0.0 <= position <= POSITION_MAX else math.nan


@kernel
def _relative_price(price: float, category: Any) -> float:
    """Log of the price against the category's running mean; NaN where either is unknown."""
    if not is_price(price) or category.n_priced == 0:
        return math.nan
    return float(log(price) - category.log_price)


@kernel
def _context(
    cfg: Any, user: Any, item: Any, category: Any, pair: Any, population: Any, event: Any, left: Fading
) -> Context:
    now = event.time_ms
    base = (population.buys + 1.0) / (population.views + 50.0)
    category_views, category_buys = category.views * left.category, category.buys * left.category
    item_views, item_carts, item_buys = item.views * left.item, item.carts * left.item, item.buys * left.item
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
        log(user_rate / base),
        log(category_rate / base),
        log(item_rate / base),
        category_views,
        category_buys,
        item_views,
        item_carts,
        item_buys,
        user.pace * left.pace,
        user.activity * left.activity,
        session_events,
        _slot_number(event.position),
        _relative_price(event.price, category),
    )


@kernel
def _put(out: Any, column: int, value: Any, dim: int) -> None:
    out[column] = slot(column, value, dim)


@kernel
def _pair_columns(c: Any, pair: Any, now: int, dim: int, out: Any) -> None:
    bought = 1 if pair.buy_s > 0 else 0
    state = (1 if pair.cart_s > 0 else 0) + (2 if pair.favorite_s > 0 else 0) + 4 * bought
    _put(out, FEATURE.pair_recency, c.seen * 16 + age_bin(now, pair.last_ms), dim)
    _put(out, FEATURE.pair_user_gap, c.seen * 16 + c.user_gap, dim)
    _put(out, FEATURE.pair_state, min(c.seen, 3) * 8 + state, dim)
    _put(out, FEATURE.pair_cart_age, age_bin(now, np.int64(pair.cart_s) * 1000) * 2 + bought, dim)
    _put(out, FEATURE.pair_favorite_age, age_bin(now, np.int64(pair.favorite_s) * 1000) * 2 + bought, dim)
    _put(out, FEATURE.pair_age, c.seen * 16 + age_bin(now, np.int64(pair.first_s) * 1000), dim)
    _put(out, FEATURE.cart_gap, (1 if pair.cart_s > 0 else 0) * 32 + c.user_gap * 2 + c.same_item, dim)


@kernel
def _user_columns(c: Any, user: Any, interest: Any, now: int, dim: int, out: Any) -> None:
    lift = bin_of(c.user_lift, LIFT)
    seen = min(c.seen, 3)
    interest_views = bin_of(float(interest.n_views), COUNT)
    _put(out, FEATURE.last_event, user.last_etype * 4 + c.same_item * 2 + c.same_category, dim)
    _put(out, FEATURE.user_activity, bin_of(c.activity, VOLUME) * 16 + bin_of(float(c.session_events), COUNT), dim)
    _put(out, FEATURE.user_history, bin_of(float(user.n_views), VOLUME) * 16 + bin_of(float(user.n_buys), COUNT), dim)
    _put(out, FEATURE.user_lift, lift, dim)
    _put(out, FEATURE.interest, interest_views * 16 + bin_of(float(interest.n_items), COUNT), dim)
    _put(out, FEATURE.interest_buy_age, age_bin(now, np.int64(interest.buy_s) * 1000), dim)
    _put(out, FEATURE.user_lift_seen, lift * 4 + seen, dim)
    _put(out, FEATURE.pace_seen, (bin_of(c.pace, PACE) * 16 + c.user_gap) * 4 + seen, dim)


@kernel
def _item_columns(c: Any, item: Any, category_key: Any, dim: int, out: Any) -> None:
    lift = bin_of(c.item_lift, LIFT)
    seen = min(c.seen, 3)
    repeats = (item.n_repeats + 0.5) / (item.n_users + 2.0)
    if category_key != 0:
        _put(out, FEATURE.category, category_key, dim)
    _put(out, FEATURE.item_lift, lift * 16 + bin_of(c.item_views, COUNT), dim)
    _put(out, FEATURE.item_actions, bin_of(c.item_carts, COUNT) * 16 + bin_of(c.item_buys, COUNT), dim)
    _put(out, FEATURE.item_repeats, bin_of(repeats, REPEAT) * 16 + bin_of(float(item.n_users), COUNT), dim)
    _put(out, FEATURE.category_volume, bin_of(c.category_views, VOLUME) * 16 + bin_of(c.category_buys, COUNT), dim)
    _put(out, FEATURE.category_lift_seen, bin_of(c.category_lift, LIFT) * 4 + seen, dim)
    _put(out, FEATURE.item_lift_seen, lift * 4 + seen, dim)


@kernel
def _log_seconds(now: int, then_ms: int) -> float:
    return log1p(min(elapsed_ms(now, then_ms) / 1000.0, NEVER_S) if then_ms != 0 else NEVER_S)


@kernel
def _dense_columns(c: Any, user: Any, pair: Any, interest: Any, now: int, out: Any) -> None:
    out[DENSE.pair_views] = log1p(float(pair.n_views))
    out[DENSE.pair_gap] = _log_seconds(now, pair.last_ms)
    out[DENSE.user_gap] = _log_seconds(now, user.last_ms)
    out[DENSE.in_cart] = 1.0 if pair.cart_s > 0 else 0.0
    out[DENSE.favorite] = 1.0 if pair.favorite_s > 0 else 0.0
    out[DENSE.bought] = 1.0 if pair.buy_s > 0 else 0.0
    out[DENSE.user_lift] = c.user_lift
    out[DENSE.category_lift] = c.category_lift
    out[DENSE.item_lift] = c.item_lift
    out[DENSE.pace] = log1p(c.pace)
    out[DENSE.activity] = log1p(c.activity)
    out[DENSE.user_views] = log1p(float(user.n_views))
    out[DENSE.item_views] = log1p(c.item_views)
    out[DENSE.interest_views] = log1p(float(interest.n_views))
    out[DENSE.position] = log1p(c.position) if c.position == c.position else 0.0
    out[DENSE.price] = c.price if c.price == c.price else 0.0


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
) -> Fading:
    """Write the features of ``event`` as seen before it; returns what `observe` will need to know.

    cfg: FeatureConfig; user .. population: records with this package's fields and ``last_ms``; event: its columns.
    idx_out: uint32 (N_FEATURES,), values in [0, cfg.dim), 0 = absent. dense_out: float32 (N_DENSE,), finite.
    """
    left = fading_of(cfg, user, item, category, event)
    c = _context(cfg, user, item, category, pair, population, event, left)
    now = event.time_ms
    dim = cfg.dim
    idx_out[:] = 0
    _put(idx_out, FEATURE.event_type, event.etype, dim)
    _pair_columns(c, pair, now, dim, idx_out)
    _user_columns(c, user, interest, now, dim, idx_out)
    _item_columns(c, item, event.category_key, dim, idx_out)
    if c.position == c.position:
        _put(idx_out, FEATURE.position, min(np.int64(c.position), POSITION_CAP), dim)
    if c.price == c.price:
        _put(idx_out, FEATURE.price, bin_of(c.price, PRICE), dim)
    _dense_columns(c, user, pair, interest, now, dense_out)
    return left
