"""aiokafka's consumer as everything of ours uses it: told once how to connect and what to read, and patient."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Iterable
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, FetchResult
from aiokafka.protocol.fetch import FetchRequest

from sie_online.client.backoff import back_off
from sie_online.client.batches import ReadableBatches, bounded
from sie_online.client.connection import connection
from sie_online.settings import Settings

PAUSE_S = 0.01
"""Between an answer and the next fetch from the same broker. Every fetch costs its reader about a millisecond, however
few records it brings; what arrives meanwhile comes with the next one."""
WORTH_IT = 10
"""Records that a fetch should bring, where it may wait for them (``trickle_pause_s``)."""
ENOUGH = 200
"""Records that are worth a fetch of their own: where so many come within the pause, it is made shorter."""
FULL = 1_000
"""Records that a fetch found in the log. As many, and the reader is not waiting for them: it asks again at once."""


class PatientConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is not typed
    """A consumer of ``topics`` under ``settings``; what is peculiar to one (group, client id, …) comes as ``options``.

    It asks a broker again ``pause_s`` after its answer, or at once while it is behind; where so few records come that
    a fetch would hardly be worth it, up to ``trickle_pause_s`` after. aiokafka's own asks again as
    soon as something was taken, so a trickle of records is one fetch each; and a broker that does not hold empty
    answers back, as the embedded one, is asked thousands of times a second. A broker that holds them back
    (``fetch_max_wait_ms``) still answers the first record after a silence at once. One that cannot be connected to is
    tried ever later (``back_off``).

    No batch stops it, and memory is bounded whatever one decompresses to: see ``ReadableBatches`` and ``bounded``; and
    what is handed over at a time, per partition, holds no more bytes than one fetch may bring.
    """

    def __init__(
        self, settings: Settings, *topics: str, pause_s: float = PAUSE_S, trickle_pause_s: float = 0.0, **options: Any
    ) -> None:
        kafka = settings.kafka
        ours = {
            "enable_auto_commit": False,
            "isolation_level": kafka.isolation_level,
            "request_timeout_ms": int(kafka.request_timeout_s * 1000),
            "metadata_max_age_ms": int(kafka.metadata_max_age_s * 1000),
            "max_partition_fetch_bytes": kafka.fetch_max_bytes,
        }
        super().__init__(*topics, **connection(settings), **(ours | options))
        self._pause_s, self._trickle_pause_s = pause_s, max(pause_s, trickle_pause_s)
        self._batch_max_bytes = kafka.batch_max_bytes
        self._drain_bytes = kafka.fetch_max_bytes
        self._bound_batches()
        back_off(self._client)

    async def start(self) -> None:
        """Connect, as aiokafka's does."""
        await super().start()
        fetcher: Any = self._fetcher
        fetch = fetcher._proc_fetch_request
        due: dict[Any, float] = {}
        answered: dict[Any, float] = {}

        async def fetch_patiently(assignment: Any, node: Any, request: Any) -> bool:
            """Whether a fetch brought anything; cancelled (the assignment has changed), it did not."""
            try:
                if (wait := due.get(node, 0.0) - time.monotonic()) > 0:
                    await asyncio.sleep(wait)
            except asyncio.CancelledError:
                return False
            news: bool = await fetch(assignment, node, request)
            for result in fetcher._records.values():
                if isinstance(result, FetchResult) and not isinstance(result.getall, partial):
                    result.getall = self._taking(result)  # nothing of it has been looked at yet
            before, now = answered.get(node, 0.0), time.monotonic()
            answered[node], due[node] = now, now + self._pause(_found(assignment, request), now - before)
            return news

        fetcher._proc_fetch_request = fetch_patiently

    async def stop(self) -> None:
        """Disconnect, as aiokafka's does.

        A fetch that it cancels while there is no connection would end whoever waits here, as if they were cancelled.
        """
        try:
            await super().stop()
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is None or task.cancelling():
                raise
            await self._client.close()

    def _pause(self, found: int, meanwhile_s: float) -> float:
        """Seconds to the next fetch from a broker that had ``found`` records, which came within ``meanwhile_s``."""
        if found >= FULL:
            return 0.0
        if not found:
            return self._pause_s  # a broker that holds such answers back makes the pause itself
        apart_s = meanwhile_s / found
        return min(max(min(self._pause_s, ENOUGH * apart_s), WORTH_IT * apart_s), self._trickle_pause_s)

    def _bound_batches(self) -> None:
        """Have every fetch's answer pass through ``_received`` before aiokafka sees it."""
        client: Any = self._client
        send = client.send

        async def send_and_bound(node: int, request: Any, **options: Any) -> Any:
            response = await send(node, request, **options)
            if isinstance(request, FetchRequest):
                for topic, partitions in response.topics:
                    for at, (*place, record_set) in enumerate(partitions):
                        if record_set:
                            partitions[at] = (*place, self._received(TopicPartition(topic, place[0]), record_set))
            return response

        client.send = send_and_bound

    def _received(self, _place: TopicPartition, record_set: bytes) -> bytes:
        """What of ``record_set``, just fetched of a partition, aiokafka is to see."""
        return bounded(record_set, self._batch_max_bytes)

    def _taking(self, result: Any) -> partial[Any]:
        """How records are taken from ``result``, a new ``FetchResult``: what becomes of its ``getall``."""
        records = result._partition_records
        records._records = ReadableBatches(records._records)
        return partial(_drained, result, self._drain_bytes)

    async def high_watermarks(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the logs end. ``end_offsets`` says up to where they can be read now, which may be less.

        Reading committed records that is the *last stable offset*: the begin of the first transaction still open.
        """
        fetcher: Any = copy.copy(self._fetcher)  # asks as itself, for another isolation level
        fetcher._isolation_level = READ_UNCOMMITTED
        found: dict[TopicPartition, int] = await fetcher.end_offsets(list(partitions), self._request_timeout_ms)
        return found


def _found(assignment: Any, request: Any) -> int:
    """Records that were in the log at the offsets of ``request`` when it was answered."""
    return sum(
        max(0, _end(assignment.state_value(TopicPartition(topic, partition))) - offset)
        for topic, partitions in request.topics
        for partition, offset, _ in partitions
    )


def _end(state: Any) -> int:
    """Offset up to which a partition could be read at its last answer; 0 before the first."""
    if state is None:
        return 0
    readable = state.lso if state.lso is not None and state.lso >= 0 else state.highwater
    return int(readable or 0)


def _drained(result: Any, most_bytes: int, max_records: int | None = None) -> list[Any]:
    """What ``FetchResult.getall`` gives, but for values of ``most_bytes`` together, or one that is longer.

    A fetch bounds what comes over the wire; records of compressed batches are laid out only here.
    """
    if not result.check_assignment(result._topic_partition) or not result.has_more():
        return []
    taken: list[Any] = []
    n_bytes = 0
    for record in result._partition_records:
        taken.append(record)
        n_bytes += max(0, record.serialized_value_size)
        if len(taken) == max_records or n_bytes >= most_bytes:
            result._update_position()
            return taken
    result._update_position()
    result._partition_records = None
    return taken
