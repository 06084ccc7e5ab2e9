"""Published rows for tests: a factory of weight batches, with every value a function of what identifies the row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from sie_online import contracts

SOURCE = "sie.events"


def weight_row(offset: int = 0, revision: int = 0, **values: Any) -> dict[str, Any]:
    """One row of ``sie.weights.v1``; whatever is not given is filled in."""
    row: dict[str, Any] = {
        "event_id": f"event-{values.get('partition', 0)}-{offset}",
        "event_type": "view",
        "partition": 0,
        "offset": offset,
        "revision": revision,
        "final": False,
        "generation": 1,
        "model_version": contracts.BUILTIN_MODEL,
        "event_time_ms": 1_700_000_000_000 + offset,
        "published_ms": 1_700_000_000_000 + offset + revision,
        "user_id": "user",
        "item_id": "item",
        "label": None,
        "probability": 0.25,
        "error": None,
        "feature_score": 0.5,
        "noise_probability": 0.125,
        "weight": 1.0 + revision,
        "uncertainty": 0.0625,
    }
    factors = {f"f_{name}": 0.0 for name in contracts.FACTORS}
    return row | factors | values


def weight_batch(*rows: dict[str, Any]) -> pa.RecordBatch:
    """``rows`` as one batch in the contract's schema."""
    return pa.RecordBatch.from_pylist(list(rows), schema=contracts.weights_schema(SOURCE))


def weight_message(*rows: dict[str, Any]) -> bytes:
    """``rows`` as one message."""
    return contracts.to_message(weight_batch(*rows))


def sample_batch(*offsets: int, generation: int = 1, n_features: int = 3, n_dense: int = 2) -> pa.RecordBatch:
    """One settled sample per offset."""
    schema = contracts.samples_schema(SOURCE, n_features, n_dense, "feature-schema")
    rows = [
        {
            **{name: value for name, value in weight_row(offset, 1).items() if name in schema.names},
            "generation": generation,
            "label": offset % 2,
            "error": 0.5,
            "settled_ms": 1_700_000_086_400 + offset,
            "user_hash": 2**64 - 1,
            "item_hash": 7,
            "category_hash": 0,
            "features": list(range(n_features)),
            "dense": [0.5] * n_dense,
        }
        for offset in offsets
    ]
    return pa.RecordBatch.from_pylist(rows, schema=schema)
