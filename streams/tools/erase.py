"""Forgetting users: the records that have every shard do so, and a look at what still holds them.

A record goes to every partition, not to the user's alone: the number of partitions may have grown since, and then older
events of the user lie elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from sie_online.client.reader import TopicReader
from sie_online.errors import UsageError
from sie_online.ingest.events import Text
from sie_online.ingest.wire import erasure
from sie_online.moments import HOUR_MS
from sie_online.pseudonyms import longest_id, pseudonyms
from sie_online.settings import Settings
from sie_online.statements import key as statement_key
from streams.store import Store
from streams.tools.writer import open_writer
from streams.topics import find_topics

ERASURES_PER_S = 10.0
"""Each has every shard look through its open views and tables, some ten milliseconds at a million views: a tenth of
the time is left to it."""

CHECKPOINTS = "checkpoints"

Progress = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A user: the id as producers write it, as it is published, and its 64-bit key in shards and checkpoints."""

    user_id: str
    published_id: str
    key: bytes


@dataclass(slots=True)
class Trace:
    """Where a user was found: packs of checkpoints by shard (``group/topic/partition``), the statement on the entities
    topic, the list on that of recommendations."""

    user_id: str
    published_id: str
    packs: dict[str, int] = field(default_factory=dict)
    stated: bool = False
    recommended: bool = False

    @property
    def held(self) -> bool:
        """Whether anything was found."""
        return self.stated or self.recommended or bool(self.packs)


def subjects(settings: Settings, user_ids: Sequence[str]) -> list[Subject]:
    """Who ``user_ids`` are, each once.

    Raises:
        UsageError: an id is empty, or longer than any event's may be.
        SettingsError: the key of the pseudonyms cannot be read.
    """
    hidden_by, longest = pseudonyms(settings), longest_id(settings)
    found = []
    for user_id in dict.fromkeys(user_ids):
        try:
            text = user_id.encode()
        except UnicodeError:
            raise UsageError(f"{user_id!r} is no UTF-8: no event can name it") from None
        published = hidden_by.of(text) if hidden_by else text
        if not 0 < len(published) <= longest:
            raise UsageError(f"a user id of {len(published)} bytes: no event can have it (limits.id_bytes)")
        found.append(Subject(user_id, published.decode(), Text.of([published]).keys().astype("<u8").tobytes()))
    return found


async def erase(settings: Settings, users: Sequence[Subject], on_progress: Progress) -> int:
    """Write the records, acknowledged by the brokers; returns the number of partitions that were told.

    Raises:
        UnreachableError: no broker answers. TopicError: the input topic does not exist.
    """
    async with open_writer(settings) as writer:
        for done, user in enumerate(users, 1):
            await writer.write([erasure(user.published_id, partition) for partition in range(writer.partitions)])
            await writer.delivered()
            on_progress(done, done / len(users))
            if done < len(users):
                await asyncio.sleep(1 / ERASURES_PER_S)
        return writer.partitions


async def look_for(settings: Settings, store: Store, users: Sequence[Subject]) -> list[Trace]:
    """What the store's checkpoints, of all groups, and the compacted topics hold of ``users``.

    Raises:
        UnreachableError: broker or store do not answer. TopicError: a topic is missing.
    """
    traces = [Trace(user.user_id, user.published_id) for user in users]
    await asyncio.to_thread(_look_in_store, store, users, traces)
    by_key = {statement_key("user", trace.published_id.encode(), 0): trace for trace in traces}
    for key, value in (await _newest(settings, settings.topics.entities, by_key)).items():
        by_key[key].stated = value is not None
    if settings.recommend.publish:
        for key, value in (await _newest(settings, settings.topics.recs, by_key)).items():
            by_key[key].recommended = value is not None
    return traces


async def _newest(settings: Settings, topic: str, keys: Collection[bytes]) -> dict[bytes, bytes | None]:
    """The newest value of those of ``keys`` that ``topic`` has; of a key that lies in several partitions any value that
    is left."""
    found: dict[bytes, dict[int, bytes | None]] = {}
    async with TopicReader(settings, topic) as reader:
        spans = await reader.spans()
        while not reader.reached(spans):
            for record in await reader.poll(timeout_s=1.0):
                if record.key is not None and record.key in keys:
                    found.setdefault(record.key, {})[record.partition] = record.value
    return {key: next((value for value in at.values() if value is not None), None) for key, at in found.items()}


def _look_in_store(store: Store, users: Sequence[Subject], traces: Sequence[Trace]) -> None:
    """Whatever a state holds of a user, its 64-bit key lies beside it."""
    for shard in _shards(store):
        for pack in store.list(f"{CHECKPOINTS}/{shard}/packs"):
            try:
                data = store.read(f"{CHECKPOINTS}/{shard}/packs/{pack}")
            except FileNotFoundError:
                continue  # superseded just now
            for user, trace in zip(users, traces, strict=True):
                if user.key in data:
                    trace.packs[shard] = trace.packs.get(shard, 0) + 1


def _shards(store: Store) -> Iterator[str]:
    for group in sorted(store.list(CHECKPOINTS)):
        for topic in sorted(store.list(f"{CHECKPOINTS}/{group}")):
            for partition in sorted(store.list(f"{CHECKPOINTS}/{group}/{topic}")):
                yield f"{group}/{topic}/{partition}"


async def kept_hours(settings: Settings) -> dict[str, float | None]:
    """For how long each topic that holds rows or records of users keeps what was written, None for ever."""
    topics = settings.topics
    found = (await find_topics(settings)).topics
    names = (topics.events, topics.weights, topics.samples, topics.dead_letters)
    return {
        name: None if found[name].retention_ms < 0 else found[name].retention_ms / HOUR_MS
        for name in names
        if name in found
    }
