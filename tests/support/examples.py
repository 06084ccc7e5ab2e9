"""The examples of training jobs, and logs to run them on."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sie_online.examples.samples import TrainingSamples
from streams.cli.root import run

LIBRARIES = {
    "river": "river",
    "vowpal_wabbit": "vowpalwabbit",
    "lightgbm": "lightgbm",
    "sklearn": "sklearn",
    "pytorch": "torch",
    "duckdb": "duckdb",
    "polars": "polars",
}
"""Every example, and the module that it cannot do without."""

OF_TABLES = ("duckdb", "polars")
ROUNDS = {"lightgbm": ("--rounds", "30"), "pytorch": ("--epochs", "2")}
SAMPLES, OWN, TRUTH = "samples.parquet", "events.parquet", "events.truth.parquet"


def example(name: str) -> ModuleType:
    """The module of an example."""
    return importlib.import_module(f"sie_online.examples.{name}")


def options(name: str, folder: Path) -> list[str]:
    """What an example has to be told to run on the log in ``folder``, wherever its samples come from."""
    own = ["--features", str(folder / OWN)] if name in OF_TABLES else []
    return [*own, *ROUNDS.get(name, ()), "--resamples", "40"]


def generated_log(folder: Path) -> Path:
    """Events, truth and samples, as the commands write them, in ``folder``."""
    events = ["sample-events", "--out", str(folder / OWN), "--events", "12000", "--hours", "72", "--json"]
    assert run(events) == 0
    assert run(["evaluate", str(folder / OWN), "--out", str(folder), "--samples", "--json"]) == 0
    return folder


def planted_log(folder: Path, n: int = 6_000, noise: float = 0.4) -> Path:
    """Samples, one a second, in ``folder``, of which a share says the opposite; the weights know which.

    The label follows a level in ten bins, and the item; the probability knows the level alone.
    """
    rng = np.random.default_rng(0)
    noisy, level, item = rng.random(n) < noise, rng.integers(0, 10, n), rng.integers(0, 50, n)
    logit = 0.3 * (level - 4.5) + np.where(item % 2, 1.5, -1.5)
    label = rng.random(n) < 1 / (1 + np.exp(np.where(noisy, logit, -logit)))
    event_id = pa.array([f"e{number}" for number in range(n)])
    features = np.stack([1 + level, 101 + item], axis=1).astype(np.uint32)
    dense = np.stack([level, item % 2], axis=1).astype(np.float32)
    columns = {
        "event_id": event_id,
        "features": pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), 2),
        "dense": pa.FixedSizeListArray.from_arrays(pa.array(dense.reshape(-1)), 2),
        "probability": 0.2 + 0.06 * level,
        "label": label.astype(np.int8),
        "weight": np.where(noisy, 0.02, 1.2),
        "noise_probability": np.where(noisy, 0.9, 0.1),
        "user_hash": rng.integers(0, 400, n).astype(np.uint64),
        "event_time_ms": 1_500_000_000_000 + 1_000 * np.arange(n),
        "settled_ms": 1_500_000_060_000 + 1_000 * np.arange(n),
    }
    pq.write_table(pa.table({name: columns[name] for name in TrainingSamples.names()}), folder / SAMPLES)
    pq.write_table(pa.table({"event_id": event_id, "item_id": pa.array(item)}), folder / OWN)
    pq.write_table(pa.table({"event_id": event_id, "noisy": noisy.astype(np.int8)}), folder / TRUTH)
    return folder
