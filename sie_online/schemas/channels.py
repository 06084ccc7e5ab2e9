"""The topics as AsyncAPI sees them: what lies on each, under which keys, and what a worker does with it.

A new topic is one entry of ``CHANNELS``. Cleanup policies are those of `streams.topics` (tested).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from sie_online import content
from sie_online.content import Content, Layout

Action = Literal["receive", "send"]


class Message(NamedTuple):
    """A kind of messages on a channel: ``payload`` names a schema of the document, None: bytes that it cannot describe.

    ``key`` says what the record's key is; empty where there is none. ``rows``: many objects of the schema, a line each.
    """

    name: str
    content: Content
    payload: str | None
    summary: str
    key: str = ""
    rows: bool = False


class Channel(NamedTuple):
    """A topic: ``address`` is its default name; ``actions`` are a worker's, and which messages each has (none: all)."""

    name: str
    address: str
    cleanup: Literal["delete", "compact"]
    description: str
    messages: tuple[Message, ...]
    actions: tuple[tuple[Action, str, tuple[str, ...]], ...]


_USER = "The user's id, UTF-8; it places the record (murmur2)."
_FOLLOWS = "In the partition of the event it is about. No key."
_LAYOUT: dict[Layout, str] = {
    "1": "Rows in the contract's columns: an Arrow IPC stream of one record batch.",
    "2": "Rows packed into few columns: an Arrow IPC stream whose schema has the metadata entry 'layout'.",
    "json": "Rows as JSON lines, one object each.",
}


def _row_messages(stream: str, schema: str) -> tuple[Message, ...]:
    return tuple(
        Message(
            f"{stream}-{layout}",
            content.of_rows(stream, layout),
            schema if layout == "json" else None,
            f"{summary} A row is a {schema}. {_FOLLOWS}",
            rows=True,
        )
        for layout, summary in _LAYOUT.items()
    )


_MODEL_MESSAGES = (
    Message("manifest", content.MANIFEST, "Manifest", "A model version.", "<model>/<version>"),
    Message(
        "announcement", content.MODELS["announcement"], "Announcement", "From where on it applies.",
        "<model>/announcement/<n>",
    ),
    Message("current", content.MODELS["current"], "Current", "The newest n.", "<model>/current"),
    Message(
        "adopted", content.MODELS["adopted"], "Adopted", "Where a shard took it up late.",
        "<model>/adopted/<partition>/<n>",
    ),
    Message("lease", content.MODELS["trainer"], "Lease", "The trainer at work.", "net/trainer/lease"),
)  # fmt: skip

CHANNELS = (
    Channel(
        "events",
        "sie.events",
        "delete",
        "What users do: the input.",
        (Message("event", content.EVENTS, "EventValue", "An event, a heartbeat or an erasure.", _USER),),
        (("receive", "Weigh and learn from what users do.", ()),),
    ),
    Channel(
        "weights",
        "sie.weights.v1",
        "delete",
        "Statements about events: a weight for each, corrected when the truth arrives.",
        _row_messages("weights", "WeightRow"),
        (("send", "Say what an event weighs; in one layout, that output.format and output.version name.", ()),),
    ),
    Channel(
        "samples",
        "sie.samples.v1",
        "delete",
        "Settled samples with their features, ready to train on.",
        _row_messages("samples", "SampleRow"),
        (("send", "Say what became of a sample; in one layout, as the weights.", ()),),
    ),
    Channel(
        "entities",
        "sie.entities.v1",
        "compact",
        "What one shard knows of a user, an item or a category; sums over shards are a reader's. Null: erased.",
        (
            Message(
                "entity", content.ENTITIES, "EntityState", "Absolute values of one shard.",
                "user:<id>, item:<id>#<partition> or category:<id>#<partition>",
            ),
        ),
        (("send", "Say how an entity stands when that has changed.", ()),),
    ),
    Channel(
        "recommendations",
        "sie.recs.v1",
        "compact",
        "What to show a user: the newest list. In the partition of the user's events; off by default. Null: erased.",
        (
            Message(
                "recommendation", content.RECOMMENDATIONS, "Recommendations", "The user's list as of now.",
                "user:<id>",
            ),
        ),
        (("send", "Say what to show a user when that has changed.", ()),),
    ),
    Channel(
        "models",
        "sie.models.v1",
        "compact",
        "Model versions, and from which offset each applies. One partition.",
        _MODEL_MESSAGES,
        (
            ("receive", "Adopt what is announced, at the offset named.", ("manifest", "announcement", "current")),
            ("send", "Say where a shard adopted late.", ("adopted",)),
        ),
    ),
    Channel(
        "deadLetters",
        "sie.dead-letters.v1",
        "delete",
        "Records of the input that are no valid events, as they came.",
        (
            Message(
                "deadLetter", content.DEAD_LETTERS, None, "The record's key and value, and why it is here.",
                "The record's own key.",
            ),
        ),
        (("send", "Set aside what is no event, and go on.", ()),),
    ),
)  # fmt: skip
