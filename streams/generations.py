"""The highest generation published of a partition: a fresh start must exceed it, or readers would keep the old rows."""

from __future__ import annotations

from aiokafka import TopicPartition

from sie_online.client.consumer import PatientConsumer
from sie_online.contracts import from_message
from sie_online.settings import Settings

LAST_MESSAGES = 1_000
"""Generations rise along the log; only a superseded owner's last words may stand behind its successor's first."""


async def highest_generation(settings: Settings, partition: int) -> int:
    """Highest generation in the end of the weights of ``partition``, 0 if there are none."""
    tp = TopicPartition(settings.topics.weights, partition)
    consumer = PatientConsumer(settings)
    await consumer.start()
    try:
        consumer.assign([tp])
        first, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, max(first, end - LAST_MESSAGES))
        highest = 0
        while await consumer.position(tp) < end:
            for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, []):
                highest = max([highest, *from_message(record.value)["generation"].to_pylist()])
        return highest
    finally:
        await consumer.stop()
