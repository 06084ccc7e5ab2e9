"""One topic of rows, read for a table: from where the table ends, whatever that is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from aiokafka.errors import KafkaError

from sie_online.client.availability import ANSWER_S
from sie_online.client.reader import Message, Span, TopicReader
from sie_online.settings import Settings
from streams.lake.marks import Mark
from streams.topic_ids import UNKNOWN, topic_id


class LakeReader(TopicReader):
    """A ``TopicReader`` whose position is set once it is known what the log holds; and whose reading can be waited for
    in turns: what one wait does not see the end of, the next one goes on with.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        super().__init__(settings, topic)
        self._reading: asyncio.Task[list[Message]] | None = None

    async def stop(self) -> None:
        """Disconnect; what is being fetched is given up."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None
        await super().stop()

    async def topic_id(self) -> str:
        """Kafka's id of the topic, empty where the brokers tell none, or none answers soon."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await topic_id(self._connected._client, self.topic)
        except (KafkaError, OSError, TimeoutError):
            return UNKNOWN

    def go_to(self, positions: Mapping[int, int]) -> None:
        """Go on at ``positions``, by partition."""
        self._seek(dict(positions))

    async def look(self) -> dict[int, Span] | None:
        """What each partition holds now; None where no broker says."""
        return await self._look()

    async def lag(self, marks: Mapping[int, Mark]) -> int | None:
        """Messages from ``marks`` to the log's end; None where no broker says."""
        spans = await self.look()
        if spans is None:
            return None
        return sum(max(0, span.end - max(span.first, marks.get(n, Mark()).next_offset)) for n, span in spans.items())

    async def read_within(
        self, wait_s: float, idle_s: float | None, stopping: asyncio.Task[bool]
    ) -> Sequence[Message] | None:
        """The next messages: none yet after ``wait_s`` or once ``stopping`` is done; None at the end (``read_on``).

        Raises what ``read_on`` raises.
        """
        self._reading = self._reading or asyncio.create_task(self.read_on(idle_s))
        await asyncio.wait({self._reading, stopping}, timeout=max(wait_s, 0.0), return_when=asyncio.FIRST_COMPLETED)
        if not self._reading.done():
            return []
        reading, self._reading = self._reading, None
        return reading.result() or None
