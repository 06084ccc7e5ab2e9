"""What becomes of open views: conversions make them positive, returns take that back, time settles them.

Every change is a statement of its own (`revision`); the last one is `final`. A conversion counts for every view of the
same user and item at most a window before it, in whichever order the two arrive.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.importance import factors
from sie_online.importance.factor import NEGATIVE, POSITIVE, UNKNOWN, Moment
from sie_online.importance.guard import judge
from sie_online.importance.influence import is_in_force
from sie_online.importance.noise import Verdict, reassess
from sie_online.importance.weight import learning_weight
from sie_online.jit import kernel
from sie_online.recommender.kernels import TWINS, UNIFORM, learn, take_back
from sie_online.shard.ahead import look_after
from sie_online.shard.clock import is_known, now_ms, waits_from
from sie_online.shard.emit import StatementHead, ids_of_view, write_settled, write_statement
from sie_online.shard.output import has_room
from sie_online.shard.views import mark_changed, newest_of, next_older

ERASED = 2
"""In a label's place: the view is forgotten."""


@kernel
def is_due(cfg: Any, state: Any) -> bool:
    """Whether the oldest open view's window, and the wait for late events, have passed."""
    counters, clock = state.counters[0], state.clock[0]
    if counters.head >= counters.tail or not is_known(clock):
        return False
    oldest = state.views.hot[counters.head & (state.views.hot.shape[0] - 1)]
    return bool(_due_ms(clock, oldest, cfg.patience_ms) < now_ms(clock))


@kernel
def _due_ms(clock: Any, hot: Any, patience_ms: int) -> int:
    """When a view settles."""
    return waits_from(clock, hot.time_ms, hot.heard_ms, patience_ms) + patience_ms


@kernel
def settle_due(cfg: Any, state: Any, out: Any) -> bool:
    """Settle every view that is due; False if the output filled up first."""
    while is_due(cfg, state):
        if not has_room(out, 1):
            return False
        settle_oldest(cfg, state, out)
    return True


@kernel
def settle_oldest(cfg: Any, state: Any, out: Any) -> None:
    """Publish the last statement about the oldest open view and forget it."""
    look_after(state)
    counters = state.counters[0]
    at = counters.head & (state.views.hot.shape[0] - 1)
    overlay = state.views.overlay[at]
    if overlay.label == ERASED:
        counters.head += 1
        return
    if overlay.label != POSITIVE:
        overlay.noise_probability, overlay.noise_cautious = _noise_now(cfg, state, at, NEGATIVE)
        overlay.label = NEGATIVE
    published_ms = _due_ms(state.clock[0], state.views.hot[at], cfg.patience_ms)
    factors.settle(cfg.factors, state.population[0], np.int64(overlay.label))
    revise(cfg, state, out, counters.head, published_ms, True)
    write_settled(out, state.views.cold[at])
    _judge(cfg, state, at)
    counters.settled[overlay.label] += 1
    counters.head += 1


@kernel
def _judge(cfg: Any, state: Any, at: int) -> None:
    """Let the guard judge the weights by a view of known label, if its account was established and is remembered."""
    cold = state.views.cold[at]
    slot = state.views.hot[at].user_slot
    user = state.users.rows[slot]
    if cold.established != 0 and user.key == cold.user_key:
        label = int(state.views.overlay[at].label)
        judge(cfg.weight.guard, state.population[0], user, label, cold.p_uniform, cold.p_weighted)
        state.users.changed[slot] = 1


@kernel
def count_of_pair(state: Any, pair_key: Any) -> int:
    """How many views of a pair are open."""
    head = state.counters[0].head
    n = 0
    view = newest_of(state.views, pair_key, head, state.counters[0].tail)
    while view >= 0:
        n += 1
        view = next_older(state.views, view, head)
    return n


@kernel
def convert_pair(cfg: Any, state: Any, out: Any, pair_key: Any, time_ms: int) -> None:
    """A conversion at ``time_ms``: every open view of the pair within the window before it becomes positive."""
    head = state.counters[0].head
    view = newest_of(state.views, pair_key, head, state.counters[0].tail)
    while view >= 0:
        convert_view(cfg, state, out, view, time_ms)
        view = next_older(state.views, view, head)


@kernel
def convert_view(cfg: Any, state: Any, out: Any, view: int, time_ms: int) -> None:
    """Make one view positive if the conversion at ``time_ms`` lies within its window and it is not positive yet."""
    at = view & (state.views.hot.shape[0] - 1)
    hot, cold, overlay = state.views.hot[at], state.views.cold[at], state.views.overlay[at]
    waited = time_ms - hot.time_ms
    if overlay.label == POSITIVE or waited < 0 or waited > cfg.window_ms:
        return
    first = overlay.label == UNKNOWN
    overlay.label = POSITIVE
    overlay.noise_probability, overlay.noise_cautious = _noise_now(cfg, state, at, POSITIVE)
    revise(cfg, state, out, view, time_ms, False)
    if cfg.external:
        return
    for twin in range(TWINS):
        if first:
            p_then = cold.p_uniform if twin == UNIFORM else cold.p_weighted
            take_back(cfg.model, state.model, twin, cold.features, p_then, _twin_weight(twin, cold.learn_weight))
        weight = _twin_weight(twin, learning_weight(cfg.weight, state.population[0], state.scratch.factors))
        learn(cfg.model, state.model, twin, cold.features, 1.0, weight)


@kernel
def revert_pair(cfg: Any, state: Any, out: Any, pair_key: Any, time_ms: int) -> None:
    """A return at ``time_ms``: the pair's positive views that lie before it are negative again."""
    head, mask = state.counters[0].head, state.views.hot.shape[0] - 1
    view = newest_of(state.views, pair_key, head, state.counters[0].tail)
    while view >= 0:
        at = view & mask
        hot, cold, overlay = state.views.hot[at], state.views.cold[at], state.views.overlay[at]
        if overlay.label == POSITIVE and hot.time_ms <= time_ms:
            overlay.label = NEGATIVE
            revise(cfg, state, out, view, time_ms, False)
            if not cfg.external:
                weight = learning_weight(cfg.weight, state.population[0], state.scratch.factors)
                for twin in range(TWINS):
                    learn(cfg.model, state.model, twin, cold.features, 0.0, _twin_weight(twin, weight))
        view = next_older(state.views, view, head)


@kernel
def _twin_weight(twin: int, weight: float) -> float:
    return 1.0 if twin == UNIFORM else weight


@kernel
def _noise_now(cfg: Any, state: Any, at: int, label: int) -> Verdict:
    """P(noise) of a view with what is known now; the last statement's where its user or item is forgotten."""
    hot, cold, overlay = state.views.hot[at], state.views.cold[at], state.views.overlay[at]
    user, item = state.users.rows[hot.user_slot], state.items.rows[hot.item_slot]
    if user.key != cold.user_key or item.key != cold.item_key:
        return Verdict(overlay.noise_probability, overlay.noise_cautious)
    return reassess(cfg.factors.noise, state.noise, user, item, state.population[0], cold.kept, label)


@kernel
def revise(cfg: Any, state: Any, out: Any, view: int, published_ms: int, final: bool) -> None:
    """Publish the next revision of a view; its label and noise probability stand in the overlay."""
    at = view & (state.views.hot.shape[0] - 1)
    hot, cold, overlay = state.views.hot[at], state.views.cold[at], state.views.overlay[at]
    scratch, known = state.scratch, overlay.label != UNKNOWN
    overlay.revision += 1
    mark_changed(state.views, at)
    ids_of_view(out, state.views, cold)
    _recall(state, cold)
    moment = Moment(
        is_sample=True,
        etype=int(cold.etype),
        user_key=cold.user_key,
        item_key=cold.item_key,
        category_key=cold.category_key,
        label=int(overlay.label),
        matured=final and known,
        probability=hot.probability,
        error=overlay.label - hot.probability if known else np.nan,
        feature_score=cold.feature_score,
        noise_probability=overlay.noise_probability,
        noise_cautious=overlay.noise_cautious,
        kept=scratch.kept[0],
        dense=scratch.dense,
    )
    statement = StatementHead(
        open_view=view,
        offset=hot.offset,
        etype=int(cold.etype),
        event_time_ms=hot.time_ms,
        published_ms=published_ms,
        revision=int(overlay.revision),
        final=final,
        uncertainty=cold.uncertainty,
    )
    write_statement(cfg, state, out, statement, moment)


@kernel
def _recall(state: Any, cold: Any) -> None:
    """Bring what factors look at of an open view back to where it lay at the event."""
    scratch = state.scratch
    scratch.kept[0] = cold.kept
    if is_in_force(state.net):
        for which in range(scratch.dense.shape[0]):
            scratch.dense[which] = cold.dense[which]
