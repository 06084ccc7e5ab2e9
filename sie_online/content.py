"""What a message says of itself, in two Kafka headers: how its value is written, and which contract that keeps.

``content-type`` is a media type (RFC 6838), ``sie-schema`` the contract's name with, after a slash, what tells its
kinds apart: the layout of rows, or what a record of the models topic is. It names the contract, not the topic, which
settings may call something else. `docs/formats.md` lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from sie_online.contracts import METADATA

CONTENT_TYPE, SCHEMA = "content-type", "sie-schema"

ARROW_STREAM = "application/vnd.apache.arrow.stream"
JSON = "application/json"
JSON_LINES = "application/x-ndjson"
TEXT = "text/plain"
UNKNOWN = "application/octet-stream"
"""Of a dead letter whose producer did not say what it is."""

Header = tuple[str, bytes]
Layout = Literal["1", "2", "json"]


class Content(NamedTuple):
    """The two headers of a kind of message."""

    type: str
    schema: str

    @property
    def headers(self) -> tuple[Header, ...]:
        """As Kafka has them."""
        return (CONTENT_TYPE, self.type.encode()), (SCHEMA, self.schema.encode())


EVENTS = Content(JSON, "sie.events")
ENTITIES = Content(JSON, "sie.entities.v1")
RECOMMENDATIONS = Content(JSON, "sie.recs.v1")
DEAD_LETTERS = Content(UNKNOWN, "sie.dead-letters.v1")

LAYOUTS: tuple[Layout, ...] = ("1", "2", "json")
MODELS = {
    "announcement": Content(JSON, "sie.models.v1/announcement"),
    "current": Content(JSON, "sie.models.v1/current"),
    "adopted": Content(JSON, "sie.models.v1/adopted"),
    "trainer": Content(TEXT, "sie.models.v1/lease"),
}
"""Records on the models topic, by the second part of their key."""
MANIFEST = Content(JSON, "sie.models.v1/manifest")
"""Of the others, whose second part is a version."""


def of_rows(stream: str, layout: Layout) -> Content:
    """Of weights or samples (``stream``) in ``layout``."""
    return Content(JSON_LINES if layout == "json" else ARROW_STREAM, f"sie.{stream}.v1/{layout}")


def of_model(key: bytes) -> Content:
    """Of the record of the models topic that has ``key``."""
    return MODELS.get(key.split(b"/")[1].decode(), MANIFEST)


def of_dead_letter(headers: Mapping[str, bytes | None]) -> tuple[Header, ...]:
    """What a dead letter says beside its record's own ``headers``: its value is the record's, of the record's type."""
    own, contract = DEAD_LETTERS.headers
    return (contract,) if CONTENT_TYPE in headers else (own, contract)


def of_metadata(metadata: Mapping[bytes, bytes]) -> tuple[Header, ...]:
    """The metadata of a schema, for messages that have no place for it."""
    return tuple((_header_of(name), metadata[name.encode()]) for name in METADATA if name.encode() in metadata)


def metadata_of(headers: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """The metadata that `of_metadata` wrote among ``headers``."""
    values = {name: headers.get(_header_of(name)) for name in METADATA}
    return {name: value for name, value in values.items() if value is not None}


def _header_of(name: str) -> str:
    return f"sie-{name.replace('_', '-')}"
