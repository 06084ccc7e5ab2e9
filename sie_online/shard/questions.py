"""What a shard can be asked by ids: they are hashed as the state has them, and `lookup` and the ranking answer.

What is asked leaves nothing behind; it is not to be asked while a batch is being processed.
"""

from __future__ import annotations

import numpy as np

from sie_online.importance.guard import SIDES, log_evidence, strength
from sie_online.importance.weight import effective_share
from sie_online.pseudonyms import pseudonyms
from sie_online.settings import Settings
from sie_online.shard import lookup
from sie_online.shard.figures import RecordCounts, ShardStats, tables_by_kind
from sie_online.shard.learned import Learned
from sie_online.shard.lookup import EntityFigures, PairScore
from sie_online.shard.ranking import key_of
from sie_online.slots import bytes_in_use
from sie_online.statements import EntityKind


class Questions:
    """Of what is ``learned`` under ``settings``. Users are asked after by their raw ids."""

    def __init__(self, settings: Settings, learned: Learned) -> None:
        self._learned = learned
        self._pseudonyms = pseudonyms(settings)

    def entity(self, kind: EntityKind, entity_id: str) -> EntityFigures | None:
        """What is known of a user, item or category; None if nothing is."""
        return lookup.entity(self._learned.state, kind, self._key(kind, entity_id))

    def score(self, user_id: str, item_id: str, category_id: str) -> PairScore:
        """P(conversion) of a sample of the user and the item, would it happen at ``clock_ms``."""
        learned = self._learned
        asked = lookup.question(
            self._key("user", user_id),
            self._key("item", item_id),
            self._key("category", category_id),
            learned.clock_ms,
            learned.config.sample_type,
        )
        state = lookup.apart(learned.state)
        found: PairScore = lookup.score(learned.config, state, asked)
        return learned.external.rescored(found, state.scratch) if learned.external else found

    def recommend(self, user_id: str, n: int) -> list[str]:
        """The best ``n`` items for a user, best first, by their ids.

        Raises:
            UsageError: ``recommend.enabled`` is false.
        """
        return self._learned.require_ranking().recommend(np.uint64(self._key("user", user_id)), n)

    def stats(self, counts: RecordCounts) -> ShardStats:
        """How it stands after records of which became what ``counts`` says."""
        learned, state = self._learned, self._learned.state
        counters, population = state.counters[0], state.population[0]
        tables = tables_by_kind(state)
        ranked_bytes = learned.ranking.bytes_in_use if learned.ranking else 0
        return ShardStats(
            clock_ms=learned.clock_ms,
            open_views=int(counters["tail"] - counters["head"]),
            entities={kind: int(table.used[0]) for kind, table in tables.items()},
            evictions={kind: int(table.evicted[0]) for kind, table in tables.items()},
            table_bytes=sum(map(bytes_in_use, tables.values())) + ranked_bytes,
            weight_counts=tuple(counters["weight_bins"].tolist()),
            effective_share=float(effective_share(population)),
            strength=float(strength(learned.config.weight.guard, population)),
            judged_views=int(population["guard_judged"]),
            log_evidence={name: float(log_evidence(population, side)) for side, name in enumerate(SIDES)},
            counts=counts,
        )

    def _key(self, kind: EntityKind, entity_id: str) -> int:
        """Hash of an id as the state has it; 0 for an empty one."""
        text = entity_id.encode()
        if not text:
            return 0
        return int(key_of(self._pseudonyms.of(text) if kind == "user" and self._pseudonyms else text))
