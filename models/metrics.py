"""Figures about predictions and weights, in plain numpy: deterministic, and tested against their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sie_online.metrics import ClusteredMean, auc, clustered_mean

__all__ = [
    "ClusteredMean",
    "auc",
    "calibration",
    "clustered_mean",
    "correlation",
    "decisions",
    "effective_share",
    "gauc",
    "log_loss",
    "log_losses",
]

CLIP = 1e-6
"""Probabilities are kept this far from 0 and 1 by ``log_losses``."""

Array = NDArray[Any]


def log_losses(label: Array, probability: Array) -> NDArray[np.float64]:
    """-log P(y) of each: ``label`` (n,) of 0/1, ``probability`` (n,) of 1."""
    p = np.clip(probability.astype(np.float64), CLIP, 1.0 - CLIP)
    return -np.where(label == 1, np.log(p), np.log1p(-p))


def log_loss(label: Array, probability: Array) -> float:
    """Mean of ``log_losses``."""
    return float(log_losses(label, probability).mean())


def gauc(label: Array, score: Array, group: Array) -> float:
    """AUC within each group that has both classes, weighted by its size (Zhu et al. 2017); NaN where none has.

    label, score, group (n,). Ranks of all groups come from one sort.
    """
    _, which = np.unique(group, return_inverse=True)
    order = np.lexsort((score, which))
    g, s, y = which[order], score[order], (label[order] == 1)
    if not len(g):
        return float("nan")
    new_group = np.diff(g, prepend=-1) != 0
    new_level = new_group | (np.diff(s, prepend=np.nan) != 0)
    level = np.cumsum(new_level) - 1
    count = np.bincount(level)
    middle = np.cumsum(count) - (count - 1) / 2  # mean rank of each level, from 1 over all groups
    begins = np.flatnonzero(new_group)[np.cumsum(new_group) - 1]
    rank = middle[level] - begins
    size, positive = np.bincount(g).astype(float), np.bincount(g, y)
    negative = size - positive
    both = (positive > 0) & (negative > 0)
    if not both.any():
        return float("nan")
    above = np.bincount(g, rank * y) - positive * (positive + 1) / 2
    within = above[both] / (positive[both] * negative[both])
    return float(np.average(within, weights=size[both]))


def calibration(label: Array, probability: Array) -> float:
    """Mean probability over positive rate; NaN without positives."""
    positives = float((label == 1).sum())
    return float(probability.sum(dtype=np.float64)) / positives if positives else float("nan")


def effective_share(weight: Array) -> float:
    """Kish's effective sample size (sum w)^2 / sum w^2 as a share of n; 0 where all weights are 0."""
    total = weight.astype(np.float64)
    squares = float(np.square(total).sum())
    return float(total.sum()) ** 2 / squares / len(total) if squares > 0 else 0.0


def decisions(label: Array, probability: Array, threshold: float, item: Array) -> dict[str, float]:
    """What follows from calling positive what has at least ``threshold``.

    accuracy, precision and recall as usual (NaN where undefined); coverage: the share of all items (n,) that occur
    among those called positive.
    """
    called, positive = probability >= threshold, label == 1
    hits = float((called & positive).sum())
    n_called, n_positive = float(called.sum()), float(positive.sum())
    return {
        "accuracy": float((called == positive).mean()),
        "precision": hits / n_called if n_called else float("nan"),
        "recall": hits / n_positive if n_positive else float("nan"),
        "coverage": len(np.unique(item[called])) / len(np.unique(item)),
    }


def correlation(a: Array, b: Array) -> float:
    """Pearson's correlation; NaN where either does not vary."""
    x, y = a.astype(np.float64) - a.mean(dtype=np.float64), b.astype(np.float64) - b.mean(dtype=np.float64)
    scale = float(np.sqrt(np.square(x).sum() * np.square(y).sum()))
    return float((x * y).sum()) / scale if scale > 0 else float("nan")
