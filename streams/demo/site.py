"""What the worker's own site says: whether it is ready, and what it has counted."""

from __future__ import annotations

from collections import Counter

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from sie_online.settings import Settings

TIMEOUT = aiohttp.ClientTimeout(total=5)


class Site:
    """The worker's site on loopback."""

    def __init__(self, settings: Settings) -> None:
        self._address = f"http://{settings.web.host}:{settings.web.port}"

    async def ready(self) -> bool:
        """Whether partitions are assigned and recovered."""
        try:
            async with aiohttp.ClientSession(timeout=TIMEOUT) as client, client.get(f"{self._address}/readyz") as reply:
                return reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def outcomes(self) -> Counter[str]:
        """Records by ``weighted``, ``duplicate``, ``heartbeat`` and ``dead_letter``; empty if it does not answer."""
        try:
            async with (
                aiohttp.ClientSession(timeout=TIMEOUT) as client,
                client.get(f"{self._address}/metrics") as reply,
            ):
                text = await reply.text()
        except (aiohttp.ClientError, TimeoutError):
            return Counter()
        counts: Counter[str] = Counter()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "sie_events_total":
                    counts[sample.labels["outcome"]] += int(sample.value)
        return counts
