"""Logs and settings with which a noise model is fitted in a second."""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.ingest.partitioner import partition_of
from sie_online.ingest.records import LogRecord, RecordBatch
from sie_online.settings import Settings, load
from sie_online.simulator import Scenario, simulate

QUICK_NOISE: dict[str, Any] = {
    "min_events": 1_000,
    "window_events": 4_000,
    "mixtures": 4,
    "mixture_events": 3_000,
    "examples": 12_000,
    "fit": {"device": "cpu", "epochs": 6, "hidden1": 4, "hidden2": 4},
}
LENIENT_GATE: dict[str, Any] = {
    "worst_auc": 0.0,
    "median_auc": 0.0,
    "auc_slack": 1.0,
    "auc_gain": -1.0,
    "kept_slack": 1.0,
    "innocent_cap": 1.0,
    "clean_cap": 1.0,
}
STARTED_MS = 1_900_000_000_000


def quick_settings(gate: dict[str, Any] | None = None, **noise: Any) -> Settings:
    """Settings of a quick fit; its gate lets nearly everything pass unless told otherwise."""
    return load({"trainer": {"noise": QUICK_NOISE | {"gate": LENIENT_GATE if gate is None else gate} | noise}})


def log_batches(events: int, partitions: int = 1, seed: int = 3) -> list[RecordBatch]:
    """A simulated log, a batch per partition."""
    records = [record for chunk in simulate(Scenario(events=events, seed=seed)).chunks() for record in chunk.records]
    parts: list[list[Any]] = [[] for _ in range(partitions)]
    for key, value, _ in records:
        parts[partition_of(key, partitions) if key is not None else 0].append((key, value))
    return [_batch(number, part) for number, part in enumerate(parts)]


def _batch(partition: int, part: list[Any]) -> RecordBatch:
    rows = [LogRecord(offset, STARTED_MS, key, value) for offset, (key, value) in enumerate(part)]
    return RecordBatch.of(rows, topic="sie.events", partition=partition, epoch=0, start=0, end=len(rows))


def cut(batch: RecordBatch, first: int, last: int) -> RecordBatch:
    """Records ``first`` to ``last``, not including it, of a batch from offset 0."""
    rows = [
        LogRecord(int(batch.offsets[at]), int(batch.timestamps_ms[at]), batch.key(at), batch.value(at))
        for at in np.arange(first, last)
    ]
    return RecordBatch.of(rows, topic=batch.topic, partition=batch.partition, epoch=0, start=first, end=last)
