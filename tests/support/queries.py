"""Query APIs over real shards, without brokers: what one worker, or several, would answer."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, cast

import aiohttp

from sie_online.ingest.partitioner import partition_of
from sie_online.settings import Settings
from sie_online.shard import Shard, warm_up, warm_up_lookup
from streams.checkpoint import CheckpointStore
from streams.model_registry.registry import empty_registry
from streams.observe.metrics import Metrics
from streams.query import QueryApi
from streams.worker.leases import ShardLease, ShardLeases
from streams.worker.processing import keep_recent
from streams.worker.recent import RecentWeights
from streams.worker.watchdog import Vitals
from tests.support.events import EventRecord, batch, records

EPOCH = 1


def token_in(folder: Path) -> tuple[Path, str]:
    """A file with a token in it, and the token."""
    file, token = folder / "tokens", secrets.token_urlsafe(32)
    file.touch(mode=0o600)
    file.write_text(token + "\n")
    return file, token


@dataclass(frozen=True)
class Answer:
    """Status, headers and document of an answer."""

    status: int
    headers: Mapping[str, str]
    said: Any

    @property
    def detail(self) -> str:
        """The sentence of a problem."""
        assert self.headers["Content-Type"].startswith("application/problem+json"), self.said
        assert self.said["status"] == self.status
        return str(self.said["detail"])


class QueryWorker:
    """A worker as far as it answers: it has claimed ``partitions`` of ``n_partitions`` and processed ``events``."""

    def __init__(
        self,
        settings: Settings,
        events: Iterable[Mapping[str, Any]],
        n_partitions: int = 1,
        partitions: Collection[int] | None = None,
    ) -> None:
        self.settings = settings
        self.owned = set(range(n_partitions) if partitions is None else partitions)
        self.store = CheckpointStore(settings, settings.topics.events, input_partitions=n_partitions)
        self.metrics = Metrics(settings)
        owns = SimpleNamespace(owns=lambda partition, epoch: partition in self.owned)
        consumer = SimpleNamespace(positions=owns, partitions=lambda: self.owned)
        self.leases = ShardLeases(cast(Any, consumer), self.metrics, Vitals())
        self.api = QueryApi(settings, self.leases, self.store, empty_registry(), self.metrics)
        self._events: dict[int, list[Mapping[str, Any]]] = {partition: [] for partition in sorted(self.owned)}
        for event in events:
            partition = partition_of(str(event.get("user_id", "")).encode(), n_partitions)
            if partition in self._events:
                self._events[partition].append(event)

    async def start(self) -> None:
        """Listen, and then take the partitions over; kernels first, or the first question would wait for them."""
        warm_up(self.settings)
        warm_up_lookup()
        await self.api.start()
        for partition, events in self._events.items():
            await self.take_over(partition)
            self.process(partition, records(cast(Any, events)))

    async def take_over(self, partition: int) -> None:
        """Claim a partition and begin it at nothing."""
        epoch = self.store.claim(partition, EPOCH)
        shard = Shard(self.settings, partition, generation=epoch)
        recent = RecentWeights(self.settings.api.recent_bytes)
        self.leases.add(ShardLease(shard, epoch, saved=None, n_partitions=1, begin=0, recent=recent))

    def process(self, partition: int, rows: list[EventRecord]) -> None:
        """Have a shard process further records."""
        lease = self.leases.get(partition)
        assert lease is not None
        assert lease.recent is not None
        if self.settings.recommend.enabled:
            lease.shard.recommend("nobody", 1)
        if rows:
            for output in lease.shard.process(batch(rows, partition)):
                keep_recent(lease.recent, output)

    async def stop(self) -> None:
        """Answer nothing any more."""
        await self.api.stop()
        for lease in self.leases:
            lease.shard.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


Ask = Callable[..., Awaitable[Answer]]


async def get(session: aiohttp.ClientSession, url: str, token: str, *, follow: bool = False, **query: Any) -> Answer:
    """Ask one question; redirects are followed with the token only where told so."""
    headers = {"Authorization": f"Bearer {token}"}
    for _ in range(20):
        async with session.get(url, headers=headers, params=query, allow_redirects=False) as response:
            if not (follow and response.status == 307):
                said = await response.json(content_type=None) if response.content_length else None
                return Answer(response.status, dict(response.headers), said)
            url, query = response.headers["Location"], {}
    raise AssertionError(f"more than 20 redirects: {url}")


def asking(workers: Iterable[QueryWorker], ask: Callable[..., Awaitable[Any]]) -> Any:
    """What ``ask(session, *workers)`` finds while all workers answer."""

    async def run() -> Any:
        async with AsyncExitStack() as stack:
            started = [await stack.enter_async_context(worker) for worker in workers]
            session = await stack.enter_async_context(aiohttp.ClientSession())
            return await ask(session, *started)

    return asyncio.run(run())
