"""Which shards are this worker's to answer for, and who is to be asked for the others.

The claim of a shard in the store says where its owner can be asked. So nobody is asked but who claimed it last; and a
request carries who was asked, so that it goes round in no circle.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterable

from sie_online.ingest.partitioner import partition_of
from streams.checkpoint import CheckpointStore
from streams.query.problems import ElsewhereError, ProblemError, not_found, not_ready
from streams.query.routes import MOST_ASKED
from streams.worker.leases import ShardLease, ShardLeases

KNOWN_S = 5.0
"""For so long it is not looked again who owns a partition: whom a request is sent to knows better."""
LOOKS_AT_ONCE = 8


class Owners:
    """Of every partition of the input; ``url`` is where this worker can be asked."""

    def __init__(self, leases: ShardLeases, store: CheckpointStore) -> None:
        self.url = ""
        self._leases = leases
        self._store = store
        self._known: dict[int, tuple[float, str]] = {}
        self._looking = asyncio.Semaphore(LOOKS_AT_ONCE)

    @property
    def n_partitions(self) -> int:
        """Of the input topic.

        Raises:
            ProblemError: that is not known before the first assignment.
        """
        if not self._store.input_partitions:
            raise not_ready("this worker has no partitions yet: ask again, or look at its /readyz")
        return self._store.input_partitions

    def held(self) -> list[ShardLease]:
        """The shards that are this worker's now, restored and being processed, by partition."""
        ours = [lease for lease in self._leases if self._leases.owns(lease.partition, lease.epoch)]
        return sorted(ours, key=lambda lease: lease.partition)

    async def of_user(self, user: str, asked: tuple[str, ...]) -> ShardLease:
        """The shard of ``user`` (the id as events have it).

        Raises:
            ElsewhereError: another worker has it. ProblemError: nobody who could be asked does, for now.
        """
        partition = partition_of(user.encode(), self.n_partitions)
        lease = self._leases.get(partition)
        if lease is not None and self._leases.owns(partition, lease.epoch):
            return lease
        url = await self._of(partition)
        if not url:
            raise not_ready("no owner of the user's partition has said where it can be asked: is its API on?")
        if url == self.url or short(url) in asked:
            raise not_ready("the user's partition is being taken over: ask again")
        raise self._elsewhere(url, asked)

    async def others(self, asked: tuple[str, ...], nothing: str) -> ProblemError | ElsewhereError:
        """Whom to ask of what no shard here has: the next of the workers that were not asked yet; else ``nothing``, or
        that some could not be asked.
        """
        held = {lease.partition for lease in self.held()}
        missing = [partition for partition in range(self.n_partitions) if partition not in held]
        urls = await asyncio.gather(*map(self._of, missing))
        for url in urls:
            if url and url != self.url and short(url) not in asked and len(asked) < MOST_ASKED:
                return self._elsewhere(url, asked)
        if unknown := [partition for partition, url in zip(missing, urls, strict=True) if url in ("", self.url)]:
            return not_ready(f"{nothing} {_counted(unknown)} could not be asked: ask again")
        return not_found(nothing)

    def _elsewhere(self, url: str, asked: tuple[str, ...]) -> ElsewhereError:
        return ElsewhereError(url, (*asked, short(self.url)))

    async def _of(self, partition: int) -> str:
        looked_at, url = self._known.get(partition, (-KNOWN_S, ""))
        if time.monotonic() - looked_at < KNOWN_S:
            return url
        async with self._looking:
            url = await asyncio.to_thread(self._store.owner_url, partition)
        self._known[partition] = time.monotonic(), url
        return url


def short(url: str) -> str:
    """A worker's address as requests carry it: by a digest of three bytes, so that many find room in a line."""
    return hashlib.sha256(url.encode()).hexdigest()[:6]


def _counted(partitions: Iterable[int]) -> str:
    listed = list(partitions)
    return f"Partition {listed[0]}" if len(listed) == 1 else f"{len(listed)} partitions"
