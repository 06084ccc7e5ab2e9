"""Nets, artifacts and messages of settled samples for tests of everything around the trainer."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from aiokafka import AIOKafkaProducer

from models.forward import NetWeights, scores
from models.inputs import label_known, label_unknown
from models.manifest import Manifest
from models.snapshot import Canary, Contents, encode_net
from models.ulid import ulid
from sie_online.contracts import to_message
from sie_online.settings import Settings
from streams.model_registry import artifacts
from tests.support.samples import made_manifest, made_samples, made_weights, samples_table

TINY = {
    "every_samples": 500,
    "every_s": 3_600.0,
    "min_samples": 200,
    "window_samples": 4_000,
    "shape": {"users": 16, "items": 32, "categories": 8, "id_dim": 2, "type_dim": 2, "hidden1": 12, "hidden2": 8},
    "fine_tune": {"epochs": 2, "batch": 128, "slices": 4, "device": "cpu", "threads": 1, "learning_rate": 0.02},
    "web": {"port": 0},
}
"""Trainer settings for quick fine-tunes."""

LENIENT = {
    "gate": {
        "gain_level": 0.0,
        "nll_slack": 9.0,
        "auc_slack": 1.0,
        "calibration_low": 0.0,
        "calibration_high": 1e9,
        "effective_share": 0.0,
        "min_positives": 1,
    }
}
"""Gate settings that let everything sound pass."""


def new_version(time_ms: int | None = None) -> str:
    """A fresh ULID, of now unless told otherwise."""
    return ulid(time_ms or time.time_ns() // 1_000_000, secrets.token_bytes(10))


def made_contents(weights: NetWeights | None = None) -> Contents:
    """The artifact of a made-up net."""
    weights = weights or made_weights()
    some = made_samples(8)
    parts = label_unknown(some, weights.buckets), label_known(some, weights.buckets)
    inputs = type(parts[0])(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    return encode_net(weights, Canary(inputs, scores(weights, inputs)))


def made_version(version: str | None = None, seed: int = 0, **changes: Any) -> tuple[bytes, Manifest]:
    """Bytes and manifest of a made-up net that passed its gate."""
    version = version or new_version()
    contents = made_contents(made_weights(seed))
    manifest = made_manifest(
        version=version,
        parent=None,
        uri=artifacts.artifact_name(version),
        size=len(contents.data),
        sha256=contents.sha256,
        tensors=contents.tensors,
    )
    passed = replace(manifest, gate=replace(manifest.gate, passed=True, reasons=()))  # type: ignore[type-var]
    return contents.data, replace(passed, **changes)


def publish_samples(settings: Settings, table: pa.Table, rows_per_message: int = 200) -> None:
    """Write ``table`` to the samples topic, every row to its partition."""
    asyncio.run(_publish(settings, table, rows_per_message))


async def _publish(settings: Settings, table: pa.Table, rows: int) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=settings.broker, acks="all")
    await producer.start()
    try:
        for partition in np.unique(table["partition"].to_numpy()).tolist():
            own = table.filter(pa.compute.equal(table["partition"], partition)).combine_chunks()
            for batch in own.to_batches(max_chunksize=rows):
                await producer.send_and_wait(settings.topics.samples, to_message(batch), partition=partition)
    finally:
        await producer.stop()


def two_partitions(n: int, **how: Any) -> pa.Table:
    """``samples_table`` with its rows dealt to partitions 0 and 1."""
    return samples_table(n, partition=np.arange(n, dtype=np.int32) % 2, offset=np.arange(n) // 2, **how)
