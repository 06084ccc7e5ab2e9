"""One AsyncAPI 3.1 document of all topics, with every schema in it: its operations are a worker's."""

from __future__ import annotations

from typing import Any

import msgspec

from sie_online import content
from sie_online.schemas import headers, rows
from sie_online.schemas.channels import CHANNELS, Channel, Message
from sie_online.schemas.model_records import Current
from sie_online.schemas.topics import VALUES

Document = dict[str, Any]

VERSION = "1.0.0"
"""Of the contracts, not of the code: its first number is the topics' ``v1``."""
BINDING = "0.5.0"
"""Version of AsyncAPI's Kafka bindings."""


def document() -> Document:
    """The document."""
    return {
        "asyncapi": "3.1.0",
        "id": "urn:sie-online:topics",
        "info": _info(),
        "defaultContentType": content.JSON,
        "servers": {
            "kafka": {
                "host": "127.0.0.1:9092",
                "protocol": "kafka",
                "description": "The brokers that the setting broker (SIE_BROKER) names.",
            }
        },
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": dict(_operation(channel, *action) for channel in CHANNELS for action in channel.actions),
        "components": {
            "messages": {message.name: _message(message) for channel in CHANNELS for message in channel.messages},
            "schemas": _schemas(),
        },
    }


def _info() -> Document:
    return {
        "title": "sie-online",
        "version": VERSION,
        "description": "Weights for training samples, estimated while the events flow. Operations are a worker's; a"
        " training job receives what it sends. Topics may have other names (settings, section topics).",
        "contact": {"name": "The docs: docs/formats.md"},
        "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        "tags": [{"name": "kafka"}, {"name": "recommender"}, {"name": "sample weighting"}],
    }


def _channel(channel: Channel) -> Document:
    return {
        "address": channel.address,
        "title": channel.address,
        "description": channel.description,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {message.name: {"$ref": f"#/components/messages/{message.name}"} for message in channel.messages},
        "bindings": {
            "kafka": {
                "topic": channel.address,
                "topicConfiguration": {"cleanup.policy": [channel.cleanup]},
                "bindingVersion": BINDING,
            }
        },
    }


def _operation(channel: Channel, action: str, summary: str, names: tuple[str, ...]) -> tuple[str, Document]:
    at = f"#/channels/{channel.name}"
    chosen = names or [message.name for message in channel.messages]
    return f"{action}{channel.name[0].upper()}{channel.name[1:]}", {
        "action": action,
        "channel": {"$ref": at},
        "title": f"{action} {channel.address}",
        "summary": summary,
        "messages": [{"$ref": f"{at}/messages/{name}"} for name in chosen],
    }


def _message(message: Message) -> Document:
    found: Document = {
        "name": message.content.schema,
        "title": message.content.schema,
        "summary": message.summary,
        "contentType": message.content.type,
        "headers": _headers(message),
        "payload": _payload(message),
    }
    if message.key:
        key = {"type": "string", "description": message.key}
        found["bindings"] = {"kafka": {"key": key, "bindingVersion": BINDING}}
    return found


def _headers(message: Message) -> Document:
    if message.content == content.DEAD_LETTERS:
        return headers.dead_letters()
    others = headers.ORIGIN if message.rows else {}
    if message.content.type == content.JSON_LINES:
        others = others | headers.METADATA
    return headers.said(message.content, others)


def _payload(message: Message) -> Document:
    if message.payload:
        return {"$ref": f"#/components/schemas/{message.payload}"}
    return {"type": "string", "format": "binary", "description": f"Bytes. {message.summary}"}


def _schemas() -> Document:
    kinds = [kind for kinds in VALUES.values() for kind in kinds if kind is not Current]
    _, found = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    events = [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in VALUES["sie.events"]]
    return {
        **found,
        "EventValue": {"anyOf": events},
        "Current": msgspec.json.schema(Current),
        "Lease": {"type": "string", "description": "Value of net/trainer/lease: who announces."},
        "WeightRow": rows.weights(),
        "SampleRow": rows.samples(),
    }
