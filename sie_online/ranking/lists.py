"""A user's list: neighbours of what the user had lately, then what is popular in the user's category, then anywhere.

An item's score is the sum over the user's last items, the k-th newest counted 1 / (k + 1), of the cosine
n(i, j) / sqrt((n(i) + m) (n(j) + m)) of decayed counts; m holds back what was seen but a few times.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sie_online.hashing import combine
from sie_online.jit import kernel
from sie_online.ranking.learning import check_of, growth_now
from sie_online.ranking.tables import AUTO, EVERYTHING, EXCLUDE, RankingConfig
from sie_online.slots import likely_slot

REPEATING = 0.02
"""Share of events that repeat an earlier one of the same user and item from which on they are expected to (`AUTO`)."""
PRIOR_EVENTS = 100
"""Events without a repeat that there are taken to have been before the first."""
RETURNING = 0.1
"""What an item's own place in the user's history counts for, as a share of the rate of repeats. On taobao_815 recall@20
hardly depends on it (.202 at 0, .201 at .1, .200 at 3), but what was just looked at should not fill the list's top."""
LEAST_SCORE = 1e-9
"""Of items that are no neighbours: popularity, as a share, times this."""


@kernel
def repeat_rate(tables: Any) -> float:
    """Which share of events repeats an earlier one of the same user and item."""
    totals = tables.totals[0]
    return float(totals.repeats / (totals.events + PRIOR_EVENTS))


@kernel
def rank_user(cfg: RankingConfig, tables: Any, scratch: Any, user_key: Any, slots: Any, scores: Any) -> int:
    """Fill ``slots`` (n,) int64 with the best items for a user, best first; returns how many there are.

    ``scores`` (n,) float64 is working memory. Of a user who is not known nothing but popularity is.
    """
    n = _score(cfg, tables, scratch, user_key)
    excludes = excludes_seen(cfg, tables)
    filled = 0
    for at in range(n):
        slot = scratch.candidates[at]
        filled = _insert(tables, slots, scores, 0, filled, slot, scratch.score[slot], excludes, user_key)
    user = _user(tables, user_key)
    if user.key == user_key and user.category_key != 0:
        filled = _fill(tables, scratch, user.category_key, slots, scores, filled, excludes, user_key)
    for at in range(filled):
        scratch.mark[slots[at]] = 1
    begin = filled
    filled = _fill(tables, scratch, EVERYTHING, slots, scores, filled, excludes, user_key)
    for at in range(begin):
        scratch.mark[slots[at]] = 0
    _clear(scratch, n)
    return filled


@kernel
def score_items(cfg: RankingConfig, tables: Any, scratch: Any, user_key: Any, item_keys: Any, scores: Any) -> None:
    """Fill ``scores`` (n,) float64 with how much a user is expected to like each of ``item_keys`` (n,) uint64."""
    n = _score(cfg, tables, scratch, user_key)
    least = cfg.floor * growth_now(cfg, tables)
    for at in range(item_keys.shape[0]):
        slot = likely_slot(tables.items, item_keys[at])
        row = tables.items.rows[slot]
        scores[at] = 0.0
        if row.key == item_keys[at]:
            scores[at] = scratch.score[slot] + LEAST_SCORE * row.popularity / (row.popularity + least)
    _clear(scratch, n)


@kernel
def excludes_seen(cfg: RankingConfig, tables: Any) -> bool:
    """Whether items that the user has had are left out."""
    return bool(cfg.seen == EXCLUDE or (cfg.seen == AUTO and repeat_rate(tables) < REPEATING))


@kernel
def _user(tables: Any, user_key: Any) -> Any:
    return tables.users.rows[likely_slot(tables.users, user_key)]


@kernel
def _score(cfg: RankingConfig, tables: Any, scratch: Any, user_key: Any) -> int:
    """Score the neighbours of the user's last items, and these; returns how many slots have a score."""
    user, n = _user(tables, user_key), 0
    if user.key != user_key:
        return 0
    rows, least = tables.items.rows, cfg.floor * growth_now(cfg, tables)
    for place in range(user.n):
        had = rows[user.slot[place]]
        if check_of(had.key) != user.check[place]:
            continue
        share = user.count[place] / (1.0 + place) / math.sqrt(had.popularity + least)
        for at in range(had.n):
            if check_of(rows[had.slot[at]].key) == had.check[at]:
                n = _add(scratch, n, had.slot[at], share * had.count[at])
    for at in range(n):
        slot = scratch.candidates[at]
        scratch.score[slot] /= math.sqrt(rows[slot].popularity + least)
    if not excludes_seen(cfg, tables):
        returning = RETURNING * repeat_rate(tables)
        for place in range(user.n):
            if check_of(rows[user.slot[place]].key) == user.check[place]:
                n = _add(scratch, n, user.slot[place], returning * user.count[place] / (1.0 + place))
    return n


@kernel
def _add(scratch: Any, n: int, slot: int, score: float) -> int:
    scratch.score[slot] += score
    if scratch.mark[slot] != 0:
        return n
    scratch.mark[slot] = 1
    scratch.candidates[n] = slot
    return n + 1


@kernel
def _clear(scratch: Any, n: int) -> None:
    for at in range(n):
        slot = scratch.candidates[at]
        scratch.score[slot], scratch.mark[slot] = 0.0, 0


@kernel
def _fill(
    tables: Any, scratch: Any, category_key: Any, slots: Any, scores: Any, begin: int, excludes: bool, user_key: Any
) -> int:
    """Append the most popular of a category that have no mark; returns how many there are then."""
    row = tables.categories.rows[likely_slot(tables.categories, category_key)]
    if row.key != category_key:
        return begin
    filled = begin
    for at in range(row.n):
        slot = row.slot[at]
        if scratch.mark[slot] == 0 and check_of(tables.items.rows[slot].key) == row.check[at]:
            filled = _insert(tables, slots, scores, begin, filled, slot, row.count[at], excludes, user_key)
    return filled


@kernel
def _insert(
    tables: Any,
    slots: Any,
    scores: Any,
    begin: int,
    filled: int,
    slot: int,
    score: float,
    excludes: bool,
    user_key: Any,
) -> int:
    """Put an item where it belongs behind ``begin``, if there; returns how many there are then."""
    if filled == slots.shape[0] and (
        begin == filled or not _is_before(tables, slot, score, slots[filled - 1], scores[filled - 1])
    ):
        return filled
    if excludes and _was_seen(tables, user_key, slot):
        return filled
    at = filled if filled < slots.shape[0] else filled - 1
    while at > begin and _is_before(tables, slot, score, slots[at - 1], scores[at - 1]):
        slots[at], scores[at] = slots[at - 1], scores[at - 1]
        at -= 1
    slots[at], scores[at] = slot, score
    return int(min(filled + 1, slots.shape[0]))


@kernel
def _is_before(tables: Any, slot: int, score: float, other: int, other_score: float) -> bool:
    """Ties go by key: slots depend on what was evicted."""
    if score != other_score:
        return score > other_score
    return bool(tables.items.rows[slot].key < tables.items.rows[other].key)


@kernel
def _was_seen(tables: Any, user_key: Any, slot: int) -> bool:
    key = combine(user_key, np.uint64(tables.items.rows[slot].key))
    return bool(tables.seen.rows[likely_slot(tables.seen, key)].key == key)
