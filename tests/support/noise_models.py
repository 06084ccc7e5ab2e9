"""Noise models of random weights for the evidence that shards compute, as arrays and as versions to be announced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models.manifest import Manifest
from models.noise.artifact import canary_of, encode_noise
from sie_online.announcements import NOISE
from sie_online.contracts import NOISE_HEADS
from sie_online.importance.noise.evidence import N_SIGNALS, evidence_hash
from sie_online.importance.noise.model import N_HEADS, NoiseArrays, default_noise, new_noise
from streams.model_registry.artifacts import artifact_name
from tests.support.versions import made_version, new_version

HIDDEN = 6


def random_noise_model(seed: int = 0) -> NoiseArrays:
    """What is ordinary as in the default, and opinions at random: strong ones, so that every P moves."""
    rng, default = np.random.default_rng(seed), default_noise()
    tensors = default._asdict() | {
        "location": default.location + rng.normal(0, 0.3, default.location.shape),
        "monotone": rng.uniform(0, 0.2, default.monotone.shape),
        "w1": rng.normal(0, 0.3, (N_SIGNALS + N_HEADS + 1, HIDDEN)),
        "b1": rng.normal(0, 0.3, HIDDEN),
        "w2": rng.normal(0, 0.3, (HIDDEN, HIDDEN)),
        "b2": rng.normal(0, 0.3, HIDDEN),
        "w3": rng.normal(0, 0.3, HIDDEN),
        "mix": rng.uniform(0.2, 0.6, default.mix.shape),
    }
    return new_noise(tensors, N_SIGNALS)


def random_noise_version(seed: int = 0) -> tuple[bytes, Manifest]:
    """Artifact and manifest of such a model, as if a gate had let it pass."""
    rng, tensors = np.random.default_rng(seed), random_noise_model(seed)._asdict()
    evidence = np.clip(rng.normal(0, 2, (8, N_SIGNALS)), -6, 6).astype(np.float32)
    head = (np.arange(8) % len(NOISE_HEADS)).astype(np.int8)
    contents = encode_noise(tensors, canary_of(tensors, evidence, head, np.arange(1, 9, dtype=np.float32)))
    version = new_version()
    return contents.data, replace(
        made_version(version)[1],
        model=NOISE,
        uri=artifact_name(version, NOISE),
        size=len(contents.data),
        sha256=contents.sha256,
        tensors=contents.tensors,
        feature_schema_hash=evidence_hash(),
        mean_f=1.0,
    )
