"""Published rows for tests: a factory of weight batches, with every value a function of what identifies the row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sie_online import contracts
from sie_online.shard import output
from sie_online.shard.output import new_out
from sie_online.shard.render import Renderer, SettledSamples
from sie_online.unpacking import FramedRows

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


def packed(batch: pa.RecordBatch, limit: int = 1 << 30) -> FramedRows:
    """Rows of weights, all of one partition, generation and model, as messages of layout 2."""
    out = new_out(max(1, len(batch)), 4_096)
    out.control["rows"] = len(batch)
    _fill(out.rows[: len(batch)], batch, "published_ms")
    for name, at, data in (
        ("event_id", out.event_at, out.event_ids),
        ("user_id", out.user_at, out.user_ids),
        ("item_id", out.item_at, out.item_ids),
    ):
        texts = [text.encode() for text in batch[name].to_pylist()]
        at[: len(texts) + 1] = np.cumsum([0, *map(len, texts)])
        data[: at[len(texts)]] = np.frombuffer(b"".join(texts), np.uint8)
    partition, generation, version = (
        (batch[name][0].as_py() if len(batch) else default)
        for name, default in (("partition", 0), ("generation", 1), ("model_version", "builtin"))
    )
    return Renderer(SOURCE, partition, limit).weights(out, generation, version)


def packed_samples(batch: pa.RecordBatch, limit: int = 1 << 30) -> FramedRows:
    """Samples, all of one partition and generation, as messages of layout 2."""
    n = len(batch)
    rows, keys = np.zeros(n, output.STATEMENT), np.zeros(n, output.SETTLED_KEYS)
    _fill(rows, batch, "settled_ms")
    for name in ("user", "item", "category"):
        keys[f"{name}_key"] = batch[f"{name}_hash"]
    ids = [text.encode() for text in batch["event_id"].to_pylist()]
    features, dense = (
        np.array(batch[name].to_pylist(), dtype).reshape(n, batch.schema.field(name).type.list_size)
        for name, dtype in (("features", np.uint32), ("dense", np.float32))
    )
    settled = SettledSamples(
        rows=rows,
        keys=keys,
        ids_at=np.cumsum([0, *map(len, ids)], dtype=np.int32),
        ids=np.frombuffer(b"".join(ids), np.uint8),
        features=features,
        dense=dense,
    )
    partition, generation = (batch[name][0].as_py() if n else 0 for name in ("partition", "generation"))
    return Renderer(SOURCE, partition, limit).samples(settled, generation)


def _fill(rows: NDArray[np.void], batch: pa.RecordBatch, known: str) -> None:
    for name in ("offset", "event_time_ms", "revision", "probability", "feature_score", "noise_probability", "weight"):
        rows[name] = batch[name]
    rows["published_ms"] = batch[known]
    rows["etype"] = [contracts.EVENT_TYPES.index(name) for name in batch["event_type"].to_pylist()]
    rows["label"] = batch["label"].fill_null(-1)
    for which, name in enumerate(contracts.FACTORS):
        if f"f_{name}" in batch.schema.names:
            rows["factors"][:, which] = batch[f"f_{name}"]
    if "final" in batch.schema.names:
        rows["final"], rows["uncertainty"] = batch["final"].to_numpy(zero_copy_only=False), batch["uncertainty"]
