"""Reconnecting less and less often to a broker that refuses: aiokafka itself tries up to 40 times a second."""

from __future__ import annotations

import asyncio
from typing import Any

FIRST_S = 0.05
LONGEST_S = 1.0
"""Kafka's own defaults (``reconnect.backoff.ms`` and ``.max.ms``)."""


def back_off(client: Any) -> None:
    """Have the ``AIOKafkaClient`` wait before it connects again to a node that it could not connect to, ever longer."""
    connect = client._get_conn
    waits: dict[object, float] = {}

    async def connect_patiently(node_id: object, **how: Any) -> Any:
        """A connection, None where there is none to be had."""
        if wait := waits.get(node_id):
            await asyncio.sleep(wait)
        connection = await connect(node_id, **how)
        if connection is None:
            waits[node_id] = min(2 * waits.get(node_id, FIRST_S / 2), LONGEST_S)
        else:
            waits.pop(node_id, None)
        return connection

    client._get_conn = connect_patiently
