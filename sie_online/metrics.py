"""How well scores rank positives above negatives, how values are spread, what a mean difference is good for.

Numpy alone: ``models`` may import it, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_CLUSTERS = 5
"""Fewer say nothing of how far others would be apart."""


class ClusteredMean(NamedTuple):
    """A mean, and what it is at least at a level of confidence: -inf where too few clusters say so."""

    mean: float
    lower: float
    clusters: int


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


def counted_auc(positive: NDArray[Any], level: NDArray[np.intp], times: NDArray[Any]) -> float:
    """``auc`` where a sample counts as if it were there ``times`` (n,): of a draw with replacement, say.

    ``level`` (n,) are places in the order of scores, from 0, ties sharing one (``np.unique``'s inverse): many draws
    need one sort. ``positive`` (n,) of bool.

    >>> counted_auc(np.array([False, True, False, True]), np.array([0, 1, 1, 2]), np.array([1, 1, 2, 1]))
    0.8333333333333334
    """
    hits, misses = (np.bincount(level, times * one) for one in (positive, ~positive))
    pairs = hits.sum() * misses.sum()
    return float(hits @ (np.cumsum(misses) - misses / 2) / pairs) if pairs else float("nan")


def quantiles(values: NDArray[Any], shares: Iterable[float]) -> dict[str, float]:
    """The value below which each of ``shares`` lies, by the share as text. NaN is no value; none have no quantiles."""
    known = values[~np.isnan(values)]
    return {f"{share:g}": float(np.quantile(known, share)) for share in shares} if len(known) else {}


def clustered_mean(values: NDArray[Any], cluster: NDArray[Any], level: float) -> ClusteredMean:
    """The mean of ``values`` (n,) and its one-sided lower confidence bound at ``level`` in (0, 1).

    Values of one ``cluster`` (n,), a user's say, may depend on each other in any way; only clusters are independent.
    With n_g values of cluster g that sum to S_g, n values and G clusters in all,

        var = (G - 1) / G  sum_g ((S_g - n_g mean) / (n - n_g))^2,    lower = mean - t(level, G - 1) sqrt(var),

    the jackknife that leaves out one cluster at a time, which holds its level where sizes differ much, too (Bell &
    McCaffrey 2002; CV3 of MacKinnon, Nielsen & Webb, J. Econometrics 232, 2023). Clusters of one value each make it
    Student's. For the difference of two predictions, ``values`` are the paired differences of their losses.

    >>> alone = clustered_mean(np.array([1.0, 1.0, 3.0, 3.0, 2.0, 2.0]), np.arange(6), 0.95)
    >>> alone.mean, round(alone.lower, 3), alone.clusters
    (2.0, 1.264, 6)
    """
    _, group = np.unique(cluster, return_inverse=True)
    size = np.bincount(group).astype(np.float64)
    n_clusters = len(size)
    if not n_clusters:
        return ClusteredMean(math.nan, -math.inf, 0)
    mean = float(np.bincount(group, values).sum() / len(values))
    if n_clusters < LEAST_CLUSTERS:
        return ClusteredMean(mean, -math.inf, n_clusters)
    left_out = np.bincount(group, values - mean) / (len(values) - size)
    deviation = math.sqrt(float(np.square(left_out).sum()) * (n_clusters - 1) / n_clusters)
    return ClusteredMean(mean, mean - _student(level, n_clusters - 1) * deviation, n_clusters)


def _student(level: float, freedom: int) -> float:
    """Student's quantile by Fisher's expansion (Abramowitz & Stegun 26.7.5): to .002 at 4 degrees and level .95."""
    z = NormalDist().inv_cdf(level)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + math.fsum(term / float(freedom) ** (nth + 1) for nth, term in enumerate(terms))
