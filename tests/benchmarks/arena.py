"""What the contestants meet on: one broker, one topic of events, and topics for what each of them publishes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from sie_online.client.connection import connection
from sie_online.ingest.wire import Chunk
from sie_online.settings import Settings, load
from sie_online.simulator import Scenario, simulate
from streams.tools.pacing import ReplayRate
from streams.tools.replay import replay
from streams.topics import create_topics, specs
from tests.support.brokers import free_ports

EVENTS = "bench.events"
OUTPUTS = ("weights", "samples", "entities", "recs", "models", "dead_letters")
CHECKPOINT_S = 5.0

BROKER_STAMPS = {"message.timestamp.type": "LogAppendTime"}
"""The broker notes when it got a message: one clock for all contestants, which costs none of them anything."""


@dataclass(frozen=True)
class Arena:
    """A broker with the events on it. ``records`` counts heartbeats, too."""

    broker: str
    folder: Path
    partitions: int
    records: int = 0

    def settings(self, name: str, **more: Any) -> Settings:
        """Settings of a fresh contestant: a group, outputs, a store and a port of its own; else the defaults."""
        outputs = {topic: f"bench.{name}.{topic.replace('_', '-')}" for topic in OUTPUTS}
        return load(
            {
                "broker": self.broker,
                "group": f"bench-{name}",
                "store": (self.folder / name / "store").as_uri(),
                "web": {"port": free_ports()[0]},
                "trainer": {"web": {"port": 0}},
                "topics": {"events": EVENTS, "partitions": self.partitions, **outputs},
                "checkpoint": {"interval_s": CHECKPOINT_S},
                **more,
            }
        )


def write_chunks(
    arena: Arena, source: Iterable[Chunk], progress: Callable[[int, float], None], *, flush: bool | None = None
) -> Arena:
    """Write ``source``; the arena with its records. ``flush``: heartbeats at the end, by default on a new topic."""
    settings = arena.settings("source")
    asyncio.run(create_topics(settings))
    written = asyncio.run(replay(settings, source, ReplayRate(), flush=flush, on_progress=progress))
    return replace(arena, records=arena.records + written.records + written.heartbeats)


def write_events(arena: Arena, n_events: int, progress: Callable[[int, float], None]) -> Arena:
    """Generate the default scenario with about ``n_events`` and write it, heartbeats at its end included."""
    return write_chunks(arena, simulate(Scenario(events=n_events)).chunks(), progress)


def make_outputs(settings: Settings) -> list[str]:
    """The worker's output topics, each message stamped by the broker; their names."""
    shapes = specs(settings, settings.topics.partitions)
    topics = [
        NewTopic(shape.name, shape.partitions, 1, topic_configs=shape.config(1) | BROKER_STAMPS)
        for shape in shapes.values()
        if shape.name != settings.topics.events
    ]
    asyncio.run(_create(settings, topics))
    asyncio.run(create_topics(settings))  # returns when the broker tells of them
    return [topic.name for topic in topics]


def make_output(settings: Settings, name: str) -> None:
    """One plain topic with as many partitions as the events have, each message stamped by the broker."""
    asyncio.run(_create(settings, [NewTopic(name, settings.topics.partitions, 1, topic_configs=BROKER_STAMPS)]))


def drop(settings: Settings, names: Sequence[str]) -> None:
    """Delete topics: a long run shall not fill the disk."""
    asyncio.run(_delete(settings, list(names)))


async def _create(settings: Settings, topics: list[NewTopic]) -> None:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        made = await admin.create_topics(topics)
    finally:
        await admin.close()
    if failed := [(name, code, message) for name, code, message in made.topic_errors if code]:
        raise RuntimeError(f"topics refused: {failed}")


async def _delete(settings: Settings, names: list[str]) -> None:
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        await admin.delete_topics(names)
    finally:
        await admin.close()
