"""Nets of random weights for the features that shards compute, as weights and as versions that can be announced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from models import forward, inputs
from models.manifest import Manifest
from models.snapshot import Canary, encode_net
from sie_online.contracts import EVENT_TYPES
from sie_online.features import N_DENSE, schema_hash
from streams.model_registry.artifacts import artifact_name
from tests.support.versions import made_version, new_version

BUCKETS = inputs.Buckets(50, 60, 20)
DIM, TYPE_DIM = 4, 2
N_NUMBERS = N_DENSE + inputs.N_SCORES


def random_weights(seed: int = 0, hidden: tuple[int, int] = (24, 12)) -> forward.NetWeights:
    """A small net of random weights."""
    rng = np.random.default_rng(seed)
    width = 3 * DIM + TYPE_DIM + N_NUMBERS
    tables = [*((buckets, DIM) for buckets in BUCKETS), (len(EVENT_TYPES), TYPE_DIM)]
    layers = [(width, hidden[0]), hidden[:1], hidden, hidden[1:], (hidden[1], 2), (2,)]
    shapes = [*tables, (N_NUMBERS,), (N_NUMBERS,), *layers]
    return forward.NetWeights(*(rng.normal(0, 0.4, shape).astype(np.float32) for shape in shapes))


def random_version(seed: int = 0) -> tuple[bytes, Manifest]:
    """Artifact and manifest of such a net, as if a gate had let it pass."""
    rng, weights = np.random.default_rng(seed), random_weights(seed)
    ids = rng.integers(0, [*BUCKETS, len(EVENT_TYPES)], (8, inputs.IDS)).astype(np.int32)
    some = inputs.Inputs(ids, rng.normal(size=(8, N_NUMBERS)).astype(np.float32))
    contents = encode_net(weights, Canary(some, forward.scores(weights, some)))
    version = new_version()
    return contents.data, replace(
        made_version(version)[1],
        uri=artifact_name(version),
        size=len(contents.data),
        sha256=contents.sha256,
        tensors=contents.tensors,
        feature_schema_hash=schema_hash(),
        mean_f=0.5,
    )
