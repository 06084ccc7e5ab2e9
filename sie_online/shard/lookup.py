"""What a shard can be asked without it learning anything: what it knows of an entity, how likely a pair is to convert.

Reads the state as of the last record and writes to none of it: what is asked leaves no record, no count and no mark. So
whoever asks must not do so while a batch is being processed.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online.features import extract
from sie_online.hashing import combine
from sie_online.importance.guard import strength
from sie_online.ingest.events import EVENT
from sie_online.jit import kernel
from sie_online.recommender.kernels import UNIFORM, WEIGHTED, predict
from sie_online.shard.estimate import NO_CATEGORY
from sie_online.shard.figures import tables_by_kind
from sie_online.shard.state import Scratch, State
from sie_online.slots import KEY, SLOT, TOUCHED, WAYS, likely_slot
from sie_online.statements import EntityKind


class EntityFigures(NamedTuple):
    """What a shard knows of one user, item or category, all of it sums (`sie_online.statements.EntityState`)."""

    n_events: int
    sum_weight: float
    noise_alpha: float
    noise_beta: float


class PairScore(NamedTuple):
    """What would be published of a user and an item now, at which strength of the guard, and whether the shard has a
    record of either.
    """

    probability: float
    uncertainty: float
    strength: float
    knows_user: bool
    knows_item: bool


def entity(state: State, kind: EntityKind, key: int) -> EntityFigures | None:
    """What is known of the entity with the 64-bit hash ``key`` of its id; None if nothing is."""
    table = tables_by_kind(state)[kind]
    sets = int(table.spread[0])
    ways = table.sets[(key // WAYS) & (sets - 1)]
    found = np.flatnonzero((ways[KEY].view(np.uint64) == np.uint64(key)) & (ways[TOUCHED] != 0))
    if not len(found):
        return None
    row = table.rows[ways[SLOT, found[0]]]
    names = row.dtype.names or ()
    alpha, beta = (float(row[name]) if name in names else 0.0 for name in ("z_alpha", "z_beta"))
    n, noise = float(row["n_events"]), float(row["sum_noise"])
    return EntityFigures(int(n), float(row["sum_weight"]), noise + alpha, n - noise + beta)


def question(
    user_key: int, item_key: int, category_key: int, time_ms: int, etype: int
) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """An event (1,) of dtype ``EVENT`` as it would happen at ``time_ms``, with nothing else known of it."""
    asked = np.zeros(1, EVENT)
    asked["time_ms"] = asked["now_ms"] = time_ms
    asked["user_key"], asked["item_key"], asked["category_key"] = user_key, item_key, category_key
    for name in ("position", "propensity", "price", "dwell_ms", "rating"):
        asked[name] = np.nan
    asked["etype"] = etype
    return asked


def apart(state: State) -> State:
    """``state`` with working memory of its own: what is computed in it is nobody else's."""
    model = state.model
    return state._replace(
        scratch=Scratch._make(array.copy() for array in state.scratch),
        model=model._replace(contribution=model.contribution.copy(), sums=model.sums.copy()),
    )


@kernel
def score(cfg: Any, state: Any, asked: Any) -> PairScore:
    """What is predicted of ``asked`` (1,), as of what is known now; its features are left in the scratch.

    An entity that is not known is one of whom nothing has been counted, as it would be at its first event.
    """
    event = asked[0]
    category_key = max(event.category_key, NO_CATEGORY)
    users, items = state.users, state.items
    user, item = likely_slot(users, event.user_key), likely_slot(items, event.item_key)
    extract(
        cfg.features,
        users.rows[user],
        items.rows[item],
        state.categories.rows[likely_slot(state.categories, category_key)],
        state.pairs.rows[likely_slot(state.pairs, combine(event.user_key, event.item_key))],
        state.interests.rows[likely_slot(state.interests, combine(event.user_key, category_key))],
        state.population[0],
        event,
        state.scratch.features,
        state.scratch.dense,
    )
    s = strength(cfg.weight.guard, state.population[0])
    uniform = predict(cfg.model, state.model, UNIFORM, state.scratch.features)
    weighted = predict(cfg.model, state.model, WEIGHTED, state.scratch.features)
    return PairScore(
        probability=(1.0 - s) * uniform.probability + s * weighted.probability,
        uncertainty=(1.0 - s) * uniform.uncertainty + s * weighted.uncertainty,
        strength=s,
        knows_user=users.rows[user].key == event.user_key,
        knows_item=items.rows[item].key == event.item_key,
    )
