"""Forgetting a user: what an ``erase`` record does to a shard.

The record lies in the log, so that a replay from any checkpoint, or from the log's beginning, forgets again at the same
place. Whatever belongs to the user goes: the user's record, those of its pairs and interests, its places among others'
companions and items' last visitors, and its open views, each of which gets a last statement without a label and without
the user's id. What remains are sums over many users (coefficients, popularity) and the hashes of the last event ids.
"""

from __future__ import annotations

from typing import Any

from sie_online.importance.factor import UNKNOWN
from sie_online.importance.noise import forget_companion, forget_visitor, low_half
from sie_online.jit import kernel
from sie_online.shard.clock import forget_witness, now_ms
from sie_online.shard.entities import ERASED_USER
from sie_online.shard.labels import ERASED, revise
from sie_online.shard.output import has_room
from sie_online.shard.views import drop_user_text, wipe
from sie_online.slots import forget, was_slot_of


@kernel
def forget_user(cfg: Any, state: Any, out: Any, event: Any, at: int) -> bool:
    """Forget the user that the erase record ``event``, row ``at`` of its batch, names; False if the output filled up
    first: calling again goes on.
    """
    if not _withdraw_views(cfg, state, out, event.user_key) or not has_room(out, 1):
        return False
    forget(state.users, event.user_key)
    forget_witness(state.clock[0], event.user_key)
    _forget_owned(state.pairs, event.user_key)
    _forget_owned(state.interests, event.user_key)
    _forget_company(state.users, state.items, low_half(event.user_key))
    _state_erased(out, at, event.offset)
    state.counters[0].erasures += 1
    return True


@kernel
def _withdraw_views(cfg: Any, state: Any, out: Any, user_key: Any) -> bool:
    counters, views = state.counters[0], state.views
    mask = views.hot.shape[0] - 1
    for view in range(counters.head, counters.tail):
        place = view & mask
        # the hot part spares a look at the cold part, on disk, of nearly every other user's views
        if not was_slot_of(state.users, user_key, views.hot[place].user_slot):
            continue
        if views.cold[place].user_key == user_key:
            if not has_room(out, 1):
                return False
            _withdraw(cfg, state, out, view)
    return True


@kernel
def _withdraw(cfg: Any, state: Any, out: Any, view: int) -> None:
    """Publish the last statement about a view, which will never have a label, and empty it."""
    views = state.views
    at = view & (views.hot.shape[0] - 1)
    hot, overlay = views.hot[at], views.overlay[at]
    drop_user_text(views, view)
    overlay.label = UNKNOWN
    revise(cfg, state, out, view, max(hot.time_ms, now_ms(state.clock[0])), True)
    overlay.label, overlay.noise_probability, overlay.noise_cautious = ERASED, 0.0, 0.0
    wipe(views, view, state.scratch.nothing[0])


@kernel
def _forget_owned(table: Any, user_key: Any) -> None:
    for slot in range(table.used[0]):
        if table.rows[slot].user_key == user_key:
            forget(table, table.rows[slot].key)


@kernel
def _forget_company(users: Any, items: Any, who: Any) -> None:
    for slot in range(users.used[0]):
        forget_companion(users.rows[slot], who)
    for slot in range(items.used[0]):
        forget_visitor(items.rows[slot], who)


@kernel
def _state_erased(out: Any, at: int, offset: int) -> None:
    control = out.control[0]
    row = out.entities[control.entities]
    row.kind, row.event, row.offset = ERASED_USER, at, offset
    control.entities += 1
