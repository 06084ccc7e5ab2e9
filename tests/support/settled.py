"""Made-up settled samples with a signal in them, and noise whose labels say the opposite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import RAW_FACTORS
from sie_online.evaluation.compare.settled import Settled

WINDOW_MS = 60_000
USERS = 200


def settled(n: int = 6_000, *, noise: float = 0.0, seed: int = 0) -> tuple[Settled, NDArray[np.bool_]]:
    """``n`` samples, one a second, and which of them are noise: of the first tenth of the users, by share ``noise``.

    The label follows feature 0 (one of ten bins) and the item; of noise it follows them the wrong
    way round. Weights are 1, factors 0.
    """
    rng = np.random.default_rng(seed)
    is_noise = rng.random(n) < noise
    user = np.where(is_noise, rng.integers(0, USERS // 10, n), rng.integers(USERS // 10, USERS, n))
    item = rng.integers(0, 50, n)
    level = rng.integers(0, 10, n)
    taste = np.where(item % 2 == 0, 1.0, -1.0)
    logit = 0.5 * (level - 4.5) + taste
    label = (rng.random(n) < 1 / (1 + np.exp(np.where(is_noise, logit, -logit)))).astype(np.int8)
    features = np.stack([1 + level, 11 + rng.integers(0, 5, n)], axis=1).astype(np.uint32)
    time_ms = 1_500_000_000_000 + 1_000 * np.arange(n)
    samples = Settled(
        partition=np.zeros(n, np.int32),
        offset=np.arange(n),
        event_time_ms=time_ms,
        settled_ms=time_ms + WINDOW_MS,
        label=label,
        weight=np.ones(n),
        noise_probability=np.zeros(n),
        user=user,
        item=item,
        category=item % 5,
        features=features,
        factors=np.zeros((n, len(RAW_FACTORS))),
    )
    return samples, is_noise


def weighted(samples: Settled, weight: NDArray[Any]) -> Settled:
    """``samples`` with these weights, which factor ``noise`` gives."""
    factors = np.zeros_like(samples.factors)
    factors[:, RAW_FACTORS.index("noise")] = np.log(weight)
    return replace(samples, weight=weight.astype(np.float64), factors=factors)
