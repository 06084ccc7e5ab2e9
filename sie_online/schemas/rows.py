"""JSON Schema of a row of weights or samples, made of the Arrow schema: a JSON line's, and what an Arrow row means."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from sie_online.contracts import EVENT_TYPES, WEIGHTS, samples_schema
from sie_online.features import DENSE_NAMES, FEATURE_NAMES

COLUMNS = {
    "event_id": "The event's own id.",
    "event_type": "What the user did.",
    "partition": "Partition of the input topic. With offset and revision a row's identity.",
    "offset": "Offset of the event in the input topic.",
    "revision": "Number of the statement about the event, from 0. Of one event the highest revision counts, and of one"
    " revision the highest generation.",
    "final": "Whether no later revision comes.",
    "generation": "Epoch of the partition's owner that published the row.",
    "model_version": "Version of the importance net in force, or 'builtin'.",
    "event_time_ms": "When it happened, ms since 1970.",
    "published_ms": "When the statement became known, event time, ms since 1970.",
    "settled_ms": "When the label became final, event time, ms since 1970.",
    "user_id": "The user, or a keyed HMAC where privacy.hmac_key_file is set.",
    "item_id": "The item.",
    "label": "1: it led to a conversion within the window, 0: it did not, null: not known, or no sample.",
    "probability": "Of a conversion, as predicted before the event was learned.",
    "error": "Label less probability; null where the label is.",
    "feature_score": "The literature's third score: what the recommender's features contributed.",
    "noise_probability": "That the event is noise.",
    "weight": "What to multiply the loss by: e to the power of the sum of all f_ columns.",
    "uncertainty": "Of the probability.",
    "user_hash": "64-bit hash of the user's id. Beyond 2^53: read it as a 64-bit integer, not as a double.",
    "item_hash": "64-bit hash of the item's id.",
    "category_hash": "64-bit hash of the category's id, 0 where there is none.",
    "features": "Indices of hashed one-hot features, in the order of feature_names; 0: absent.",
    "dense": "Real-valued features, in the order of dense_names; float32.",
}
"""What the columns mean; the ``f_`` columns are parts of log weight."""

Schema = dict[str, Any]


def weights() -> Schema:
    """Of ``sie.weights.v1``."""
    return _row(WEIGHTS)


def samples() -> Schema:
    """Of ``sie.samples.v1``, with today's features."""
    schema = samples_schema("", len(FEATURE_NAMES), len(DENSE_NAMES), "", FEATURE_NAMES, DENSE_NAMES)
    found = _row(schema)
    for column, names in (("features", FEATURE_NAMES), ("dense", DENSE_NAMES)):
        found["properties"][column]["description"] += f" Today: {', '.join(names)}."
    return found


def _row(schema: pa.Schema) -> Schema:
    return {
        "type": "object",
        "properties": {field.name: _column(field) for field in schema},
        "required": schema.names,
    }


def _column(field: Any) -> Schema:
    found = _value(field.name, field.type)
    if field.nullable:
        found["type"] = [found["type"], "null"]
    part = f"What {field.name.removeprefix('f_')} adds to the logarithm of the weight."
    return found | {"description": COLUMNS.get(field.name, part)}


def _value(name: str, kind: Any) -> Schema:
    if pa.types.is_fixed_size_list(kind):
        size = kind.list_size
        return {"type": "array", "items": _value("", kind.value_type), "minItems": size, "maxItems": size}
    if pa.types.is_integer(kind):
        bits, signed = kind.bit_width, pa.types.is_signed_integer(kind)
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return {"type": "integer", "minimum": low, "maximum": high}
    if pa.types.is_floating(kind):
        return {"type": "number"}
    if pa.types.is_boolean(kind):
        return {"type": "boolean"}
    return {"type": "string", "enum": list(EVENT_TYPES)} if name == "event_type" else {"type": "string"}
