"""What the worker's own site says: whether it is ready, and what it has counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from sie_online.settings import Settings

TIMEOUT = aiohttp.ClientTimeout(total=5)


@dataclass(frozen=True, slots=True)
class Figures:
    """``outcomes``: records by ``weighted``, ``duplicate``, ``heartbeat`` and ``dead_letter``; ``lag``: unprocessed
    records. All zero if the worker does not answer."""

    outcomes: Counter[str]
    lag: int


class SiteClient:
    """The worker's site on loopback."""

    def __init__(self, settings: Settings) -> None:
        self.address = f"http://{settings.web.host}:{settings.web.port}"

    async def ready(self) -> bool:
        """Whether partitions are assigned and recovered."""
        try:
            async with aiohttp.ClientSession(timeout=TIMEOUT) as client, client.get(f"{self.address}/readyz") as reply:
                return reply.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def figures(self) -> Figures:
        """What the worker has counted."""
        outcomes: Counter[str] = Counter()
        lag = 0
        for sample in await samples_of(self.address):
            if sample.name == "sie_events_total":
                outcomes[sample.labels["outcome"]] += int(sample.value)
            elif sample.name == "sie_lag_records":
                lag += int(sample.value)
        return Figures(outcomes, lag)


async def samples_of(address: str) -> list[Sample]:
    """What the site at ``address`` tells Prometheus; nothing if it does not answer."""
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as client, client.get(f"{address}/metrics") as reply:
            text = await reply.text()
    except (aiohttp.ClientError, TimeoutError):
        return []  # busy, or about to end: who watches the process will say so
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]
