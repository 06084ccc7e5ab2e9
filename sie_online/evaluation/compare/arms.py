"""Weightings to train with: what was published, controls, and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sie_online.contracts import RAW_FACTORS
from sie_online.evaluation.compare.settled import Floats, Settled

SEEDS = 5
"""Of whatever is random."""
UNIFORM, PUBLISHED, PERMUTED = "uniform", "published", "permuted"


class Arm(NamedTuple):
    """A weighting of n samples: ``weights`` (n,) for each seed; only one where it is the same for all."""

    name: str
    weights: Sequence[Floats]


def arms(samples: Settled) -> list[Arm]:
    """Uniform, published and permuted weights, then each factor alone and, where there are several, left out.

    Permuted weights have the same histogram among positives and among negatives, and know nothing: what a weighting
    gains beyond them is what its weights know. Factors that are 1 everywhere have no arm. All have mean 1: the mean is
    a step size, no preference.
    """
    found = [
        Arm(UNIFORM, [np.ones(len(samples))]),
        Arm(PUBLISHED, [normalised(samples.weight)]),
        Arm(PERMUTED, [permuted(normalised(samples.weight), samples, seed) for seed in range(SEEDS)]),
    ]
    active = np.flatnonzero((samples.factors != 0.0).any(axis=0)).tolist()
    total = samples.factors.sum(axis=1)
    alone = {f"{RAW_FACTORS[at]} alone": samples.factors[:, at] for at in active}
    without = {f"without {RAW_FACTORS[at]}": total - samples.factors[:, at] for at in active if len(active) > 1}
    found += [Arm(name, [normalised(np.exp(log))]) for name, log in (alone | without).items()]
    return found


def permuted(weight: Floats, samples: Settled, seed: int) -> Floats:
    """``weight`` shuffled among the samples of each label."""
    rng, out = np.random.default_rng(seed), weight.copy()
    for label in (0, 1):
        rows = np.flatnonzero(samples.label == label)
        out[rows] = weight[rng.permutation(rows)]
    return out


def normalised(weight: Floats) -> Floats:
    """With mean 1."""
    scaled: Floats = weight / weight.mean()
    return scaled
