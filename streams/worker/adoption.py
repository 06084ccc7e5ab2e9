"""Announced models on their way to the shards: heard of and loaded beside the batches, scheduled between batches.

A shard adopts at exactly the announced offset, so no batch waits for it. What a shard hears of too late, or could not
load in time, it adopts at its next checkpoint, and says where (``Adopted``): whoever replays adopts at the same place.
A version that cannot be loaded changes nothing: the one in force stays, and loading is tried again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping

from sie_online.announcements import Adopted, Adoption, RegisteredModel, adopted_key, encode
from sie_online.errors import UnreachableError
from sie_online.settings import Settings
from sie_online.shard.schedule import Artifact
from streams.model_registry.loaded import LoadedModels
from streams.model_registry.reader import RegistryReader
from streams.observe.metrics import Metrics
from streams.store import open_store
from streams.worker.leases import ShardLease
from streams.worker.publisher import Publisher

log = logging.getLogger(__name__)

POLL_S = 1.0


class Adoptions:
    """Follows the model registry for the shards of one worker."""

    def __init__(self, settings: Settings, publisher: Publisher, metrics: Metrics) -> None:
        self._publisher = publisher
        self._metrics = metrics
        self._reader = RegistryReader(settings)
        self._reading = asyncio.Lock()
        metrics.count_unreadable_models(lambda: self._reader.unreadable.count)
        self._incomplete = False  # a version could not be loaded; it is to be offered again
        self.loaded = LoadedModels(settings, open_store(settings.store), self._reader.registry, metrics)

    @property
    def registry(self) -> Mapping[str, RegisteredModel]:
        """What has been announced so far, by model."""
        return self._reader.registry

    async def start(self) -> None:
        """Connect and read what has been announced.

        Raises:
            UnreachableError: no broker answers. TopicError: there is no such topic.
        """
        await self._reader.start()
        await self.catch_up()

    async def stop(self) -> None:
        """Disconnect."""
        await self._reader.stop()

    async def catch_up(self) -> None:
        """Read to the topic's end: a shard that is about to begin must know what it is to adopt.

        Raises:
            UnreachableError: the broker does not answer.
        """
        async with self._reading:
            await self._reader.catch_up()
        self._report_announced()

    async def has_news(self) -> bool:
        """Wait a moment for announcements; whether there is something to offer."""
        try:
            async with self._reading:
                news = await self._reader.poll(POLL_S)
        except UnreachableError as error:
            log.warning("announcements cannot be read: %s", error)
            await asyncio.sleep(POLL_S)
            return False
        self._report_announced()
        again, self._incomplete = self._incomplete, False
        return news or again

    def announced_at_ms(self, model: str, n: int) -> int:
        """When announcement ``n`` of ``model`` was made, ms since 1970; 0 if that is not known, or ``n`` is 0."""
        announcement = self._reader.registry[model].announcements.get(n)
        return announcement.created_at_ms if announcement else 0

    async def offer(self, lease: ShardLease) -> None:
        """Tell the shard of ``lease`` what it does not know yet. Its batches wait while it is told, not longer."""
        for adoption in [
            each for registered in self._reader.registry.values() for each in _not_yet_known(registered, lease)
        ]:
            try:
                artifact = await asyncio.to_thread(self.loaded.get, adoption, lease.partition)
            except LookupError:
                self._incomplete = True
                continue
            async with lease.processing:
                started = time.perf_counter()
                if adoption.n > _latest_known(lease, adoption.model):
                    self._schedule(lease, adoption, artifact)
                self._metrics.observe_stage("adopt", time.perf_counter() - started)

    def _schedule(self, lease: ShardLease, adoption: Adoption, artifact: Artifact | None) -> None:
        if not lease.shard.schedule(adoption, artifact):
            lease.late.append((adoption, artifact))
        fields = {"partition": lease.partition, "model": adoption.model, "version": adoption.version}
        fields |= {"announcement": adoption.n}
        log.info("model heard of", extra=fields | {"offset": adoption.offset, "late": bool(lease.late)})

    def _report_announced(self) -> None:
        for model, registered in self._reader.registry.items():
            newest = registered.announcements.get(registered.newest)
            self._metrics.set_announced(model, registered.newest, newest.created_at_ms if newest else 0)

    async def adopt_late(self, lease: ShardLease) -> None:
        """Adopt what was heard of too late, between batches, just before a checkpoint, and say where that was."""
        while lease.late:
            adoption, artifact = lease.late.pop(0)
            lease.shard.adopt(adoption, artifact)
            here = Adopted(
                n=adoption.n, version=adoption.version, partition=lease.partition, offset=lease.shard.next_offset
            )
            key = adopted_key(adoption.model, here.partition, here.n)
            await self._publisher.publish_adopted(key, encode(here), lease.deliveries)
            self._metrics.adopted_late(lease.partition, adoption.model)
            log.warning(
                "model adopted late",
                extra={"partition": here.partition, "model": adoption.model, "version": here.version}
                | {"announced_for": adoption.offset, "offset": here.offset},
            )


def _not_yet_known(registered: RegisteredModel, lease: ShardLease) -> Iterable[Adoption]:
    return registered.adoptions(lease.partition, after=_latest_known(lease, registered.model))


def _latest_known(lease: ShardLease, model: str) -> int:
    """Number of the newest announcement of ``model`` that the shard has heard of."""
    return max(
        [lease.shard.latest_known(model), *(adoption.n for adoption, _ in lease.late if adoption.model == model)]
    )
