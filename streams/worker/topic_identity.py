"""Whether the input topic is still the one that the worker's states are about.

A topic that is deleted and made again keeps its name, and offsets begin anew: records of the new log would be taken for
processed ones, or processed onto a state of the old log.
"""

from __future__ import annotations

import asyncio

import mode
from aiokafka.errors import KafkaError

from sie_online.errors import DecisionError
from sie_online.settings import Settings
from streams.checkpoint import CheckpointStore
from streams.checkpoint.decisions import MADE_ANEW
from streams.exits import die
from streams.topic_ids import is_another_topic
from streams.transport import ConsumerHandle
from streams.worker.leases import ShardLeases

EVERY_S = 2.0


class TopicIdentity:
    """Asks for the topic's id; ``store`` knows the one that its checkpoints are about, empty until one is known."""

    def __init__(
        self, settings: Settings, leases: ShardLeases, consumer: ConsumerHandle, store: CheckpointStore
    ) -> None:
        self._settings = settings
        self._leases = leases
        self._consumer = consumer
        self._store = store

    async def look(self) -> str:
        """The topic's id now, ``UNKNOWN`` where the brokers tell none.

        Raises:
            DecisionError: it is another one than when this process first knew it.
        """
        found = await self._consumer.topic_id()
        if is_another_topic(self._store.topic_id, found):
            topic = self._settings.topics.events
            raise DecisionError(f"topic {topic} had the id {self._store.topic_id} and has {found} now: {MADE_ANEW}")
        self._store.topic_id = self._store.topic_id or found
        return found

    async def watch(self, service: mode.Service) -> None:
        """Look every ``EVERY_S`` seconds until ``service`` stops; another topic ends the process (exit 78)."""
        while not service.should_stop:
            await service.sleep(EVERY_S)
            if not self._leases.partitions:
                continue
            try:
                await asyncio.wait_for(self.look(), self._settings.kafka.request_timeout_s)
            except DecisionError as error:
                die(error.exit_code, str(error))
            except (KafkaError, TimeoutError):
                continue  # whoever watches the lag says so
