"""The records that a shard keeps of users, items, categories and their pairs, and what it states about them.

Owns the layout of the records (each module of the core names its own fields) and when an entity's statement is due.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online import features, slots
from sie_online.importance import guard, weight
from sie_online.importance.factors import fields_of
from sie_online.jit import kernel
from sie_online.statements import EntityKind

USER, ITEM, CATEGORY, ERASED_USER = range(4)
KINDS: tuple[EntityKind, ...] = ("user", "item", "category", "user")
"""Names of the stated kinds, in code order; of an erased user is said that there is no statement any more."""

BASE_FIELDS: list[tuple[Any, ...]] = [*slots.BASE_FIELDS, ("last_ms", "i8")]
STATED_FIELDS: list[tuple[Any, ...]] = [
    ("n_events", "f8"),
    ("sum_weight", "f8"),
    ("sum_noise", "f8"),
    ("said_events", "f8"),  # n_events of the last statement; 0: nothing said yet
    ("said_ms", "i8"),  # event time of the last statement
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
RECORDS = {"user": USERS, "item": ITEMS, "category": CATEGORIES, "pair": PAIRS, "interest": INTERESTS}
"""What is kept of each kind of entity."""
POPULATION = _record(
    features.POPULATION_FIELDS, fields_of("population"), guard.POPULATION_FIELDS, weight.POPULATION_FIELDS
)


class StatementConfig(NamedTuple):
    """A statement is due when the events have grown by the share ``growth``, or at an age of ``max_age_ms``.

    So a reader lacks less than ``growth / (1 + growth)`` of an entity's events, in each shard and in their sum: its
    mean noise cannot be off by more. How far a mean moved is no cause: of the young it moves at every event.
    """

    growth: float
    max_age_ms: int


@kernel
def count(entity: Any, event_weight: float, p_noise: float) -> None:
    """Count one weighed event of an entity."""
    entity.n_events += 1.0
    entity.sum_weight += event_weight
    entity.sum_noise += p_noise


@kernel
def statement_due(cfg: StatementConfig, entity: Any, time_ms: int) -> bool:
    """Whether to state the entity, which has just been counted, now; if so, what is said is noted as said."""
    grown = entity.n_events >= entity.said_events * (1.0 + cfg.growth)
    if not grown and time_ms - entity.said_ms <= cfg.max_age_ms:
        return False
    entity.said_events = entity.n_events
    entity.said_ms = time_ms
    return True
