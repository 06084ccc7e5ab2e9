"""Would this worker be refused? Found out before it joins its group, where it would first take partitions from others.

The same checks decide again when a partition is taken: between the two, things may change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
    for_code,
)

from sie_online.client.access import topic_failure
from sie_online.client.reader import TopicReader
from sie_online.errors import DecisionError
from sie_online.settings import Settings
from streams.brokers import broker_admin
from streams.checkpoint import CheckpointStore
from streams.checkpoint.decisions import check_published, check_replacement
from streams.checkpoint.outputs import Published, newest_published
from streams.topic_ids import topic_id
from streams.worker.restore import LogPlace, Ownership

T = TypeVar("T")

NO_COORDINATOR_YET = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
AGAIN_S = 0.2


async def check_before_joining(settings: Settings, store: CheckpointStore, ownership: Ownership) -> None:
    """Hold every partition's newest checkpoint, and what is published of it, against settings, code and log.

    Raises:
        DecisionError: a worker that took this partition would have to end.
        UnreachableError: broker or store do not answer.
    """
    try:
        await _check(settings, store, ownership)
    except DecisionError:
        # a worker at work may have moved on between two of our questions: what is so is so at a second look, too
        await _check(settings, store, ownership)


async def _check(settings: Settings, store: CheckpointStore, ownership: Ownership) -> None:
    # before the store is asked: a claim precedes its first row, so that whatever is read here the store knows of
    topics = settings.topics.weights, settings.topics.samples
    published = [await newest_published(settings, topic) for topic in topics]
    async with InputLog(settings, settings.topics.events, "latest") as log:
        partitions = sorted(await log.spans())
        stored = {partition: await asyncio.to_thread(ownership.stored, partition) for partition in partitions}
        places = await log.places()  # after the store was asked: no checkpoint can lie beyond an end that is told now
    for partition in partitions:
        ownership.check(stored[partition], places[partition])
        for newest in (found[partition] for found in published if partition in found):
            await _check_published(settings, store, ownership, partition, newest)


class InputLog(TopicReader):
    """The input topic: what its log holds, and which topic it is; reads no record."""

    async def places(self) -> dict[int, LogPlace]:
        """What the log, and the group's commits, say of every partition.

        Raises:
            UnreachableError: the broker does not answer.
        """
        settings = self._settings
        spans = await self.spans()
        try:
            known_as = await topic_id(self._connected._client, self.topic)
        except KafkaError as error:
            raise topic_failure(error, settings, self.topic) from error
        commits = await _ask_coordinator(settings, lambda admin: admin.list_consumer_group_offsets(settings.group))
        committed = {at.partition: one.offset for at, one in commits.items() if at.topic == self.topic}
        return {p: LogPlace(*span, _offset(committed.get(p)), len(spans), known_as) for p, span in spans.items()}


def _offset(committed: int | None) -> int | None:
    return None if committed is None or committed < 0 else committed


async def _check_published(
    settings: Settings, store: CheckpointStore, ownership: Ownership, partition: int, newest: Published
) -> None:
    anew = await asyncio.to_thread(ownership.begins_anew, partition)
    epoch = await asyncio.to_thread(store.newest_epoch, partition)
    if check_published(newest, partition, epoch, settings, accepted=anew):
        is_rival = newest.group not in ("", settings.group)
        check_replacement(newest, settings, await members_of(settings, newest.group) if is_rival else 0)


async def members_of(settings: Settings, group: str) -> int:
    """How many consumers ``group`` has now.

    Raises:
        DecisionError: the brokers do not tell us.
        UnreachableError: the broker does not answer.
    """

    async def ask(admin: AIOKafkaAdminClient) -> int:
        (described,) = await admin.describe_consumer_groups([group])
        ((code, _, _, _, _, members, *_),) = described.groups
        if code:
            raise for_code(code)
        return len(members)

    try:
        return await _ask_coordinator(settings, ask)
    except GroupAuthorizationFailedError:
        raise DecisionError(
            f"whether group {group!r} still runs cannot be found out: allow this worker to describe that group, or give"
            " its own group output topics of its own (SIE_TOPICS__PREFIX)"
        ) from None


async def _ask_coordinator(settings: Settings, ask: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """What a group's coordinator answers; a broker that has just started has none yet."""
    async with broker_admin(settings) as admin:
        while True:
            try:
                return await ask(admin)
            except NO_COORDINATOR_YET:
                await asyncio.sleep(AGAIN_S)
