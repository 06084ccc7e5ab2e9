"""Examples of noise with planted signals, and noise models of random weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.noise.artifact import NoiseCanary, canary_of
from models.noise.examples import Examples, joined
from models.settings import NoiseFit
from sie_online.contracts import NOISE_HEADS, NOISE_MIXED

SIGNALS = 8
PLANTED = (0, 1, 2)
"""Signals that polluting behaviours raise; innocent ones raise the next three."""
STRATA, KNOTS, HIDDEN = 9, 3, (6, 4)
QUICK = NoiseFit(device="cpu", epochs=8, hidden1=8, hidden2=4)


def made_examples(
    seed: int = 0, *, noise: int = 12, innocent: int = 6, ordinary: int = 6, rows: int = 150, first: int = 0
) -> Examples:
    """So many groups of ``rows`` each, all with one raised signal but the ordinary; heads as in `NOISE_HEADS`."""
    rng = np.random.default_rng(seed)
    planted = [*([(True, False)] * noise), *([(False, True)] * innocent), *([(False, False)] * ordinary)]
    return joined([_group(rng, first + k, *each, rows) for k, each in enumerate(planted)])


def _group(rng: np.random.Generator, number: int, noise: bool, innocent: bool, rows: int) -> Examples:
    evidence = rng.normal(size=(rows, SIGNALS)).astype(np.float32)
    if noise or innocent:
        evidence[:, number % 3 + (0 if noise else 3)] += 3
    return Examples(
        np.clip(evidence, -6, 6),
        rng.integers(0, len(NOISE_HEADS), rows).astype(np.int8),
        rng.integers(1, 500, rows).astype(np.float32),
        np.full(rows, noise),
        np.full(rows, innocent),
        np.full(rows, number, np.int64),
    )


def random_noise(seed: int = 0, signals: int = SIGNALS) -> dict[str, NDArray[np.float32]]:
    """Every tensor of a noise model, by name."""
    rng, heads, (hidden1, hidden2) = np.random.default_rng(seed), len(NOISE_HEADS), HIDDEN
    found = {
        "location": rng.normal(size=(STRATA, signals)),
        "scale": rng.uniform(0.5, 2, (STRATA, signals)),
        "support": rng.uniform(0, 100, STRATA),
        "knots": np.array([0.5, 1.5, 3.0]),
        "monotone": rng.uniform(0, 0.5, (heads, signals, 2 * KNOTS)) * (rng.random((heads, signals, 2 * KNOTS)) < 0.7),
        "monotone_bias": rng.normal(size=heads),
        "w1": rng.normal(0, 0.4, (signals + heads + 1, hidden1)),
        "b1": rng.normal(0, 0.4, hidden1),
        "w2": rng.normal(0, 0.4, (hidden1, hidden2)),
        "b2": rng.normal(0, 0.4, hidden2),
        "w3": rng.normal(0, 0.4, hidden2),
        "b3": rng.normal(0, 0.4, 1),
        "mix": rng.uniform(0.1, 1, (heads, len(NOISE_MIXED))),
        "share": np.full(heads, 0.01),
        "ordinary": np.tile([-1.0, -1.5], (heads, 1)),
    }
    return {name: array.astype(np.float32) for name, array in found.items()}


def random_canary(tensors: dict[str, NDArray[np.float32]], rows: int = 64) -> NoiseCanary:
    """Of ``tensors``, for made examples."""
    some = made_examples(3, noise=2, innocent=1, ordinary=1).take(np.arange(0, 600, 600 // rows)[:rows])
    return canary_of(tensors, some.evidence, some.head, some.events)
