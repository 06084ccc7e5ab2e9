"""How each question is answered, by the shards of this worker.

A shard is asked between two batches, for as long as a look at its state takes: whoever asks waits for the batch under
way, and the next batch for the look, which takes less than the way to a thread and back would (measured: 13 µs an
entity, 60 a score, 30 to 400 a list). What was published waits for no batch; it is decoded on the event loop, too, a
message at a time, with a turn for others in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from itertools import chain
from typing import Any

from sie_online.announcements import RegisteredModel
from sie_online.client.entities import Entity
from sie_online.client.rows import WeightRow
from sie_online.moments import moment
from sie_online.pseudonyms import pseudonyms
from sie_online.settings import Settings
from sie_online.shard import Shard
from sie_online.shard.lookup import EntityFigures
from sie_online.statements import EntityKind
from streams.query.answers import (
    AsOf,
    EntitySums,
    Explanation,
    NoiseModel,
    Recommendations,
    Revision,
    Score,
    Weights,
)
from streams.query.owners import Owners
from streams.query.problems import ProblemError, not_found, not_ready
from streams.tools.explanation import document
from streams.tools.influence import UnexplainedError, require_net
from streams.tools.noise import judge_of
from streams.worker.leases import ShardLease, ShardLeases
from streams.worker.recent import newest

SEE_EXPLAIN = "'sie explain' reads the whole topic."
OFF = "This worker does not recommend: set recommend.enabled (SIE_RECOMMEND__ENABLED=true) on all workers."
NOT_HERE = "its row of the samples topic is not kept here: 'sie explain' reads it"


class Questions:
    """One method per route, of its name, with the route's parameters. Each raises what its ``owners`` raise."""

    def __init__(
        self, settings: Settings, leases: ShardLeases, owners: Owners, registry: Mapping[str, RegisteredModel]
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._owners = owners
        self._registry = registry
        self._pseudonyms = pseudonyms(settings)

    async def weights(self, event_id: str, user: str, asked: str) -> Weights:
        """What was published of an event lately."""
        rows = await self._published(event_id, user, asked)
        newest_first = sorted(rows, key=lambda row: (row.published_ms, row.revision), reverse=True)
        known: dict[tuple[int, int], set[int]] = {}
        for row in rows:
            known.setdefault((row.partition, row.offset), set()).add(row.revision)
        complete = all(len(revisions) == 1 + max(revisions) for revisions in known.values())
        return Weights(event_id, complete, [Revision.of(row) for row in newest_first])

    async def explain(self, event_id: str, user: str, asked: str) -> Explanation:
        """Why an event has its weight."""
        rows = await self._published(event_id, user, asked)
        last = max(rows, key=lambda row: row.published_ms)
        revisions = [row for row in rows if (row.partition, row.offset) == (last.partition, last.offset)]
        said: dict[str, Any] = document(revisions, _unexplained(revisions[-1]))
        judge = judge_of(self._registry, revisions[0])
        said |= {"noise_model": NoiseModel(judge.version, judge.announcement)}
        return Explanation(**said | {"revisions": [Revision.of(row) for row in revisions]})

    async def entities(self, kind: EntityKind, id: str, asked: str) -> EntitySums:
        """What is known of a user, item or category."""
        leases = [await self._owners.of_user(id, _list(asked))] if kind == "user" else self._owners.held()
        if not leases:
            raise not_ready("this worker has no partition at this moment: ask again")
        found = await asyncio.gather(*(self._entity(lease, kind, id) for lease in leases))
        shards = [figures for figures in found if figures is not None]
        partitions = [lease.partition for lease in leases]
        if not shards:
            raise not_found(
                f"nothing is known of this {kind} in partition {', '.join(map(str, partitions))}: no event of it was"
                " weighed there, or it was forgotten to make room for others"
            )
        sums = (sum(each) for each in zip(*shards, strict=True))
        entity = Entity(kind, self._published_id(id) if kind == "user" else id, len(shards), *sums)
        return EntitySums.of(kind, entity, partitions, self._owners.n_partitions)

    async def score(self, user: str, item: str, category: str, asked: str) -> Score:
        """How likely the user is to convert on the item now."""
        lease = await self._owners.of_user(user, _list(asked))
        async with self._between_batches(lease) as shard:
            found, as_of = shard.score(user, item, category), self._as_of(shard, user)
        return Score(
            **as_of,
            item_id=item,
            category_id=category or None,
            probability=found.probability,
            uncertainty=found.uncertainty,
            knows_user=found.knows_user,
            knows_item=found.knows_item,
        )

    async def recommend(self, user: str, n: int, asked: str) -> Recommendations:
        """What the user may like next."""
        if not self._settings.recommend.enabled:
            raise ProblemError(HTTPStatus.CONFLICT, OFF)
        lease = await self._owners.of_user(user, _list(asked))
        async with self._between_batches(lease) as shard:
            return Recommendations(**self._as_of(shard, user), items=shard.recommend(user, n))

    # -- shards

    async def _published(self, event_id: str, user: str, asked: str) -> list[WeightRow]:
        """The rows of the events of an id, by place and revision; at least one."""
        leases = [await self._owners.of_user(user, _list(asked))] if user else self._owners.held()
        kept = [lease.recent for lease in leases if lease.recent is not None]
        since = max((known for recent in kept if (known := recent.since_ms()) is not None), default=None)
        rows: list[WeightRow] = []
        for of_one_message in chain.from_iterable([recent.find(event_id) for recent in kept]):
            rows += of_one_message
            await asyncio.sleep(0)
        if rows:
            return newest(rows)
        begin = f"since {moment(since)} UTC, event time" if since is not None else "so far none"
        nothing = f"No statement about this event is among those that are kept ({begin}). {SEE_EXPLAIN}"
        raise not_found(nothing) if user else await self._owners.others(_list(asked), nothing)

    async def _entity(self, lease: ShardLease, kind: EntityKind, entity_id: str) -> EntityFigures | None:
        async with self._between_batches(lease) as shard:
            return shard.entity(kind, entity_id)

    @asynccontextmanager
    async def _between_batches(self, lease: ShardLease) -> AsyncIterator[Shard]:
        """The shard while no batch is processed; it may have been given up while we waited."""
        async with lease.processing:
            if not self._leases.holds(lease):
                raise not_ready("the partition was given to another worker just now: ask again")
            yield lease.shard

    def _as_of(self, shard: Shard, user: str) -> dict[str, Any]:
        as_of = AsOf(
            user_id=self._published_id(user),
            partition=shard.partition,
            offset=shard.next_offset,
            event_time_ms=shard.clock_ms,
        )
        return {name: getattr(as_of, name) for name in as_of.__struct_fields__}

    def _published_id(self, user: str) -> str:
        return self._pseudonyms.of(user.encode()).decode() if self._pseudonyms else user


def _unexplained(row: WeightRow) -> str:
    """Why it is not said what moved f(x) of ``row``."""
    try:
        require_net(row)
    except UnexplainedError as error:
        return str(error)
    return NOT_HERE


def _list(asked: str) -> tuple[str, ...]:
    return tuple(asked.split(",")) if asked else ()
