"""Looking ahead in a batch: what the next events will touch is asked of memory before they are reached.

Most of what an event costs would else be waiting: its records lie anywhere in tables much larger than any cache. What
is asked for too early, too late or in vain costs a little time and changes nothing.
"""

from __future__ import annotations

from typing import Any

from sie_online.hashing import combine
from sie_online.jit import kernel
from sie_online.prefetch import prefetcher
from sie_online.shard.dedupe import home_of
from sie_online.shard.entities import INTERESTS, ITEMS, PAIRS, USERS
from sie_online.shard.estimate import NO_CATEGORY
from sie_online.slots import WAYS, likely_slot, set_of

NEAR, FAR = 4, 8
"""Events ahead: so far the records are asked for, and so far the places that tell where these are."""

_ask_place, _ask_set = prefetcher(8), prefetcher(3 * WAYS * 8)
_ask_user, _ask_item = prefetcher(USERS.itemsize), prefetcher(ITEMS.itemsize)
_ask_pair, _ask_interest = prefetcher(PAIRS.itemsize), prefetcher(INTERESTS.itemsize)


@kernel
def look_ahead(state: Any, events: Any, at: int) -> None:
    """Ask for what the events some way after row ``at`` will need; few categories are so many that they need it."""
    if at + FAR < events.shape[0]:
        event = events[at + FAR]
        _ask_place(state.dedupe.members, home_of(state.dedupe, event.event_key))
        _ask_set(state.users.sets, set_of(state.users, event.user_key))
        _ask_set(state.items.sets, set_of(state.items, event.item_key))
        _ask_set(state.pairs.sets, set_of(state.pairs, _pair_of(event)))
        _ask_set(state.interests.sets, set_of(state.interests, _interest_of(event)))
    if at + NEAR < events.shape[0]:
        event = events[at + NEAR]
        _ask_user(state.users.rows, likely_slot(state.users, event.user_key))
        _ask_item(state.items.rows, likely_slot(state.items, event.item_key))
        _ask_pair(state.pairs.rows, likely_slot(state.pairs, _pair_of(event)))
        _ask_interest(state.interests.rows, likely_slot(state.interests, _interest_of(event)))


@kernel
def look_after(state: Any) -> None:
    """Ask for the records by which a view will be judged again that settles soon."""
    hot = state.views.hot[(state.counters[0].head + NEAR) & (state.views.hot.shape[0] - 1)]
    _ask_user(state.users.rows, hot.user_slot)
    _ask_item(state.items.rows, hot.item_slot)


@kernel
def _pair_of(event: Any) -> Any:
    return combine(event.user_key, event.item_key)


@kernel
def _interest_of(event: Any) -> Any:
    return combine(event.user_key, max(event.category_key, NO_CATEGORY))
