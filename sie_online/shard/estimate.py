"""One event by what was known before it: its records found, its features read; predicted, weighed and published.

What the event teaches is learned and counted afterwards, by the event loop.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online.features import Fading, extract
from sie_online.hashing import combine
from sie_online.importance import factors
from sie_online.importance.factor import POSITIVE, UNKNOWN, EntityRecords, Moment
from sie_online.importance.guard import strength
from sie_online.importance.noise import Verdict, assess
from sie_online.importance.weight import learning_weight, observe_weight
from sie_online.jit import kernel
from sie_online.masks import has
from sie_online.recommender.kernels import UNIFORM, WEIGHTED, Logits, note_usage, predict
from sie_online.shard.emit import StatementHead, write_statement
from sie_online.slots import slot_of

NO_CATEGORY = np.uint64(1)
"""Key of the slot that events without a category share."""


class Slots(NamedTuple):
    """Where the records of one event's entities are."""

    user: int
    item: int
    category: int
    pair: int
    interest: int
    pair_key: Any


class Estimates(NamedTuple):
    """What is published of an event at once, and what it is then learned and counted with."""

    p_uniform: float
    p_weighted: float
    p: float
    feature_score: float
    uncertainty: float
    noise: Verdict
    weight: float
    learn_weight: float
    uniform: Logits
    weighted: Logits
    left: Fading


@kernel
def find(state: Any, event: Any, ordinal: int) -> Slots:
    """The records of the event's entities, new ones where there were none; ``ordinal`` is its number in the shard."""
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
def extract_features(cfg: Any, state: Any, event: Any, slots: Slots) -> Fading:
    """Leave the event's features in the scratch; returns what counting it will need."""
    left: Fading = extract(
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
    return left


@kernel
def estimate(cfg: Any, state: Any, event: Any, slots: Slots, out: Any) -> Estimates:
    """Predict, assess, weigh and state an event before anything is learned from it."""
    scratch, population = state.scratch, state.population[0]
    s = strength(cfg.weight.guard, population)
    left = extract_features(cfg, state, event, slots)
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
        noise_probability=noise.probability,
        noise_cautious=noise.cautious,
        kept=scratch.kept[0],
        dense=scratch.dense,
    )
    statement = StatementHead(
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
    return Estimates(
        p_uniform=p_uniform,
        p_weighted=p_weighted,
        p=p,
        feature_score=feature_score,
        uncertainty=uncertainty,
        noise=noise,
        weight=weight,
        learn_weight=learn_weight,
        uniform=uniform.logits,
        weighted=weighted.logits,
        left=left,
    )


@kernel
def _assess(cfg: Any, state: Any, event: Any, slots: Slots) -> Verdict:
    """P(noise) of the event, which is counted with it; what its factors will need later is left in the scratch."""
    user, item = state.users.rows[slots.user], state.items.rows[slots.item]
    category = state.categories.rows[slots.category]
    pair, interest, population = state.pairs.rows[slots.pair], state.interests.rows[slots.interest], state.population[0]
    kept = state.scratch.kept[0]
    factors.remember(cfg.factors, population, EntityRecords(user, item, category, pair, interest), kept)
    return assess(cfg.factors.noise, state.noise, user, item, category, pair, interest, population, event, kept)
