"""What f(x) learns: how useful a sample was, in hindsight, as a target in (0, 1) per sample.

Target ``influence``: a step on sample i changes the loss L of the next time slice by -g_i . H^-1 grad L to first
order (Koh & Liang 2017, eq. 2; with H the identity it is TracIn, Pruthi et al. 2020, eq. 1). For the last layer of the
label's head the gradient is closed, g_i = (p_i - y_i) * [h_i, 1], and so is H = mean p (1 - p) [h, 1] [h, 1]^T + ridge:

    a_i = (p_i - y_i) * [h_i, 1] . H^-1 mean over j in the next slice of (p_j - y_j) * [h_j, 1]

is positive where learning sample i would have helped to predict what came next. The mean and H weigh samples by their
trust, 1 - P(noise): bots are easily predicted from bots, and nobody wants that.

Two more choices are measured ones. p is what the recommender stated *before* it learned the sample: the net's own p has
seen the next slice in training, its gradient there is noise, and that target changed sign from slice to slice. And
without H the alignment is ruled by the few directions in which all samples agree.

Popular items and busy users align with everything, and when the positive rate drifts whole classes do; what counts and
label explain is taken out by least squares within each slice (``residual``). With the label left in, weights would
shift every subscriber's calibration.

Whatever the target, its raw values are standardised per slice, bounded, and squashed by a sigmoid.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GAIN = 3.0
"""Logits per standard deviation: few samples carry most of the deviation, and the others should differ too."""
BOUND = 4.0
"""Largest logit of a target."""
DAMPING = 0.1
"""Ridge of H as a share of its mean diagonal: directions that hardly occur get no say."""
RIDGE = 1e-6
"""Keeps the least squares solvable where a count is the same everywhere."""
LEAST_DEVIATION = 1e-12


def alignment(hidden: Tensor, probability: Tensor, label: Tensor, trust: Tensor, edges: list[int]) -> Tensor:
    """a (n,) by the formula above; NaN in the last slice, which has no next.

    hidden (n, H), probability, label, trust (n,), all float32, in chronological order; slice s is
    [edges[s], edges[s+1]).
    """
    error = probability - label
    inputs = torch.cat([hidden, torch.ones_like(error).unsqueeze(1)], dim=1)
    curvature = _curvature(inputs, trust * probability * (1.0 - probability), trust)
    found = torch.full_like(error, float("nan"))
    for (first, last), (next_first, next_last) in pairwise(pairwise(edges)):
        ahead = slice(next_first, next_last)
        gradient = (error[ahead] * trust[ahead]) @ inputs[ahead] / trust[ahead].sum().clamp_min(LEAST_DEVIATION)
        direction = torch.linalg.solve(curvature, gradient.double()).to(inputs.dtype)
        found[first:last] = error[first:last] * (inputs[first:last] @ direction)
    return found


def _curvature(inputs: Tensor, weight: Tensor, trust: Tensor) -> Tensor:
    """H (H + 1, H + 1) float64 of the logistic loss, with its ridge."""
    square = (inputs.T @ (inputs * weight.unsqueeze(1))).double() / trust.sum().clamp_min(LEAST_DEVIATION)
    ridge = (DAMPING * square.diagonal().mean()).clamp_min(LEAST_DEVIATION)
    return square + ridge * torch.eye(len(square), dtype=square.dtype, device=square.device)


def residual(values: Tensor, causes: Tensor, edges: list[int]) -> Tensor:
    """``values`` (n,) less what ``causes`` (n, C) explain linearly within each slice."""
    left = values.clone()
    for first, last in pairwise(edges):
        some = values[first:last].double()
        known = torch.cat([causes[first:last].double(), torch.ones_like(some).unsqueeze(1)], dim=1)
        square = known.T @ known + RIDGE * torch.eye(known.shape[1], dtype=known.dtype, device=known.device)
        explained = known @ torch.linalg.solve(square, known.T @ some)
        left[first:last] = (some - explained).to(left.dtype)
    return left


def target(values: Tensor, edges: list[int]) -> Tensor:
    """In (0, 1): the sigmoid of ``values`` (n,) standardised per slice, stretched and bounded; NaN stays NaN."""
    found = torch.empty_like(values)
    for first, last in pairwise(edges):
        some = values[first:last]
        deviation = some.std(correction=0).clamp_min(LEAST_DEVIATION)
        found[first:last] = torch.sigmoid((GAIN * (some - some.mean()) / deviation).clamp(-BOUND, BOUND))
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
