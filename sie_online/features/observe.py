"""Updating: what an event adds to the counters, after it was scored and learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.contracts import CART_CODE, FAVORITE_CODE, RETURN_CODE
from sie_online.elementary import log
from sie_online.features.bins import Fading, elapsed_ms, is_price, share_left
from sie_online.jit import kernel
from sie_online.masks import has

U2_MAX = 65_535
PRICE_MEMORY = 1_000  # events that a category's running mean price looks back


@kernel
def _decay(cfg: Any, user: Any, item: Any, category: Any, population: Any, event: Any, left: Fading) -> None:
    """Bring every decayed counter forward to the event."""
    user.pace *= left.pace
    user.activity *= left.activity
    if elapsed_ms(event.time_ms, user.last_ms) >= cfg.session_gap_ms:
        user.session_events = 0
    item.views *= left.item
    item.carts *= left.item
    item.buys *= left.item
    category.views *= left.category
    category.buys *= left.category
    everybody = share_left(elapsed_ms(event.now_ms, population.clock_ms), cfg.popularity_half_life_ms)
    population.views *= everybody
    population.buys *= everybody
    population.clock_ms = max(population.clock_ms, event.now_ms)


@kernel
def _expose(user: Any, item: Any, category: Any, pair: Any, interest: Any, population: Any, now_s: int) -> None:
    if pair.n_views == 0:
        pair.first_s = now_s
        item.n_users += 1
        interest.n_items = min(np.int64(interest.n_items) + 1, U2_MAX)
    else:
        item.n_repeats += 1
    pair.n_views = min(np.int64(pair.n_views) + 1, U2_MAX)
    interest.n_views = min(np.int64(interest.n_views) + 1, U2_MAX)
    user.n_views += 1
    user.activity += 1.0
    item.views += 1.0
    category.views += 1.0
    population.views += 1.0


@kernel
def _buy(user: Any, item: Any, category: Any, pair: Any, interest: Any, population: Any, now_s: int) -> None:
    pair.buy_s = now_s
    interest.buy_s = now_s
    user.n_buys += 1
    item.buys += 1.0
    category.buys += 1.0
    population.buys += 1.0


@kernel
def _give_back(user: Any, item: Any, category: Any, population: Any) -> None:
    """A return undoes a purchase in the rates; that the pair was bought once stays known."""
    user.n_buys = max(np.int64(user.n_buys) - 1, 0)
    item.buys = max(item.buys - 1.0, 0.0)
    category.buys = max(category.buys - 1.0, 0.0)
    population.buys = max(population.buys - 1.0, 0.0)


@kernel
def _note_price(category: Any, price: float) -> None:
    if is_price(price):
        category.n_priced = min(np.int64(category.n_priced) + 1, PRICE_MEMORY)
        category.log_price += (log(price) - category.log_price) / category.n_priced


@kernel
def observe(
    cfg: Any, user: Any, item: Any, category: Any, pair: Any, interest: Any, population: Any, event: Any, left: Fading
) -> None:
    """Add ``event`` to the counters. Call it after learning and before ``last_ms`` of the records is moved.

    ``left`` is what `extract` returned of the event.
    """
    now = event.time_ms
    now_s = max(now // 1000, 1)
    etype = event.etype
    _decay(cfg, user, item, category, population, event, left)
    user.pace += 1.0
    user.session_events += 1
    if has(cfg.conversions, etype):
        _buy(user, item, category, pair, interest, population, now_s)
    elif has(cfg.samples, etype):
        _expose(user, item, category, pair, interest, population, now_s)
    if etype == CART_CODE:
        pair.cart_s = now_s
        item.carts += 1.0
    elif etype == FAVORITE_CODE:
        pair.favorite_s = now_s
    elif etype == RETURN_CODE:
        _give_back(user, item, category, population)
    _note_price(category, event.price)
    user.last_item = event.item_key
    user.last_category = event.category_key
    user.last_etype = etype
