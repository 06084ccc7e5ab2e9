"""The event loop: one pass over a batch, in event order, that turns events into statements.

Per event: duplicates, clock, settlements that fall due, then features → predict → noise → weigh → learn → count.
A result may depend on the records before it and on nothing else, least of all on where a batch begins.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online.contracts import ERASE_CODE, HEARTBEAT_CODE, RETURN_CODE
from sie_online.features import extract
from sie_online.features import observe as observe_features
from sie_online.hashing import combine
from sie_online.importance import factors
from sie_online.importance.factor import POSITIVE, UNKNOWN, Entities, Moment
from sie_online.importance.noise import assess
from sie_online.importance.noise import observe as observe_noise
from sie_online.importance.weight import learning_weight, observe_weight
from sie_online.jit import kernel
from sie_online.masks import has
from sie_online.recommender.kernels import UNIFORM, WEIGHTED, learn, note_usage, predict
from sie_online.shard.clock import Belief, beat, hear, heard_ms
from sie_online.shard.dedupe import contains, remember
from sie_online.shard.emit import Statement, ids_of_event, write_statement
from sie_online.shard.entities import CATEGORY, ITEM, USER, count, statement_due
from sie_online.shard.erase import forget_user
from sie_online.shard.labels import (
    convert_pair,
    convert_view,
    count_of_pair,
    revert_pair,
    settle_due,
    settle_oldest,
)
from sie_online.shard.output import DONE, GROW, has_room
from sie_online.shard.slots import slot_of
from sie_online.shard.state import WEIGHT_EDGES
from sie_online.shard.views import link, store_text

NO_CATEGORY = np.uint64(1)
"""Key of the slot that events without a category share."""


class Texts(NamedTuple):
    """The batch's ids in Arrow's layout (int32 offsets, uint8 bytes)."""

    event_at: Any
    event_ids: Any
    user_at: Any
    user_ids: Any
    item_at: Any
    item_ids: Any


class Slots(NamedTuple):
    """Where the records of one event's entities are."""

    user: int
    item: int
    category: int
    pair: int
    interest: int
    pair_key: Any


class Estimates(NamedTuple):
    """What is published of an event at once."""

    p_uniform: float
    p_weighted: float
    p: float
    feature_score: float
    uncertainty: float
    noise: float
    weight: float
    learn_weight: float


@kernel
def run(cfg: Any, state: Any, events: Any, texts: Any, start: int, out: Any) -> int:
    """Process ``events[start:]`` until the end or until the output is full; returns how far it came.

    ``out.control[0].stop`` says why it stopped. Resuming at the returned row continues as if it had not.
    """
    counters, control = state.counters[0], out.control[0]
    control.stop = DONE
    for at in range(start, events.shape[0]):
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
        _hear(cfg.belief, state.clock[0], state.population[0], event, counters.events + 1)
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
    _hear(
        cfg.belief, state.clock[0], state.population[0], event, ordinal
    )  # `run` does it again, and it changes nothing
    slots = _find(state, event, ordinal)
    _extract(cfg, state, event, slots)
    return True


@kernel
def _hear(belief: Belief, clock: Any, population: Any, event: Any, ordinal: int) -> None:
    """Take the event's time in. What was counted at times that then turned out wrong is taken back to the clock's."""
    event.now_ms = hear(belief, clock, event.time_ms, event.user_key, ordinal)
    population.clock_ms = min(population.clock_ms, clock.event_ms)


@kernel
def _extract(cfg: Any, state: Any, event: Any, slots: Slots) -> None:
    extract(
        cfg.features,
        state.users.rows[slots.user],
        state.items.rows[slots.item],
        state.categories.rows[slots.category],
        state.pairs.rows[slots.pair],
        state.interests.rows[slots.interest],
        state.population[0],
        event,
        state.scratch.features,
        state.scratch.dense,
    )


@kernel
def _prepare(cfg: Any, state: Any, event: Any, texts: Any, at: int, out: Any) -> bool:
    """Make sure that the event's statements, and its view if it is a sample, find room."""
    if not has(cfg.samples, event.etype):
        return bool(has_room(out, 1 + count_of_pair(state, combine(event.user_key, event.item_key))))
    counters, views = state.counters[0], state.views
    size = _id_bytes(texts, at)
    while _is_full(state, size):
        if views.hot.shape[0] < cfg.max_open_views:
            out.control[0].stop = GROW
            return False
        if not has_room(out, 1):
            return False
        settle_oldest(cfg, state, out)
        counters.settled_early += 1
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
    slots = _find(state, event, counters.events)
    ids_of_event(out, texts, at)
    estimates = _estimate(cfg, state, event, slots, out)
    sample = has(cfg.samples, event.etype)
    _count_weight(counters, estimates.weight)
    if sample:
        _learn_negative(cfg, state, estimates)
        _open_view(state, event, texts, at, slots, estimates, cfg.patience_ms)
    _count_event(cfg, state, event, at, slots, estimates, out)
    _attribute(cfg, state, event, slots, sample, out)
    _touch(state, slots, event)


@kernel
def _find(state: Any, event: Any, ordinal: int) -> Slots:
    category_key = max(event.category_key, NO_CATEGORY)
    pair_key = combine(event.user_key, event.item_key)
    slots = Slots(
        slot_of(state.users, event.user_key, ordinal),
        slot_of(state.items, event.item_key, ordinal),
        slot_of(state.categories, category_key, ordinal),
        slot_of(state.pairs, pair_key, ordinal),
        slot_of(state.interests, combine(event.user_key, category_key), ordinal),
        pair_key,
    )
    state.pairs.rows[slots.pair].user_key = state.interests.rows[slots.interest].user_key = event.user_key
    return slots


@kernel
def _estimate(cfg: Any, state: Any, event: Any, slots: Slots, out: Any) -> Estimates:
    """Predict, assess, weigh and state an event before anything is learned from it."""
    scratch, population, s = state.scratch, state.population[0], cfg.weight.strength
    _extract(cfg, state, event, slots)
    uniform = predict(cfg.model, state.model, UNIFORM, scratch.features)
    weighted = predict(cfg.model, state.model, WEIGHTED, scratch.features)
    sample, converts = has(cfg.samples, event.etype), has(cfg.conversions, event.etype)
    if sample:
        note_usage(state.model, UNIFORM)
        note_usage(state.model, WEIGHTED)
    p_uniform, p_weighted = uniform.probability, weighted.probability
    if cfg.external:
        p_uniform, p_weighted = scratch.external[UNIFORM], scratch.external[WEIGHTED]
    p = (1.0 - s) * p_uniform + s * p_weighted
    feature_score = (1.0 - s) * uniform.feature_score + s * weighted.feature_score
    uncertainty = (1.0 - s) * uniform.uncertainty + s * weighted.uncertainty
    noise = _assess(cfg, state, event, slots)
    moment = Moment(
        is_sample=sample or converts,
        etype=cfg.sample_type if converts else int(event.etype),
        user_key=event.user_key,
        item_key=event.item_key,
        category_key=event.category_key,
        label=POSITIVE if converts else UNKNOWN,
        matured=False,
        probability=p,
        error=1.0 - p if converts else np.nan,
        feature_score=feature_score,
        noise_probability=noise,
        kept=scratch.kept[0],
        dense=scratch.dense,
    )
    statement = Statement(
        open_view=state.counters[0].tail if sample else -1,
        offset=event.offset,
        etype=int(event.etype),
        event_time_ms=event.time_ms,
        published_ms=event.time_ms,
        revision=0,
        final=not sample,
        uncertainty=uncertainty,
    )
    weight = write_statement(cfg, state, out, statement, moment)
    learn_weight = learning_weight(cfg.weight, population, scratch.factors)
    if moment.is_sample:
        observe_weight(population, scratch.factors)
    factors.observe(cfg.factors, population, moment)
    return Estimates(p_uniform, p_weighted, p, feature_score, uncertainty, noise, weight, learn_weight)


@kernel
def _assess(cfg: Any, state: Any, event: Any, slots: Slots) -> float:
    """P(noise) of the event; what its factors will need later is left in the scratch."""
    user, item = state.users.rows[slots.user], state.items.rows[slots.item]
    category = state.categories.rows[slots.category]
    pair, interest, population = state.pairs.rows[slots.pair], state.interests.rows[slots.interest], state.population[0]
    kept = state.scratch.kept[0]
    factors.remember(cfg.factors, population, Entities(user, item, category, pair, interest), kept)
    return float(assess(cfg.factors.noise, user, item, category, pair, interest, population, event, kept))


@kernel
def _learn_negative(cfg: Any, state: Any, estimates: Estimates) -> None:
    """Every sample is learned at once as a negative; a conversion takes that back."""
    if cfg.external:
        return
    learn(cfg.model, state.model, UNIFORM, state.scratch.features, 0.0, 1.0)
    learn(cfg.model, state.model, WEIGHTED, state.scratch.features, 0.0, estimates.learn_weight)


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
    cold.etype = event.etype
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
    overlay.revision, overlay.label, overlay.noise_probability = 0, UNKNOWN, estimates.noise
    cold.ids_at = counters.ids_tail
    cold.event_bytes = _keep_id(views.ids, counters, texts.event_at, texts.event_ids, at)
    cold.user_bytes = _keep_id(views.ids, counters, texts.user_at, texts.user_ids, at)
    cold.item_bytes = _keep_id(views.ids, counters, texts.item_at, texts.item_ids, at)
    link(views, counters.tail)
    counters.tail += 1


@kernel
def _keep_id(ids: Any, counters: Any, offsets: Any, data: Any, row: int) -> int:
    first, last = offsets[row], offsets[row + 1]
    store_text(ids, counters.ids_tail, data, first, last)
    counters.ids_tail += last - first
    return int(last - first)


@kernel
def _count_event(cfg: Any, state: Any, event: Any, at: int, slots: Slots, estimates: Estimates, out: Any) -> None:
    """Move the counters of features, noise and entities by the event; state the entities that are due."""
    user, item = state.users.rows[slots.user], state.items.rows[slots.item]
    category = state.categories.rows[slots.category]
    pair, interest, population = state.pairs.rows[slots.pair], state.interests.rows[slots.interest], state.population[0]
    observe_features(cfg.features, user, item, category, pair, interest, population, event)
    observe_noise(cfg.factors.noise, user, item, category, pair, interest, population, event, estimates.noise)
    count(user, estimates.weight, estimates.noise, event.time_ms)
    count(item, estimates.weight, estimates.noise, event.now_ms)
    count(category, estimates.weight, estimates.noise, event.now_ms)
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
def _touch(state: Any, slots: Slots, event: Any) -> None:
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
    while place < len(WEIGHT_EDGES) and weight > WEIGHT_EDGES[place]:
        place += 1
    counters.weight_bins[place] += 1
