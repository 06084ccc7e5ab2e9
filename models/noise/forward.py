"""The noise model's logits in numpy: the meaning of an artifact, which every other implementation must reproduce.

With z (N,) the standardised, clipped evidence of one event, h its head and n its account's events so far, all in
float32, one rounding per operation:

    m = monotone_bias[h]
    for j in 0 .. N-1:
        part = 0
        for k in 0 .. K-1:   part += monotone[h, j, k] * max(z[j] - knots[k], 0)
        for k in 0 .. K-1:   part += monotone[h, j, K + k] * max(-z[j] - knots[k], 0)
        m += part

    x = [z[0] / 3, ..., z[N-1] / 3, 1 where a head is h, else 0 (3 of them), float32(log1p(n)) / 4]
    a1 = b1;  for i in 0 .. len(x)-1:  a1 += x[i] * w1[i]       (w1: (inputs, hidden1))
    h1 = max(a1, 0)
    a2 = b2;  for i:                   a2 += h1[i] * w2[i]      (w2: (hidden1, hidden2))
    h2 = max(a2, 0)
    q  = b3;  for i:                   q  += h2[i] * w3[i]      (w3: (hidden2,))

    logit = 0.5 * (m + q)

log1p is that of a double. The second stage, of what is mixed (``NOISE_MIXED``, float32):

    o = mix[h, 0] * mixed[0];  for c in 1 ..:  o += mix[h, c] * mixed[c]

Terms with a factor of 0 can be skipped. Imports numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.forward import BLOCK, affine

Floats = NDArray[np.float32]
Tensors = Mapping[str, Floats]
"""By the names in the formulas."""

REACH = np.float32(3.0)
"""The net's inputs are within 2: standardised evidence is clipped at 6."""
LONG = np.float32(4.0)
MANY = 1 << 12
"""Events at a time in the monotone part, whose columns are summed one by one."""


def logits(tensors: Tensors, evidence: Floats, head: NDArray[Any], events: NDArray[Any]) -> Floats:
    """First stage (n,) of ``evidence`` (n, N), ``head`` (n,) and ``events`` (n,), independent of the batch."""
    return np.float32(0.5) * (monotone_logits(tensors, evidence, head) + net_logits(tensors, evidence, head, events))


def monotone_logits(tensors: Tensors, evidence: Floats, head: NDArray[Any]) -> Floats:
    """m (n,)."""
    found = [_monotone(tensors, evidence[at : at + MANY], head[at : at + MANY]) for at in range(0, len(evidence), MANY)]
    return np.concatenate(found) if found else np.empty(0, np.float32)


def signal_parts(tensors: Tensors, evidence: Floats, head: NDArray[Any]) -> NDArray[np.float64]:
    """What every signal adds to m, (n, N); with ``monotone_bias[head]`` they sum up to it, but for rounding."""
    knots, weight = tensors["knots"], tensors["monotone"].astype(np.float64)
    over = np.maximum(np.concatenate([evidence[..., None] - knots, -evidence[..., None] - knots], axis=-1), 0)
    parts: NDArray[np.float64] = np.einsum("njk,njk->nj", weight[head], over)
    return parts


def net_logits(tensors: Tensors, evidence: Floats, head: NDArray[Any], events: NDArray[Any]) -> Floats:
    """q (n,)."""
    heads, found = len(tensors["w1"]) - evidence.shape[1] - 1, []
    for at in range(0, len(evidence), BLOCK):
        some = slice(at, at + BLOCK)
        x = _inputs(evidence[some], head[some], events[some], heads)
        h1 = np.maximum(affine(x, tensors["w1"], tensors["b1"]), 0)
        h2 = np.maximum(affine(h1, tensors["w2"], tensors["b2"]), 0)
        found.append(affine(h2, tensors["w3"][:, None], tensors["b3"])[:, 0])
    return np.concatenate(found) if found else np.empty(0, np.float32)


def ages(events: NDArray[Any]) -> Floats:
    """The net's last input (n,)."""
    known, which = np.unique(events, return_inverse=True)
    found: Floats = np.array([math.log1p(value) for value in known.tolist()], np.float32)[which] / LONG
    return found


def log_ratios(mix: Floats, mixed: Floats, head: NDArray[Any]) -> Floats:
    """Second stage o (n,) of ``mix`` (heads, M), ``mixed`` (n, M) and ``head`` (n,)."""
    total: Floats = mix[head, 0] * mixed[:, 0]
    for column in range(1, mix.shape[1]):
        total += mix[head, column] * mixed[:, column]
    return total


def _inputs(evidence: Floats, head: NDArray[Any], events: NDArray[Any], heads: int) -> Floats:
    """x (n, N + heads + 1)."""
    one_hot = np.eye(heads, dtype=np.float32)[head]
    return np.concatenate([evidence / REACH, one_hot, ages(events)[:, None]], axis=1)


def _monotone(tensors: Tensors, evidence: Floats, head: NDArray[Any]) -> Floats:
    knots, weight = tensors["knots"], tensors["monotone"]
    total: Floats = tensors["monotone_bias"][head]
    for j, z in enumerate(np.ascontiguousarray(evidence.T)):
        part = np.zeros_like(total)
        for k in np.flatnonzero(weight[:, j].any(axis=0)):
            side, knot = (z, knots[k]) if k < len(knots) else (-z, knots[k - len(knots)])
            part += weight[:, j, k][head] * np.maximum(side - knot, 0)
        total += part
    return total
