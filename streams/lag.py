"""How far the shards are behind the log. Asked for on its own, since a consumer that has died reports no lag at all."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiokafka.errors import KafkaError

from streams.metrics import Metrics
from streams.watchdog import Vitals

if TYPE_CHECKING:
    from streams.worker import Worker

log = logging.getLogger(__name__)

EVERY_S = 2.0


async def watch_lag(worker: Worker, vitals: Vitals, metrics: Metrics) -> None:
    """Look every ``EVERY_S`` seconds until the worker stops."""
    while not worker.should_stop:
        await worker.sleep(EVERY_S)
        if worker.partitions:
            if vitals.log_seen_at is None:
                vitals.log_seen_at = vitals.now
            _note(worker, await _log_ends(worker), vitals, metrics)


def _note(worker: Worker, ends: dict[int, int], vitals: Vitals, metrics: Metrics) -> None:
    if ends:
        vitals.log_seen_at = vitals.now
    for held in worker.held():
        if held.partition in ends:
            lag = max(0, ends[held.partition] - held.shard.next_offset)
            vitals.lags(held.partition, lag)
            metrics.set_lag(held.partition, lag)


async def _log_ends(worker: Worker) -> dict[int, int]:
    """Offset after the last record of each owned partition; nothing where the broker does not tell."""
    thread, limit = worker.consumer.thread, worker.settings.kafka.request_timeout_s
    try:
        return await asyncio.wait_for(thread.ask(thread.log_ends, worker.partitions), limit)
    except (KafkaError, TimeoutError) as error:
        log.warning("the log's end is unknown", extra={"error": repr(error)})
        return {}
