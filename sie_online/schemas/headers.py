"""JSON Schema of headers: text by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sie_online import contracts
from sie_online.content import CONTENT_TYPE, SCHEMA, UNKNOWN, Content
from sie_online.ingest.events import Reason

Schema = dict[str, Any]

_DEAD_LETTERS = {
    "sie-reason": "Why the record is a dead letter.",
    "sie-exception": "What was wrong with it, in words.",
    "sie-source-topic": "Topic of the record.",
    "sie-source-partition": "Partition of the record, decimal.",
    "sie-source-offset": "Offset of the record, decimal; with topic and partition its identity.",
    "sie-source-timestamp-ms": "Kafka timestamp of the record, ms since 1970, decimal.",
    "sie-value-bytes": "Full size of the value, decimal; only where the value was cut or left out.",
    "sie-value-sha256": "SHA-256 (hex) of the full value; only where the value was cut.",
    contracts.DEAD_LETTER_VALUE_HMAC: "HMAC-SHA-256 (hex) of the value under the key of privacy.hmac_key_file; only"
    " where that is set: then there is no value, the key is its HMAC, and the record's own headers are left out.",
    "sie-key-bytes": "Full size of the key, decimal; only where the key was cut.",
    "sie-key-sha256": "SHA-256 (hex) of the full key; only where the key was cut.",
}

_TYPE = "Media type of the value."
_SCHEMA = "Contract that the value keeps, and which of its kinds it is."

ORIGIN = {
    contracts.GROUP_HEADER: "Consumer group of the worker that published the message.",
    contracts.FINGERPRINT_HEADER: "Fingerprint of the settings that its rows depend on.",
}

METADATA = {
    "sie-source-topic": "The input topic.",
    "sie-code-version": "Version of sie-online that wrote the message.",
    "sie-feature-schema-hash": "What features mean: rows of one hash may be trained on together. Samples only.",
    "sie-feature-names": "Names of the columns of features, a JSON array. Samples only.",
    "sie-dense-names": "Names of the columns of dense, a JSON array. Samples only.",
}
"""Of JSON lines; Arrow has them in the schema's metadata."""


def dead_letters() -> Schema:
    """Of ``sie.dead-letters.v1``."""
    own = {
        CONTENT_TYPE: f"Media type of the value, as the record's own headers have it; {UNKNOWN} where they have none.",
        SCHEMA: "This contract; the last of the name counts, the record may have had one.",
    }
    found = _texts(own | _DEAD_LETTERS, [CONTENT_TYPE, SCHEMA, *contracts.DEAD_LETTER_HEADERS])
    found["properties"]["sie-reason"]["enum"] = sorted(Reason)
    return found


def said(content: Content, others: Mapping[str, str]) -> Schema:
    """Of messages of ``content``, with ``others`` that some or all may have (name: what it says)."""
    found = _texts({CONTENT_TYPE: _TYPE, SCHEMA: _SCHEMA} | dict(others), [CONTENT_TYPE, SCHEMA])
    found["properties"][CONTENT_TYPE]["const"] = content.type
    found["properties"][SCHEMA]["const"] = content.schema
    return found


def _texts(names: Mapping[str, str], required: Iterable[str]) -> Schema:
    properties = {name: {"type": "string", "description": text} for name, text in names.items()}
    return {"type": "object", "properties": properties, "required": list(required)}
