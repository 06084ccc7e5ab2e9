"""The event loop: one pass over a batch, in event order, that turns events into statements.

Per event: duplicates, clock, settlements that fall due, then features → predict → noise → weigh → learn → count.
A result may depend on the records before it and on nothing else, least of all on where a batch begins.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sie_online.contracts import ERASE_CODE, HEARTBEAT_CODE, RETURN_CODE
from sie_online.features import observe as observe_features
from sie_online.hashing import combine
from sie_online.importance.factor import UNKNOWN
from sie_online.importance.guard import is_established, observe_account
from sie_online.jit import kernel
from sie_online.masks import has
from sie_online.recommender.kernels import UNIFORM, WEIGHTED, learn_predicted
from sie_online.shard.ahead import look_ahead
from sie_online.shard.clock import Belief, beat, hear, heard_ms
from sie_online.shard.dedupe import contains, remember
from sie_online.shard.emit import ids_of_event
from sie_online.shard.entities import CATEGORY, ITEM, USER, count, statement_due
from sie_online.shard.erase import forget_user
from sie_online.shard.estimate import Estimates, Slots, estimate, extract_features, find
from sie_online.shard.labels import (
    convert_pair,
    convert_view,
    count_of_pair,
    revert_pair,
    settle_due,
    settle_oldest,
)
from sie_online.shard.output import CLAIM, DONE, has_room
from sie_online.shard.state import WEIGHT_EDGES
from sie_online.shard.views import link, store_text


class Texts(NamedTuple):
    """The batch's ids in Arrow's layout (int32 offsets, uint8 bytes)."""

    event_at: Any
    event_ids: Any
    user_at: Any
    user_ids: Any
    item_at: Any
    item_ids: Any


@kernel
def run(cfg: Any, state: Any, events: Any, texts: Any, start: int, out: Any) -> int:
    """Process ``events[start:]`` until the end or until the output is full; returns how far it came.

    ``out.control[0].stop`` says why it stopped. Resuming at the returned row continues as if it had not.
    """
    counters, control = state.counters[0], out.control[0]
    control.stop = DONE
    for at in range(start, events.shape[0]):
        look_ahead(state, events, at)
        event = events[at]
        if event.etype == ERASE_CODE:
            if not forget_user(cfg, state, out, event, at):
                return at
            continue
        if event.etype == HEARTBEAT_CODE:
            beat(cfg.belief, state.clock[0], event.time_ms)
            if not settle_due(cfg, state, out):
                return at
            counters.heartbeats += 1
            continue
        if contains(state.dedupe, event.event_key):
            counters.duplicates[event.etype] += 1
            continue
        hear_event(cfg.belief, state.clock[0], state.population[0], event, counters.events + 1)
        if not settle_due(cfg, state, out) or not _prepare(cfg, state, event, texts, at, out):
            return at
        _process(cfg, state, event, texts, at, out)
    return int(events.shape[0])


@kernel
def features_of(cfg: Any, state: Any, event: Any) -> bool:
    """Leave the features that `run` will see at ``event`` in the scratch; False if it will not look at it."""
    if event.etype >= HEARTBEAT_CODE or contains(state.dedupe, event.event_key):
        return False
    ordinal = state.counters[0].events + 1
    hear_event(
        cfg.belief, state.clock[0], state.population[0], event, ordinal
    )  # `run` does it again, and it changes nothing
    slots = find(state, event, ordinal)
    extract_features(cfg, state, event, slots)
    return True


@kernel
def hear_event(belief: Belief, clock: Any, population: Any, event: Any, ordinal: int) -> None:
    """Take the event's time in. What was counted at times that then turned out wrong is taken back to the clock's."""
    event.now_ms = hear(belief, clock, event.time_ms, event.user_key, ordinal)
    population.clock_ms = min(population.clock_ms, clock.event_ms)


@kernel
def _prepare(cfg: Any, state: Any, event: Any, texts: Any, at: int, out: Any) -> bool:
    """Make sure that the event's statements, and its view if it is a sample, find room."""
    if not has(cfg.samples, event.etype):
        return bool(has_room(out, 1 + count_of_pair(state, combine(event.user_key, event.item_key))))
    counters, views = state.counters[0], state.views
    size = _id_bytes(texts, at)
    while _is_full(state, size):
        if not has_room(out, 1):
            return False
        settle_oldest(cfg, state, out)
        counters.settled_early += 1
    if counters.tail == views.claimed[0] or counters.ids_tail + size > views.claimed[1]:
        out.control[0].stop, out.control[0].needed = CLAIM, size
        return False
    return bool(has_room(out, 2))


@kernel
def _id_bytes(texts: Any, at: int) -> int:
    return int(
        texts.event_at[at + 1] - texts.event_at[at]
        + texts.user_at[at + 1] - texts.user_at[at]
        + texts.item_at[at + 1] - texts.item_at[at]
    )  # fmt: skip


@kernel
def _is_full(state: Any, size: int) -> bool:
    counters, views = state.counters[0], state.views
    if counters.tail == counters.head:
        return False
    oldest = views.cold[counters.head & (views.hot.shape[0] - 1)]
    ids = counters.ids_tail + size - oldest.ids_at
    return bool(counters.tail - counters.head == views.hot.shape[0] or ids > views.ids.shape[0])


@kernel
def _process(cfg: Any, state: Any, event: Any, texts: Any, at: int, out: Any) -> None:
    counters = state.counters[0]
    counters.events += 1
    counters.weighted[event.etype] += 1
    remember(state.dedupe, event.event_key, counters.events - 1)
    slots = find(state, event, counters.events)
    ids_of_event(out, texts, at)
    estimates = estimate(cfg, state, event, slots, out)
    sample = has(cfg.samples, event.etype)
    _count_weight(counters, estimates.weight)
    if sample:
        _learn_negative(cfg, state, estimates)
        _open_view(state, event, texts, at, slots, estimates, cfg.patience_ms)
    _count_event(cfg, state, event, at, slots, estimates, out)
    _attribute(cfg, state, event, slots, sample, out)
    touch(state, slots, event)


@kernel
def _learn_negative(cfg: Any, state: Any, estimates: Estimates) -> None:
    """Every sample is learned at once as a negative; a conversion takes that back."""
    if cfg.external:
        return
    model, idx = state.model, state.scratch.features
    learn_predicted(cfg.model, model, UNIFORM, idx, estimates.uniform, 0.0, 1.0)
    learn_predicted(cfg.model, model, WEIGHTED, idx, estimates.weighted, 0.0, estimates.learn_weight)


@kernel
def _open_view(
    state: Any, event: Any, texts: Any, at: int, slots: Slots, estimates: Estimates, patience_ms: int
) -> None:
    counters, views, scratch = state.counters[0], state.views, state.scratch
    place = counters.tail & (views.hot.shape[0] - 1)
    hot, cold, overlay = views.hot[place], views.cold[place], views.overlay[place]
    hot.time_ms, hot.offset, hot.pair_key = event.time_ms, event.offset, slots.pair_key
    hot.heard_ms = heard_ms(state.clock[0], event.time_ms, event.now_ms, patience_ms)
    hot.probability = estimates.p
    hot.user_slot, hot.item_slot = slots.user, slots.item
    cold.user_key, cold.item_key, cold.category_key = event.user_key, event.item_key, event.category_key
    cold.etype, cold.established = event.etype, is_established(state.users.rows[slots.user], event.time_ms)
    cold.p_uniform, cold.p_weighted, cold.learn_weight = (
        estimates.p_uniform,
        estimates.p_weighted,
        estimates.learn_weight,
    )
    cold.feature_score, cold.uncertainty = estimates.feature_score, estimates.uncertainty
    cold.kept = scratch.kept[0]
    for which in range(scratch.features.shape[0]):
        cold.features[which] = scratch.features[which]
    for which in range(scratch.dense.shape[0]):
        cold.dense[which] = scratch.dense[which]
    overlay.revision, overlay.label = 0, UNKNOWN
    overlay.noise_probability, overlay.noise_cautious = estimates.noise
    cold.ids_at = counters.ids_tail
    cold.event_bytes = _keep_id(views.ids, counters, texts.event_at, texts.event_ids, at)
    cold.user_bytes = _keep_id(views.ids, counters, texts.user_at, texts.user_ids, at)
    cold.item_bytes = _keep_id(views.ids, counters, texts.item_at, texts.item_ids, at)
    link(views, counters.tail, counters.head)
    counters.tail += 1


@kernel
def _keep_id(ids: Any, counters: Any, offsets: Any, data: Any, row: int) -> int:
    first, last = offsets[row], offsets[row + 1]
    store_text(ids, counters.ids_tail, data, first, last)
    counters.ids_tail += last - first
    return int(last - first)


@kernel
def _count_event(cfg: Any, state: Any, event: Any, at: int, slots: Slots, estimates: Estimates, out: Any) -> None:
    """Move the counters of features and entities by the event; state the entities that are due."""
    user, item = state.users.rows[slots.user], state.items.rows[slots.item]
    category = state.categories.rows[slots.category]
    pair, interest, population = state.pairs.rows[slots.pair], state.interests.rows[slots.interest], state.population[0]
    observe_features(cfg.features, user, item, category, pair, interest, population, event, estimates.left)
    observe_account(user, not has(cfg.samples, event.etype), event.time_ms)
    count(user, estimates.weight, estimates.noise.probability)
    count(item, estimates.weight, estimates.noise.probability)
    count(category, estimates.weight, estimates.noise.probability)
    if statement_due(cfg.statement, user, event.time_ms):
        _state(out, USER, at, user, user.z_alpha, user.z_beta, event.offset)
    if statement_due(cfg.statement, item, event.now_ms):
        _state(out, ITEM, at, item, item.z_alpha, item.z_beta, event.offset)
    if event.category_key != 0 and statement_due(cfg.statement, category, event.now_ms):
        _state(out, CATEGORY, at, category, 0.0, 0.0, event.offset)


@kernel
def _state(out: Any, kind: int, at: int, entity: Any, alpha: float, beta: float, offset: int) -> None:
    control = out.control[0]
    row = out.entities[control.entities]
    row.kind, row.event, row.offset = kind, at, offset
    row.n_events, row.sum_weight = entity.n_events, entity.sum_weight
    row.noise_alpha = entity.sum_noise + alpha
    row.noise_beta = entity.n_events - entity.sum_noise + beta
    control.entities += 1


@kernel
def _attribute(cfg: Any, state: Any, event: Any, slots: Slots, sample: bool, out: Any) -> None:
    """Conversions and returns change what was said of earlier views; an early conversion meets its late view."""
    pair = state.pairs.rows[slots.pair]
    if sample:
        if pair.converted_ms != 0:
            convert_view(cfg, state, out, state.counters[0].tail - 1, pair.converted_ms)
    elif has(cfg.conversions, event.etype):
        pair.converted_ms = max(pair.converted_ms, event.time_ms)
        convert_pair(cfg, state, out, slots.pair_key, event.time_ms)
    elif event.etype == RETURN_CODE:
        pair.converted_ms = 0
        revert_pair(cfg, state, out, slots.pair_key, event.time_ms)


@kernel
def touch(state: Any, slots: Slots, event: Any) -> None:
    """Note the event's time on its records, last of all: everything before reads the time of the one before.

    The user's own records go by the user's clock, those that all share by the stream's.
    """
    state.users.rows[slots.user].last_ms = event.time_ms
    state.pairs.rows[slots.pair].last_ms = event.time_ms
    state.interests.rows[slots.interest].last_ms = event.time_ms
    state.items.rows[slots.item].last_ms = event.now_ms
    state.categories.rows[slots.category].last_ms = event.now_ms


@kernel
def _count_weight(counters: Any, weight: float) -> None:
    place = 0
    for edge in WEIGHT_EDGES:
        place += 1 if weight > edge else 0
    counters.weight_bins[place] += 1
