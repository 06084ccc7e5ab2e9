"""Made-up samples and nets, small enough for unit tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from models.forward import NetWeights
from models.inputs import N_EXACT, Standard
from models.manifest import Manifest, TensorInfo, Verdict
from models.net import start_weights
from models.samples import SampleColumns, from_table
from models.settings import FineTune, NetSizes
from sie_online.contracts import EVENT_TYPES, FACTORS, samples_schema

N_DENSE = 5
N_FEATURES = 6
SHAPE = NetSizes(users=16, items=32, categories=8, id_dim=2, type_dim=2, hidden1=12, hidden2=8)
FAST = FineTune(shape=SHAPE, device="cpu", batch=64, epochs=4, patience=4, slices=4, learning_rate=0.02)


def samples_table(n: int, *, seed: int = 0, signal: float = 2.0, positive: float = 0.2, **columns: Any) -> pa.Table:
    """``n`` settled views, one a second, whose label depends on the first dense number and the first feature bin.

    ``columns`` replace whole columns.
    """
    rng = np.random.default_rng(seed)
    dense = rng.normal(size=(n, N_DENSE)).astype(np.float32)
    base = np.log(positive / (1 - positive))
    p = 1 / (1 + np.exp(-(base + signal * dense[:, 0])))
    label = (rng.random(n) < p).astype(np.int8)
    features = rng.integers(1, 50, (n, N_FEATURES), dtype=np.uint32)
    features[:, 0] = 100 + np.clip(dense[:, 0] * 2 + 8, 0, 16).astype(np.uint32)
    stated = np.clip(p + rng.normal(scale=0.02, size=n), 0.001, 0.999)
    schema = samples_schema("sie.events", N_FEATURES, N_DENSE, "schema-1")
    made: dict[str, Any] = {
        "event_id": [f"e{i}" for i in range(n)],
        "event_type": pa.DictionaryArray.from_arrays(
            pa.array(np.full(n, EVENT_TYPES.index("view"), np.int8)), pa.array(EVENT_TYPES)
        ),
        "partition": np.zeros(n, np.int32),
        "offset": np.arange(n),
        "revision": np.ones(n, np.int32),
        "generation": np.zeros(n, np.int64),
        "event_time_ms": 1_500_000_000_000 + 1_000 * np.arange(n),
        "settled_ms": 1_500_000_000_000 + 1_000 * np.arange(n) + 86_400_000,
        "label": label,
        "probability": stated,
        "error": label - stated,
        "feature_score": rng.random(n),
        "noise_probability": np.zeros(n),
        "weight": np.ones(n),
        **{f"f_{name}": np.zeros(n) for name in FACTORS},
        "user_hash": rng.integers(1, 40, n).astype(np.uint64),
        "item_hash": rng.integers(1, 90, n).astype(np.uint64),
        "category_hash": rng.integers(0, 9, n).astype(np.uint64),
        "features": pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), N_FEATURES),
        "dense": pa.FixedSizeListArray.from_arrays(pa.array(dense.reshape(-1)), N_DENSE),
    } | columns
    arrays = [one if isinstance(one, pa.Array) else pa.array(one) for one in (made[name] for name in schema.names)]
    return pa.Table.from_arrays([a.cast(f.type) for a, f in zip(arrays, schema, strict=True)], schema=schema)


def made_samples(n: int, **how: Any) -> SampleColumns:
    """The columns of ``samples_table``."""
    return from_table(samples_table(n, **how))


def made_weights(seed: int = 0) -> NetWeights:
    """A net with random heads, as if it had learned something."""
    rng = np.random.default_rng(seed)
    numbers = N_DENSE + 4
    mean, scale = rng.normal(size=numbers).astype(np.float32), rng.uniform(0.5, 2, numbers).astype(np.float32)
    mean[-N_EXACT:], scale[-N_EXACT:] = 0, 1
    standard = Standard(mean, scale)
    weights = start_weights(SHAPE, standard, seed)
    return weights._replace(
        w3=rng.normal(size=weights.w3.shape).astype(np.float32), b3=rng.normal(size=2).astype(np.float32)
    )


def made_manifest(**changes: Any) -> Manifest:
    """A manifest with something in every field."""
    values: dict[str, Any] = {
        "version": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "parent": "01ARZ3NDEKTSV4RRFFQ69G5FAA",
        "uri": "models/net/01ARZ3NDEKTSV4RRFFQ69G5FAV.safetensors",
        "size": 7,
        "sha256": "ab" * 32,
        "tensors": (TensorInfo("heads.weight", "float32", (8, 2)),),
        "feature_schema_hash": "schema-1",
        "mean_f": 0.5,
        "train_offsets": {"0": (3, 9)},
        "metrics": {"nll": 0.1, "auc": None},
        "baseline_metrics": {"nll": 0.2},
        "gate": Verdict(False, ("too bad",), {"uniform": {"nll": 0.1, "auc": None}}),
        "created_at_ms": 1_700_000_000_000,
        "code_version": "0.1.0",
    }
    return Manifest(**(values | changes))
