"""Which inputs moved a net's importance f(x): integrated gradients (Sundararajan et al., ICML 2017, eq. 1), exactly.

On the straight line from a baseline x' to the sample x,

    contribution_i = (x_i - x'_i) * integral over a in [0, 1] of d logit f / d x_i at x' + a (x - x').

There a net of rectified units is linear piece by piece, so the integral is a finite sum: a piece ends where a hidden
unit begins or ceases to speak, and no number of steps has to be chosen. Contributions add up to the difference of the
logits but for rounding (the paper's *completeness*), and an input that is as in the baseline contributes nothing.

The baseline is an average sample of the same event type of which nothing is known: user, item and category absent (row
0 of their tables), every number at its mean, the label unknown. Imports numpy alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.forward import IMPORTANCE, NetWeights, input_vectors
from models.inputs import EVENT_TYPE, Inputs

Floats = NDArray[np.float64]


class Attribution(NamedTuple):
    """Of one sample: logits of f, and what moved the one to the other.

    ``ids`` (3,): user, item, category, each embedding as one input; ``numbers`` (N,): in the order of ``inputs``.
    """

    logit: float
    baseline_logit: float
    ids: Floats
    numbers: Floats


class ImportanceLayers(NamedTuple):
    """The dense part as far as f depends on it, float64: sums of many small terms are to cancel."""

    w1: Floats
    b1: Floats
    w2: Floats
    b2: Floats
    w3: Floats
    b3: float


def attribute(weights: NetWeights, sample: Inputs) -> Attribution:
    """Contributions of the inputs of ``sample`` (one row) to logit f.

    Raises:
        ValueError: it has not exactly one row.
    """
    if len(sample.ids) != 1:
        raise ValueError(f"one sample at a time, not {len(sample.ids)}")
    x = input_vectors(weights, sample)[0].astype(np.float64)
    baseline = baseline_vector(weights, sample)
    layers = _layers(weights)
    each = (x - baseline) * _mean_gradient(layers, baseline, x)
    widths = [table.shape[1] for table in weights.tables]
    parts = np.split(each, np.cumsum(widths))
    ids = np.array([part.sum() for part in parts[:EVENT_TYPE]])
    return Attribution(_logit(layers, x), _logit(layers, baseline), ids, parts[-1])


def baseline_vector(weights: NetWeights, sample: Inputs) -> Floats:
    """x' (inputs,) for the event type of ``sample`` (one row)."""
    ids = np.zeros_like(sample.ids)
    ids[:, EVENT_TYPE] = sample.ids[:, EVENT_TYPE]
    found: Floats = input_vectors(weights, Inputs(ids, sample.numbers))[0].astype(np.float64)
    found[-len(weights.mean) :] = 0.0  # standardised: the mean; of error and flag, which are not: unknown
    return found


def _layers(weights: NetWeights) -> ImportanceLayers:
    w1, b1, w2, b2, w3, b3 = (array.astype(np.float64) for array in weights[-6:])
    return ImportanceLayers(w1, b1, w2, b2, w3[:, IMPORTANCE], float(b3[IMPORTANCE]))


def _logit(layers: ImportanceLayers, x: Floats) -> float:
    h1 = np.maximum(x @ layers.w1 + layers.b1, 0)
    h2 = np.maximum(h1 @ layers.w2 + layers.b2, 0)
    return float(h2 @ layers.w3) + layers.b3


def _mean_gradient(layers: ImportanceLayers, start: Floats, end: Floats) -> Floats:
    """Mean of d logit / d x (inputs,) over the line from ``start`` to ``end``."""
    at_start = start @ layers.w1 + layers.b1
    slope = (end - start) @ layers.w1
    edges = _edges(layers, at_start, slope)
    middles, lengths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    a1 = at_start + middles[:, None] * slope
    a2 = np.maximum(a1, 0) @ layers.w2 + layers.b2
    back = (((a2 > 0) * layers.w3) @ layers.w2.T) * (a1 > 0)
    mean: Floats = layers.w1 @ (lengths @ back)
    return mean


def _edges(layers: ImportanceLayers, at_start: Floats, slope: Floats) -> Floats:
    """Where the pieces begin and end, 0 and 1 among them, ascending."""
    moving = slope != 0
    crossings = -at_start[moving] / slope[moving]
    edges = np.unique(np.concatenate([[0.0, 1.0], crossings[(crossings > 0) & (crossings < 1)]]))
    a2 = np.maximum(at_start + edges[:, None] * slope, 0) @ layers.w2 + layers.b2  # linear between these edges
    before, after = a2[:-1], a2[1:]
    piece, unit = np.nonzero((before > 0) != (after > 0))
    share = before[piece, unit] / (before[piece, unit] - after[piece, unit])
    inner = edges[piece] + share * (edges[piece + 1] - edges[piece])
    every: Floats = np.unique(np.concatenate([edges, inner]))
    return every
