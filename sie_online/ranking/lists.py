"""A user's list: neighbours of what the user had lately, then what is popular in the user's category, then anywhere.

An item's score is the sum over the user's last items, the k-th newest counted 1 / (k + 1), of the cosine
n(i, j) / sqrt((n(i) + m) (n(j) + m)) of decayed counts; m holds back what was seen but a few times.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from sie_online.elementary import exp
from sie_online.hashing import combine
from sie_online.jit import kernel
from sie_online.ranking.learning import LARGEST_EXPONENT
from sie_online.ranking.tables import AUTO, EVERYTHING, EXCLUDE, Known, RankingConfig, check_of
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


class Moment(NamedTuple):
    """A ranking's user, and what holds while it goes on.

    Attributes:
        user_key: whose list it is.
        least: the counts that every item is taken to have had besides, as counts are kept.
        others: by what to multiply the others' counts.
        excludes: whether items that the user has had are left out.
    """

    user_key: Any
    least: float
    others: float
    excludes: bool


class Chosen(NamedTuple):
    """The best candidates so far, best first from ``begin`` on."""

    candidates: Any
    scores: Any


@kernel
def repeat_rate(tables: Any) -> float:
    """Which share of events repeats an earlier one of the same user and item."""
    totals = tables.totals[0]
    return float(totals.repeats / (totals.events + PRIOR_EVENTS))


@kernel
def excludes_seen(cfg: RankingConfig, tables: Any) -> bool:
    """Whether items that the user has had are left out."""
    return bool(cfg.seen == EXCLUDE or (cfg.seen == AUTO and repeat_rate(tables) < REPEATING))


@kernel
def is_known(tables: Any, user_key: Any) -> bool:
    """Whether anything is known of a user."""
    return bool(tables.users.rows[likely_slot(tables.users, user_key)].key == user_key)


@kernel
def rank_user(cfg: RankingConfig, known: Any, scratch: Any, user_key: Any, candidates: Any, scores: Any) -> int:
    """Fill ``candidates`` (n,) int64 with the best for a user, best first; returns how many there are.

    ``scores`` (n,) float64 is working memory. Of a user who is not known nothing but popularity is.
    """
    moment, chosen = _moment(cfg, known, user_key), Chosen(candidates, scores)
    n, filled = _score(known, scratch, moment), 0
    for at in range(n):
        candidate = scratch.candidates[at]
        filled = _insert(known, moment, chosen, 0, filled, candidate, scratch.score[candidate])
    user = _user(known, user_key)
    if user.key == user_key and user.category_key != 0:
        n, filled = _append_popular(known, scratch, moment, user.category_key, chosen, n, filled)
    n, filled = _append_popular(known, scratch, moment, EVERYTHING, chosen, n, filled)
    _clear(scratch, n)
    return filled


@kernel
def score_items(cfg: RankingConfig, known: Any, scratch: Any, user_key: Any, item_keys: Any, scores: Any) -> None:
    """Fill ``scores`` (n,) float64 with how much a user is expected to like each of ``item_keys`` (n,) uint64."""
    moment = _moment(cfg, known, user_key)
    n = _score(known, scratch, moment)
    for at in range(item_keys.shape[0]):
        candidate = _candidate(known, item_keys[at])
        scores[at] = 0.0
        if candidate >= 0:
            popularity = _popularity(known, moment, candidate)
            scores[at] = scratch.score[candidate] + LEAST_SCORE * popularity / (popularity + moment.least)
    _clear(scratch, n)


def id_of(known: Known, candidate: int) -> str:
    """The id of a candidate."""
    own, others = known.own.items.rows, known.others.items.rows
    row = own[candidate] if candidate < len(own) else others[candidate - len(own)]
    return bytes(row["id"][: row["id_bytes"]]).decode(errors="replace")


@kernel
def _moment(cfg: RankingConfig, known: Any, user_key: Any) -> Moment:
    own, others = known.own.totals[0], known.others.totals[0]
    since_landmark = cfg.decay_per_ms * (own.now_ms - own.landmark_ms)
    until_others = cfg.decay_per_ms * (others.now_ms - own.landmark_ms)
    return Moment(
        user_key,
        cfg.floor * exp(since_landmark),
        # others that are ahead in time count as if they were not
        exp(min(max(until_others, -LARGEST_EXPONENT), since_landmark)),
        excludes_seen(cfg, known.own),
    )


@kernel
def _user(known: Any, user_key: Any) -> Any:
    return known.own.users.rows[likely_slot(known.own.users, user_key)]


@kernel
def _candidate(known: Any, item_key: Any) -> int:
    """The candidate of an item; -1 where it is not known."""
    own, others = known.own.items, known.others.items
    slot = likely_slot(own, item_key)
    if own.rows[slot].key == item_key:
        return slot
    slot = likely_slot(others, item_key)
    return own.rows.shape[0] + slot if others.rows[slot].key == item_key else -1


@kernel
def _key(known: Any, candidate: int) -> Any:
    n = known.own.items.rows.shape[0]
    if candidate < n:
        return np.uint64(known.own.items.rows[candidate].key)
    return np.uint64(known.others.items.rows[candidate - n].key)


@kernel
def _popularity(known: Any, moment: Moment, candidate: int) -> float:
    """By own counts and others'."""
    own, others = known.own.items.rows, known.others.items
    if candidate >= own.shape[0]:
        return float(moment.others * others.rows[candidate - own.shape[0]].popularity)
    popularity = float(own[candidate].popularity)
    if others.used[0] > 0:
        row = others.rows[likely_slot(others, np.uint64(own[candidate].key))]
        if row.key == own[candidate].key:
            popularity += moment.others * row.popularity
    return popularity


@kernel
def _score(known: Any, scratch: Any, moment: Moment) -> int:
    """Score the neighbours of the user's last items, and these; returns how many candidates have a score."""
    user, n = _user(known, moment.user_key), 0
    if user.key != moment.user_key:
        return 0
    rows = known.own.items.rows
    for place in range(user.n):
        if check_of(rows[user.slot[place]].key) == user.check[place]:
            n = _score_neighbours(known, scratch, moment, user.slot[place], user.count[place] / (1.0 + place), n)
    for at in range(n):
        candidate = scratch.candidates[at]
        scratch.score[candidate] /= math.sqrt(_popularity(known, moment, candidate) + moment.least)
    if not moment.excludes:
        returning = RETURNING * repeat_rate(known.own)
        for place in range(user.n):
            if check_of(rows[user.slot[place]].key) == user.check[place]:
                n = _add(scratch, n, user.slot[place], returning * user.count[place] / (1.0 + place))
    return n


@kernel
def _score_neighbours(known: Any, scratch: Any, moment: Moment, had: int, counts: float, n: int) -> int:
    own, others = known.own.items, known.others.items
    row = own.rows[had]
    share = counts / math.sqrt(_popularity(known, moment, had) + moment.least)
    for at in range(row.n):
        if check_of(own.rows[row.slot[at]].key) == row.check[at]:
            n = _add(scratch, n, row.slot[at], share * row.count[at])
    if others.used[0] > 0:
        row = others.rows[likely_slot(others, np.uint64(own.rows[had].key))]
        if row.key == own.rows[had].key:
            for at in range(row.n):
                candidate = _candidate(known, np.uint64(others.rows[row.slot[at]].key))
                n = _add(scratch, n, candidate, share * moment.others * row.count[at])
    return n


@kernel
def _add(scratch: Any, n: int, candidate: int, score: float) -> int:
    scratch.score[candidate] += score
    if scratch.mark[candidate] != 0:
        return n
    scratch.mark[candidate] = 1
    scratch.candidates[n] = candidate
    return n + 1


@kernel
def _clear(scratch: Any, n: int) -> None:
    for at in range(n):
        candidate = scratch.candidates[at]
        scratch.score[candidate], scratch.mark[candidate] = 0.0, 0


@kernel
def _append_popular(
    known: Any, scratch: Any, moment: Moment, category_key: Any, chosen: Chosen, n: int, begin: int
) -> tuple[int, int]:
    """Append the most popular of a category that have no score; returns how many have one then, and are chosen."""
    if begin == chosen.scores.shape[0]:
        return n, begin
    filled, own, others = begin, known.own, known.others
    row = own.categories.rows[likely_slot(own.categories, category_key)]
    if row.key == category_key:
        for at in range(row.n):
            if check_of(own.items.rows[row.slot[at]].key) == row.check[at]:
                n, filled = _append(known, scratch, moment, chosen, row.slot[at], n, begin, filled)
    row = others.categories.rows[likely_slot(others.categories, category_key)]
    if row.key == category_key:
        for at in range(row.n):
            candidate = _candidate(known, np.uint64(others.items.rows[row.slot[at]].key))
            n, filled = _append(known, scratch, moment, chosen, candidate, n, begin, filled)
    return n, filled


@kernel
def _append(
    known: Any, scratch: Any, moment: Moment, chosen: Chosen, candidate: int, n: int, begin: int, filled: int
) -> tuple[int, int]:
    if scratch.mark[candidate] != 0:
        return n, filled
    filled = _insert(known, moment, chosen, begin, filled, candidate, _popularity(known, moment, candidate))
    return _add(scratch, n, candidate, 0.0), filled


@kernel
def _insert(known: Any, moment: Moment, chosen: Chosen, begin: int, filled: int, candidate: int, score: float) -> int:
    """Put a candidate where it belongs behind ``begin``, if anywhere; returns how many are chosen then."""
    candidates, scores = chosen
    size = scores.shape[0]
    if filled == size and not _is_before(known, candidate, score, candidates[size - 1], scores[size - 1]):
        return filled
    if moment.excludes and _was_seen(known, moment.user_key, candidate):
        return filled
    at = filled if filled < size else size - 1
    while at > begin and _is_before(known, candidate, score, candidates[at - 1], scores[at - 1]):
        candidates[at], scores[at] = candidates[at - 1], scores[at - 1]
        at -= 1
    candidates[at], scores[at] = candidate, score
    return int(min(filled + 1, size))


@kernel
def _is_before(known: Any, candidate: int, score: float, other: int, other_score: float) -> bool:
    """Ties go by key: slots depend on what was evicted."""
    if score != other_score:
        return score > other_score
    return bool(_key(known, candidate) < _key(known, other))


@kernel
def _was_seen(known: Any, user_key: Any, candidate: int) -> bool:
    key, seen = combine(user_key, _key(known, candidate)), known.own.seen
    return bool(seen.rows[likely_slot(seen, key)].key == key)
