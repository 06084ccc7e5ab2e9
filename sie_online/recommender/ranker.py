"""The ranking of `sie_online.ranking` with River's protocol: users, items and rewards one by one, the same numbers."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import reco

from sie_online.hashing import hash_span
from sie_online.ranking.learning import learn_event
from sie_online.ranking.lists import id_of, rank_user, score_items
from sie_online.ranking.tables import SEEN, Known, RankingConfig, RankingSizes, new_scratch, new_tables, no_tables

LONGEST_ID = 256
"""Bytes of an item's text that are kept for ``recommend``."""


class NeighbourhoodRanker(reco.base.Ranker):  # type: ignore[misc,unused-ignore]
    """Incremental item neighbourhoods: who had this lately, had that next.

    Every item is counted together with the user's last ones, the less the more lie between them; a user is shown what
    the cosine of these counts says goes with the user's last items, then what is popular. Memory is fixed: of every
    item so many neighbours are known, of every user so many items, and whoever was unseen longest makes room. Nothing
    is random, and ties go by key.

    ``x`` may hold ``timestamp_ms``, by which counts decay, and ``category_id``, in which users of whom nothing else is
    known are shown what is popular.

    Parameters
    ----------
    half_life_s
        After which an event counts half; 0 forgets nothing. Needs ``timestamp_ms``.
    history, together
        Last items that are known of a user, and those that an item is counted with.
    neighbours
        Neighbours that are known of an item.
    seen
        Items that the user has had: "include", "exclude", or "auto", which excludes while hardly any comes again. It
        concerns ``recommend``; ``rank`` ranks what it is given.
    users, items, pairs
        Bounds of the tables.
    seed
        Is River's; nothing here is random.

    Examples
    --------

    >>> from sie_online.recommender import NeighbourhoodRanker

    >>> ranker = NeighbourhoodRanker(users=64, items=64, pairs=64)
    >>> for user in ("ann", "ben", "eve"):
    ...     for item in ("tea", "pot", "cup"):
    ...         ranker.learn_one(user, item, 1)
    >>> ranker.learn_one("joe", "tea", 1)
    >>> ranker.rank("joe", {"cup", "pot", "car"})
    ['pot', 'cup', 'car']
    >>> ranker.recommend("joe", 1)
    ['pot']

    """

    def __init__(
        self,
        half_life_s: float = 0.0,
        history: int = 32,
        together: int = 16,
        neighbours: int = 64,
        seen: str = "auto",
        users: int = 1 << 12,
        items: int = 1 << 12,
        pairs: int = 1 << 16,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed=seed)
        self.half_life_s = half_life_s
        self.history = history
        self.together = together
        self.neighbours = neighbours
        self.seen = seen
        self.users = users
        self.items = items
        self.pairs = pairs
        decay = math.log(2.0) / (half_life_s * 1_000) if half_life_s else 0.0
        self._cfg = RankingConfig(decay_per_ms=decay, window=together, seen=SEEN[seen])
        sizes = RankingSizes(users, items, 64, pairs, history, neighbours, id_bytes=LONGEST_ID)
        self._known = Known(new_tables(sizes), no_tables(sizes))
        self._scratch = new_scratch(self._known)

    def learn_one(self, user: Hashable, item: Hashable, y: Any, x: Mapping[Hashable, Any] | None = None) -> None:
        """Learn that a user had an item, as often as the reward ``y`` says; nothing if that is not above 0."""
        weight, context, text = float(y), x or {}, _text(item)
        if not (weight > 0.0 and math.isfinite(weight)):
            return
        category = context.get("category_id")
        learn_event(
            self._cfg,
            self._known.own,
            _key(_text(user)),
            _key(text),
            np.uint64(0) if category is None else _key(_text(category)),
            int(context.get("timestamp_ms", 1)),
            weight,
            text,
            0,
            min(len(text), LONGEST_ID),
        )

    def predict_one(self, user: Hashable, item: Hashable, x: Mapping[Hashable, Any] | None = None) -> Any:
        """How much the user is expected to like the item: 0 where nothing is known of it."""
        return float(self._scores(user, [item])[0])

    def rank(self, user: Hashable, items: set[Hashable], x: Mapping[Hashable, Any] | None = None) -> list[Hashable]:
        """``items`` by decreasing preference of the user; equals by their text."""
        by_text = sorted(items, key=str)
        order = np.argsort(-self._scores(user, by_text), kind="stable")
        return [by_text[place] for place in order.tolist()]

    def recommend(self, user: Hashable, n: int) -> list[str]:
        """The best ``n`` items for a user, best first, as text."""
        if n < 1:
            return []
        candidates, scores = np.empty(n, np.int64), np.empty(n)
        filled = rank_user(self._cfg, self._known, self._scratch, _key(_text(user)), candidates, scores)
        return [id_of(self._known, candidate) for candidate in candidates[:filled].tolist()]

    def _scores(self, user: Hashable, items: list[Hashable]) -> NDArray[np.float64]:
        keys, scores = np.array([_key(_text(item)) for item in items], np.uint64), np.empty(len(items))
        score_items(self._cfg, self._known, self._scratch, _key(_text(user)), keys, scores)
        return scores


def _text(value: Hashable) -> NDArray[np.uint8]:
    return np.frombuffer(bytearray(str(value).encode() or b"\0"), np.uint8)


def _key(text: NDArray[np.uint8]) -> np.uint64:
    return np.uint64(hash_span(text, 0, len(text)))
