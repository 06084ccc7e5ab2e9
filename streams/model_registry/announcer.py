"""Announces on ``sie.models.v1`` which version applies from where. One writes at a time: the newer fences the older.

The steps of an announcement, and what is there if the process dies right after each:

1. artifact and manifest are durable in the store: files that nothing names yet, swept later
2. a transaction is begun, and holds the version's manifest: aborted by whoever comes next, or by the broker in time
3. it holds the announcement, with an offset per input partition: likewise
4. it holds ``current``, which repeats the announcement's number: likewise
5. it is committed: all of it holds, and what it names is durable

A trainer also holds the *lease*: the record of that key names it. Whoever is fenced looks there: under its own lease
it was a person's rollback or submission, and it goes on from what they announced; else another trainer has begun.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced

from models.manifest import Manifest
from sie_online import content
from sie_online.announcements import (
    MODELS,
    NET,
    Announcement,
    Reason,
    RegisteredModel,
    announcement_key,
    current_key,
    encode,
    manifest_key,
)
from sie_online.client.access import failure
from sie_online.client.connection import connection
from sie_online.contracts import BUILTIN_MODEL
from sie_online.errors import DecisionError, SieError
from sie_online.moments import HOUR_MS
from sie_online.settings import Settings
from streams import access
from streams.model_registry import artifacts, event_log
from streams.model_registry.reader import LEASE_KEY, RegistryReader
from streams.model_registry.retention import superfluous
from streams.store import Store

log = logging.getLogger(__name__)

TRANSACTION_S = 10.0
"""A transaction whose writer has died hides everything after it for so long, unless somebody begins another."""
LET_GO_S = 2.0

Record = tuple[bytes, bytes]


class SupersededError(DecisionError):
    """Another trainer has begun on this registry: this one must end."""


class OvertakenError(SieError):
    """Somebody has announced since this was judged: it is not announced."""


class Announcer:
    """Writes and follows the model registry. ``name`` is the trainer's for the lease; None for a person's command."""

    def __init__(self, settings: Settings, store: Store, name: str | None = None) -> None:
        self._settings = settings
        self._store = store
        self._name = name
        self._reader = RegistryReader(settings, access.announcer(settings))
        self._producer: AIOKafkaProducer | None = None
        self._announcing = asyncio.Lock()

    async def start(self) -> None:
        """Learn what has been announced; a trainer also takes the lease, and fences the one before it.

        Raises:
            UnreachableError: no broker answers. TopicError: there is no such topic. AccessError: a right is missing.
        """
        await self._reader.start()
        if self._name is not None:
            async with self._announcing:
                await self._transact([(LEASE_KEY, self._name.encode())])
        await self._reader.catch_up()

    async def stop(self) -> None:
        """Disconnect; what is not committed was never announced."""
        await self._let_go()
        await self._reader.stop()

    @property
    def registry(self) -> Mapping[str, RegisteredModel]:
        """What has been announced so far, by model."""
        return self._reader.registry

    @property
    def unreadable(self) -> int:
        """Records of the topic passed over so far."""
        return self._reader.unreadable.count

    @property
    def registered_net(self) -> RegisteredModel:
        """What has been announced of the net so far."""
        return self.registry[NET]

    @property
    def in_force(self) -> str:
        """The net announced last, ``builtin`` before the first."""
        return self.registered_net.in_force(self.registered_net.newest)

    async def follow(self, timeout_s: float) -> bool:
        """Take in what others announce, waiting at most ``timeout_s``; whether anything was.

        Raises:
            SupersededError: another trainer has begun. UnreachableError: the broker refuses.
        """
        anything = await self._reader.poll(timeout_s)
        self._require_lease()
        return anything

    async def publish(self, data: bytes, manifest: Manifest, *, judged_at: int) -> Announcement:
        """Make a version durable and announce it, from what the log will hold in ``trainer.ahead_s``.

        ``judged_at`` is the number of the announcement that it was judged against.

        Raises:
            OvertakenError: another announcement was made since. SupersededError: another trainer has begun.
            UnreachableError: broker or store does not answer; nothing was announced, unless the commit's answer alone
                was lost, which ``registered_net`` then tells.
        """
        await asyncio.to_thread(artifacts.keep, self._store, data, manifest)
        record = manifest_key(manifest.model, manifest.version), manifest.to_json().encode()
        offsets = await self._offsets()
        return await self._announce(manifest.model, manifest.version, "publish", offsets, [record], judged_at)

    async def rollback(
        self, version: str, *, model: str = NET, now: bool = False, judged_at: int | None = None
    ) -> Announcement:
        """Announce ``version`` of ``model``, announced before, or ``builtin``, anew.

        ``now`` names offset 0 for every partition: shards adopt at their next checkpoint, late and counted as such.
        ``judged_at``: the newest announcement when that was decided, if it was not just now.

        Raises:
            OvertakenError: there is a newer announcement than ``judged_at``.
        """
        offsets = await self._offsets()
        if now:
            offsets = dict.fromkeys(offsets, 0)
        newest = self.registry[model].newest if judged_at is None else judged_at
        return await self._announce(model, version, "rollback", offsets, [], newest)

    async def sweep(self) -> list[str]:
        """Delete files that nobody will ask for (``retention``); the versions that went.

        Raises:
            UnreachableError: broker or store does not answer.
        """
        firsts = {partition: grown.first for partition, grown in (await event_log.growth(self._settings)).items()}
        return [gone for model in MODELS for gone in await asyncio.to_thread(self._sweep, model, firsts)]

    def _sweep(self, model: str, firsts: Mapping[int, int]) -> list[str]:
        stored = artifacts.stored(self._store, model)
        found = superfluous(
            self.registry[model],
            stored,
            firsts,
            keep=self._settings.models.keep,
            now_ms=_now_ms(),
            retention_ms=round(self._settings.topics.events_retention_h * HOUR_MS),
        )
        for version in found:
            artifacts.delete(self._store, version, model)
        return found

    async def _offsets(self) -> dict[int, int]:
        grown = await event_log.growth(self._settings)
        return {partition: one.applies_from for partition, one in grown.items()}

    async def _announce(
        self, model: str, version: str, reason: Reason, offsets: Mapping[int, int], before: list[Record], judged_at: int
    ) -> Announcement:
        async with self._announcing:
            try:
                return await self._next(model, version, reason, offsets, before, judged_at)
            except ProducerFenced:
                self._require_lease()  # a person's command came between; it may not have announced anything
                return await self._next(model, version, reason, offsets, before, judged_at)

    async def _next(
        self, model: str, version: str, reason: Reason, offsets: Mapping[int, int], before: list[Record], judged_at: int
    ) -> Announcement:
        """Announce under the next number. Connected first: after that, nobody else's announcement can come between."""
        await self._connect()
        await self._reader.catch_up()
        newest = self.registry[model].newest
        if newest != judged_at:
            raise OvertakenError(f"announcement {newest} was made meanwhile: {version} is not announced")
        n = newest + 1
        announcement = Announcement(n=n, version=version, offsets=dict(offsets), reason=reason, created_at_ms=_now_ms())
        await self._transact(
            [*before, (announcement_key(model, n), encode(announcement)), (current_key(model), b"%d" % n)]
        )
        await self._reader.catch_up(pending=True)
        log.info("announced", extra={"model": model, "n": n, "version": version, "reason": reason})
        return announcement

    # -- announcing

    async def _transact(self, records: list[Record]) -> None:
        """Write ``records`` in one transaction: all of them or none.

        Raises:
            ProducerFenced: somebody has connected since; what they announced has been read. UnreachableError.
        """
        limit_s = self._settings.kafka.request_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                await self._write(await self._connect(), records)
        except ProducerFenced:
            await self._let_go()
            await self._reader.catch_up()
            raise
        except (KafkaError, TimeoutError) as error:
            await self._let_go()
            raise failure(error, f"broker {self._settings.broker} did not take the announcement: {error!r}") from error
        except BaseException:  # cancelled, most likely: the transaction must not stay open
            await self._let_go()
            raise

    async def _write(self, producer: AIOKafkaProducer, records: list[Record]) -> None:
        await producer.begin_transaction()
        for key, value in records:
            await self._send(producer, key, value)
        await producer.commit_transaction()

    async def _send(self, producer: AIOKafkaProducer, key: bytes, value: bytes) -> None:
        headers = list(content.of_model(key).headers)
        await producer.send_and_wait(self._settings.topics.models, value, key=key, partition=0, headers=headers)

    def _require_lease(self) -> None:
        holder = self._reader.lease
        if self._name is not None and holder not in (None, self._name):
            raise SupersededError(
                f"another trainer ({holder}) has begun on {self._settings.topics.models}: one is enough"
            )

    async def _connect(self) -> AIOKafkaProducer:
        """The producer; a new one fences every older one and ends what that had begun."""
        if self._producer is not None:
            return self._producer
        kafka = self._settings.kafka
        producer = AIOKafkaProducer(
            **connection(self._settings),
            client_id="sie-announcer",
            transactional_id=access.transactional_id(self._settings),
            transaction_timeout_ms=round(TRANSACTION_S * 1000),
            max_request_size=kafka.max_request_bytes,
            request_timeout_ms=round(kafka.request_timeout_s * 1000),
            metadata_max_age_ms=round(kafka.metadata_max_age_s * 1000),
        )
        try:
            async with asyncio.timeout(kafka.request_timeout_s):
                await producer.start()
        except (KafkaError, TimeoutError) as error:
            await _stopped(producer)
            raise failure(error, f"broker {self._settings.broker} does not answer: {error!r}") from error
        except BaseException:
            await _stopped(producer)
            raise
        self._producer = producer
        return producer

    async def _let_go(self) -> None:
        """Abort what is open and disconnect, as far as the broker answers."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _bounded(producer.abort_transaction)
            await _stopped(producer)


async def _stopped(producer: AIOKafkaProducer) -> None:
    await _bounded(producer.stop)


async def _bounded(call: Callable[[], object]) -> None:
    with suppress(Exception):
        await asyncio.wait_for(call(), LET_GO_S)  # type: ignore[arg-type]  # aiokafka has no types


def rollback_target(registered: RegisteredModel) -> str:
    """What was in force before the newest version was first announced; ``builtin`` where that was nothing.

    Raises:
        DecisionError: no version is in force that could be rolled back.
    """
    version = registered.in_force(registered.newest)
    if version == BUILTIN_MODEL:
        raise DecisionError("no announced version is in force: there is nothing to roll back; name a VERSION")
    first = min(n for n, announcement in registered.announcements.items() if announcement.version == version)
    return registered.in_force(max((n for n in registered.announcements if n < first), default=0))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
