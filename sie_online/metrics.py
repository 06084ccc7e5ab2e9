"""How well scores rank positives above negatives, how values are spread. Numpy alone: ``models`` may import it, too."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def auc(positive: NDArray[Any], score: NDArray[Any]) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative, ties counting half.

    ``positive`` (n,) of bool or 0/1, ``score`` (n,) finite; NaN where one class is absent. River's ``ROCAUC`` is
    an approximation on a fixed grid of thresholds, of no use for probabilities crowded near zero.

    >>> auc(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    positive = positive.astype(np.bool_)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if not n_positive or not n_negative:
        return float("nan")
    _, level, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2
    above = rank[level][positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))


def quantiles(values: NDArray[Any], shares: Iterable[float]) -> dict[str, float]:
    """The value below which each of ``shares`` lies, by the share as text. NaN is no value; none have no quantiles."""
    known = values[~np.isnan(values)]
    return {f"{share:g}": float(np.quantile(known, share)) for share in shares} if len(known) else {}
