"""aiokafka's consumer, made fit for brokers that do not wait."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer

PAUSE_S = 0.02
"""Between a fetch that brought nothing and the next one, counted from the start of the former."""


class PatientConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka is not typed
    """Does not ask a broker again at once that had nothing to say.

    Apache Kafka holds an empty answer back for ``fetch_max_wait_ms``, so nothing changes there. The embedded broker
    answers at once, and aiokafka asks again at once: thousands of times a second, with most of a core.
    """

    async def start(self) -> None:
        """Connect, as aiokafka's does."""
        await super().start()
        fetcher: Any = self._fetcher
        fetch = fetcher._proc_fetch_request

        async def fetch_patiently(*request: Any) -> bool:
            """Whether a fetch brought anything; cancelled (the assignment has changed), it did not."""
            began = time.monotonic()
            news: bool = await fetch(*request)
            try:
                if not news:
                    await asyncio.sleep(began + PAUSE_S - time.monotonic())
            except asyncio.CancelledError:
                return False
            return news

        fetcher._proc_fetch_request = fetch_patiently
