"""JSON Schema by topic: of its values, or, of dead letters, of the headers that are ours.

A topic with JSON values of its own is one line here: its name and the struct that is its value.
"""

from __future__ import annotations

from typing import Any

import msgspec

from sie_online.ingest.events import Erase, Event, Heartbeat
from sie_online.schemas import headers, rows
from sie_online.schemas.model_records import MODEL_RECORDS
from sie_online.statements import EntityState, Recommendations

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

VALUES: dict[str, tuple[type[msgspec.Struct] | type, ...]] = {
    "sie.events": (Event, Heartbeat, Erase),
    "sie.entities.v1": (EntityState,),
    "sie.recs.v1": (Recommendations,),
    "sie.models.v1": MODEL_RECORDS,
}
"""What the values of topics with JSON are: one of these."""


def schemas() -> dict[str, Schema]:
    """Schema by topic (default names)."""
    return {
        **{topic: _titled(f"Value of {topic}", _any_of(kinds)) for topic, kinds in VALUES.items()},
        "sie.weights.v1": _titled("A row of sie.weights.v1", rows.weights()),
        "sie.samples.v1": _titled("A row of sie.samples.v1", rows.samples()),
        "sie.dead-letters.v1": _titled(
            "Headers added to the records of sie.dead-letters.v1 (UTF-8 text)", headers.dead_letters()
        ),
    }


def _any_of(kinds: tuple[type, ...]) -> Schema:
    if len(kinds) == 1:
        return msgspec.json.schema(kinds[0])
    found, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    return {"anyOf": list(found), "$defs": definitions}


def _titled(title: str, schema: Schema) -> Schema:
    return {"$schema": DIALECT, "title": title, **schema}
