"""What f(x) learns: how useful a sample was, in hindsight, as a target in (0, 1) per sample.

Target ``influence``: a step of gradient descent on sample i changes the loss L of the next time slice by
-rate * g_i . grad L to first order (TracIn; Pruthi et al. 2020, eq. 1), and for the last layer of the label's head
the gradient is closed: g_i = (p_i - y_i) * [h_i, 1]. So the alignment

    a_i = (p_i - y_i) * [h_i, 1] . mean over j in the next slice of (p_j - y_j) * [h_j, 1]

is positive where learning sample i would have helped to predict what came next. Popular items and busy users align
with everything; what their counts explain is taken out by least squares within each slice (``residual``).

Whatever the target, its raw values are standardised per slice, bounded, and squashed by a sigmoid.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BOUND = 4.0
"""Standard deviations that one sample can count for."""
RIDGE = 1e-6
"""Keeps the least squares solvable where a count is the same everywhere."""
LEAST_DEVIATION = 1e-12


def alignment(hidden: Tensor, probability: Tensor, label: Tensor, edges: list[int]) -> Tensor:
    """a (n,) by the formula above; NaN in the last slice, which has no next.

    hidden (n, H), probability (n,), label (n,), all float32, in chronological order; slice s is
    [edges[s], edges[s+1]).
    """
    error = probability - label
    gradient = torch.cat([hidden, torch.ones_like(error).unsqueeze(1)], dim=1) * error.unsqueeze(1)
    found = torch.full_like(error, float("nan"))
    for (first, last), (next_first, next_last) in pairwise(pairwise(edges)):
        found[first:last] = gradient[first:last] @ gradient[next_first:next_last].mean(dim=0)
    return found


def residual(values: Tensor, counts: Tensor, edges: list[int]) -> Tensor:
    """``values`` (n,) less what ``counts`` (n, C) explain linearly within each slice."""
    left = values.clone()
    for first, last in pairwise(edges):
        some = values[first:last].double()
        known = torch.cat([counts[first:last].double(), torch.ones_like(some).unsqueeze(1)], dim=1)
        square = known.T @ known + RIDGE * torch.eye(known.shape[1], dtype=known.dtype, device=known.device)
        explained = known @ torch.linalg.solve(square, known.T @ some)
        left[first:last] = (some - explained).to(left.dtype)
    return left


def target(values: Tensor, edges: list[int]) -> Tensor:
    """In (0, 1): the sigmoid of ``values`` (n,) standardised per slice and bounded; NaN stays NaN."""
    found = torch.empty_like(values)
    for first, last in pairwise(edges):
        some = values[first:last]
        deviation = some.std(correction=0).clamp_min(LEAST_DEVIATION)
        found[first:last] = torch.sigmoid(((some - some.mean()) / deviation).clamp(-BOUND, BOUND))
    return found


def slice_edges(n: int, slices: int) -> list[int]:
    """Bounds of at most ``slices`` slices of nearly equal size of n samples, none empty.

    >>> slice_edges(10, 3)
    [0, 3, 6, 10]
    """
    slices = max(1, min(slices, n))
    return [n * which // slices for which in range(slices + 1)]


def log_counts(*keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """log(1 + how often its key occurs) per sample and key, (n, number of keys)."""
    found = []
    for key in keys:
        _, which, count = np.unique(key, return_inverse=True, return_counts=True)
        found.append(np.log1p(count[which]).astype(np.float32))
    return np.stack(found, axis=1)
