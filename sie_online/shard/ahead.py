"""Looking ahead in a batch: what the next events will touch is asked of memory before they are reached.

Most of what an event costs would else be waiting: its records lie anywhere in tables much larger than any cache. What
is asked for too early, too late or in vain costs a little time and changes nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.hashing import combine
from sie_online.jit import kernel
from sie_online.prefetch import prefetcher
from sie_online.shard.entities import INTERESTS, ITEMS, PAIRS, USERS
from sie_online.shard.estimate import NO_CATEGORY
from sie_online.shard.slots import KEY, SLOT, WAYS, _set_of

NEAR, FAR = 4, 8
"""Events ahead: so far the records are asked for, and so far the places that tell where these are."""

_ask_place = prefetcher(8)
_ask_set = prefetcher(3 * WAYS * 8)
_ask_user, _ask_item = prefetcher(USERS.itemsize), prefetcher(ITEMS.itemsize)
_ask_pair, _ask_interest = prefetcher(PAIRS.itemsize), prefetcher(INTERESTS.itemsize)


@kernel
def look_ahead(state: Any, events: Any, at: int) -> None:
    """Ask for what the events some way after row ``at`` will need."""
    if at + FAR < events.shape[0]:
        event = events[at + FAR]
        members = state.dedupe.members
        _ask_place(members, np.int64(event.event_key & np.uint64(members.shape[0] - 1)))
        _ask_set(state.users.sets, _set_of(state.users, event.user_key))
        _ask_set(state.items.sets, _set_of(state.items, event.item_key))
        _ask_set(state.pairs.sets, _set_of(state.pairs, combine(event.user_key, event.item_key)))
        _ask_set(
            state.interests.sets,
            _set_of(state.interests, combine(event.user_key, max(event.category_key, NO_CATEGORY))),
        )
    if at + NEAR < events.shape[0]:
        event = events[at + NEAR]
        _ask_user(state.users.rows, _find(state.users, event.user_key))
        _ask_item(state.items.rows, _find(state.items, event.item_key))
        _ask_pair(state.pairs.rows, _find(state.pairs, combine(event.user_key, event.item_key)))
        _ask_interest(
            state.interests.rows, _find(state.interests, combine(event.user_key, max(event.category_key, NO_CATEGORY)))
        )


@kernel
def _find(table: Any, key: Any) -> int:
    """Slot of ``key``; the next free one where it has none."""
    ways = table.sets[_set_of(table, key)]
    slot = table.used[0]
    for way in range(WAYS):
        slot = ways[SLOT, way] if np.uint64(ways[KEY, way]) == key else slot
    return int(slot)
