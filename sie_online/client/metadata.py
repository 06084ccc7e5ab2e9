"""Kafka's metadata request, in two versions that aiokafka does not speak (its own end at 5).

The fields are those of MetadataRequest.json and MetadataResponse.json in Apache Kafka. From version 9 on, texts and
lists are compact ones and whatever has fields ends in tags; from 10 on, a topic has an id (KIP-516).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from io import BytesIO
from typing import Any

from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

RIGHTS, IDS = 8, 10
"""The first versions that tell what one may do with a topic, and a topic's id."""

NO_ID = uuid.UUID(int=0)


class _Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc]  # aiokafka is not typed
    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


def _struct(version: int) -> Any:
    compact = version >= 9
    many, text = (CompactArray, CompactString("utf-8")) if compact else (Array, String("utf-8"))
    tags = (("tags", TaggedFields),) if compact else ()
    topic_id = (("topic_id", _Uuid),) if version >= IDS else ()
    broker = (("node_id", Int32), ("host", text), ("port", Int32), ("rack", text), *tags)
    copies = [(name, many(Int32)) for name in ("replicas", "isr", "offline_replicas")]
    numbers = [(name, Int32) for name in ("partition", "leader", "leader_epoch")]
    partition = (("error_code", Int16), *numbers, *copies, *tags)
    topic = (
        ("error_code", Int16),
        ("topic", text),
        *topic_id,
        ("is_internal", Boolean),
        ("partitions", many(*partition)),
        ("authorized_operations", Int32),
        *tags,
    )

    class Answer(Response):  # type: ignore[misc]
        API_KEY, API_VERSION = 3, version
        SCHEMA = Schema(
            ("throttle_time_ms", Int32),
            ("brokers", many(*broker)),
            ("cluster_id", text),
            ("controller_id", Int32),
            ("topics", many(*topic)),
            ("cluster_authorized_operations", Int32),
            *tags,
        )

    class Question(RequestStruct):  # type: ignore[misc]
        FLEXIBLE_VERSION = compact
        API_KEY, API_VERSION = 3, version
        RESPONSE_TYPE = Answer
        SCHEMA = Schema(
            ("topics", many(*topic_id, ("topic", text), *tags) if compact else many(text)),
            ("allow_auto_topic_creation", Boolean),
            ("include_cluster_authorized_operations", Boolean),
            ("include_topic_authorized_operations", Boolean),
            *tags,
        )

    return Question


_STRUCTS = {version: _struct(version) for version in (RIGHTS, IDS)}


class Metadata(Request[RequestStruct]):  # type: ignore[misc]
    """Asks for ``topics`` in ``version`` (``RIGHTS`` or ``IDS``) and in no other; creates none.

    ``AIOKafkaClient.send`` raises NotImplementedError where the broker does not speak it.
    """

    API_KEY = 3

    def __init__(self, version: int, topics: Iterable[str]) -> None:
        self._CLASSES = (_STRUCTS[version],)
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        """The request as it is sent; called by aiokafka."""
        if request_struct_class.API_VERSION == RIGHTS:
            return request_struct_class(self._topics, False, False, True)
        return request_struct_class([(NO_ID, topic, {}) for topic in self._topics], False, False, False, {})
