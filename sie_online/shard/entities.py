"""The records that a shard keeps of users, items, categories and their pairs, and what it states about them.

Owns the layout of the records (each module of the core names its own fields) and when an entity's statement is due.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online import features
from sie_online.elementary import log
from sie_online.importance import guard, weight
from sie_online.importance.factors import fields_of
from sie_online.jit import kernel
from sie_online.shard import slots
from sie_online.statements import EntityKind

USER, ITEM, CATEGORY, ERASED_USER = range(4)
KINDS: tuple[EntityKind, ...] = ("user", "item", "category", "user")
"""Names of the stated kinds, in code order; of an erased user is said that there is no statement any more."""

BASE_FIELDS: list[tuple[Any, ...]] = [*slots.BASE_FIELDS, ("last_ms", "i8")]
STATED_FIELDS: list[tuple[Any, ...]] = [
    ("n_events", "f8"),
    ("sum_weight", "f8"),
    ("sum_noise", "f8"),
    ("said_noise", "f8"),  # what the last statement implied: mean noise ...
    ("said_log_weight", "f8"),  # ... log mean weight ...
    ("said_ms", "i8"),  # ... and when; 0: nothing said yet
]


def _record(*groups: list[tuple[Any, ...]]) -> np.dtype[Any]:
    return np.dtype([field for group in groups for field in group], align=True)


USERS = _record(BASE_FIELDS, STATED_FIELDS, features.USER_FIELDS, guard.USER_FIELDS, fields_of("user"))
ITEMS = _record(BASE_FIELDS, STATED_FIELDS, features.ITEM_FIELDS, fields_of("item"))
CATEGORIES = _record(BASE_FIELDS, STATED_FIELDS, features.CATEGORY_FIELDS, fields_of("category"))
USER_KEY_FIELDS: list[tuple[Any, ...]] = [("user_key", "u8")]  # key of the user whose record it is
PAIRS = _record(
    BASE_FIELDS, USER_KEY_FIELDS, [("converted_ms", "i8")], features.PAIR_FIELDS, fields_of("pair")
)  # converted_ms: of the last conversion not returned since; 0: none
INTERESTS = _record(BASE_FIELDS, USER_KEY_FIELDS, features.INTEREST_FIELDS, fields_of("interest"))
POPULATION = _record(
    features.POPULATION_FIELDS, fields_of("population"), guard.POPULATION_FIELDS, weight.POPULATION_FIELDS
)

PRIOR_EVENTS = 1.0
PRIOR_NOISE = 0.1
"""Prior of an entity's derived mean noise: one event, a tenth of it noise."""


class StatementConfig(NamedTuple):
    """A statement is due when a derived value moved by more than ``epsilon``, or at an age of ``max_age_ms``."""

    epsilon: float
    max_age_ms: int


@kernel
def count(entity: Any, event_weight: float, p_noise: float, time_ms: int) -> None:
    """Count one weighed event of an entity."""
    if entity.n_events == 0.0:
        entity.said_noise = PRIOR_NOISE
        entity.said_ms = time_ms
    entity.n_events += 1.0
    entity.sum_weight += event_weight
    entity.sum_noise += p_noise


@kernel
def statement_due(cfg: StatementConfig, entity: Any, time_ms: int) -> bool:
    """Whether to state the entity now; if so, what is said is noted as said."""
    mean_noise = (entity.sum_noise + PRIOR_EVENTS * PRIOR_NOISE) / (entity.n_events + PRIOR_EVENTS)
    log_weight = log((entity.sum_weight + PRIOR_EVENTS) / (entity.n_events + PRIOR_EVENTS))
    moved = abs(mean_noise - entity.said_noise) > cfg.epsilon or abs(log_weight - entity.said_log_weight) > cfg.epsilon
    if not moved and time_ms - entity.said_ms <= cfg.max_age_ms:
        return False
    entity.said_noise = mean_noise
    entity.said_log_weight = log_weight
    entity.said_ms = time_ms
    return True
