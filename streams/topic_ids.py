"""Kafka's id of a topic, which a topic made anew under the same name does not share."""

from __future__ import annotations

from typing import Any

from aiokafka.errors import KafkaConnectionError, NodeNotReadyError

from sie_online.client.metadata import IDS, NO_ID, Metadata

UNKNOWN = ""
"""In place of an id: the broker tells none, or there is no such topic now."""


async def topic_id(client: Any, topic: str) -> str:
    """The id of ``topic`` as the brokers that ``client`` (an ``AIOKafkaClient``) is connected to tell it.

    ``UNKNOWN`` where they tell none: brokers before Kafka 2.8, the embedded one, or a topic that is not there now.

    Raises:
        KafkaError: no broker answers.
    """
    try:
        response = await _asked(client, Metadata(IDS, [topic]))
    except NotImplementedError:  # how aiokafka says that the broker does not speak this version
        return UNKNOWN
    for _error, name, found, *_rest in response.topics:
        if name == topic and found != NO_ID:
            return str(found)
    return UNKNOWN


def is_another_topic(known: str, found: str) -> bool:
    """Whether two topic ids are of different topics; an unknown one (empty) says nothing."""
    return bool(known and found) and known != found


async def _asked(client: Any, request: Any) -> Any:
    """The answer to ``request``, on a second connection where the first ends: as one does whose login has expired."""
    node = client.get_random_node()
    if node is None:
        raise NodeNotReadyError("no broker is known")
    try:
        return await client.send(node, request)
    except KafkaConnectionError:
        return await client.send(node, request)
