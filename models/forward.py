"""The net's scores in numpy: the meaning of an artifact, which every other implementation must reproduce.

With x the input vector of one sample (``inputs``), all in float32, one rounding per multiplication and per addition:

    a1 = b1;  for i in 0 .. len(x)-1:  a1 += x[i] * W1[i]      (W1: (inputs, hidden1))
    h1 = max(a1, 0)
    a2 = b2;  for i:                   a2 += h1[i] * W2[i]     (W2: (hidden1, hidden2))
    h2 = max(a2, 0)
    z  = b3;  for i:                   z  += h2[i] * W3[i]     (W3: (hidden2, 2); column 0 label, 1 importance)
    score = 1 / (1 + exp(-z))                                   in float64

The loops run over inputs and add to all outputs at once: that vectorises over outputs without reordering any sum, so
no score depends on the batch or on the width of a machine's registers, and terms with h[i] = 0 can be skipped.
Imports numpy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.errors import ArtifactError
from models.inputs import IDS, N_SCORES, Buckets, Inputs, Standard, standardised

LABEL, IMPORTANCE = range(2)
N_HEADS = 2
LARGEST_LAYER = 1 << 14
"""No layer is wider: what scoring one event costs must not depend on who wrote the net."""
BLOCK = 256
"""Samples at a time: their hidden layers stay in the processor's cache."""


class NetWeights(NamedTuple):
    """The tensors of a net, float32; names in an artifact are in ``NAMES``."""

    user: NDArray[np.float32]
    item: NDArray[np.float32]
    category: NDArray[np.float32]
    event_type: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    w1: NDArray[np.float32]
    b1: NDArray[np.float32]
    w2: NDArray[np.float32]
    b2: NDArray[np.float32]
    w3: NDArray[np.float32]
    b3: NDArray[np.float32]

    @property
    def tables(self) -> tuple[NDArray[np.float32], ...]:
        return self.user, self.item, self.category, self.event_type

    @property
    def buckets(self) -> Buckets:
        return Buckets(len(self.user), len(self.item), len(self.category))

    @property
    def standard(self) -> Standard:
        return Standard(self.mean, self.scale)

    @property
    def n_dense(self) -> int:
        """Length of the ``dense`` column this net was trained on."""
        return len(self.mean) - N_SCORES


NAMES = (
    "embed.user",
    "embed.item",
    "embed.category",
    "embed.event_type",
    "numbers.mean",
    "numbers.scale",
    "body.1.weight",
    "body.1.bias",
    "body.2.weight",
    "body.2.bias",
    "heads.weight",
    "heads.bias",
)
"""Names of the tensors in an artifact, in the order of ``NetWeights``."""
_DIMENSIONS = {name: 2 if name.startswith("embed.") or name.endswith(".weight") else 1 for name in NAMES}


def weights_of(tensors: Mapping[str, NDArray[Any]]) -> NetWeights:
    """The net in ``tensors``.

    Raises:
        ArtifactError: a tensor is missing, is not float32, or does not fit the others; the message names it.
    """
    for name in NAMES:
        if name not in tensors:
            raise ArtifactError(f"tensor {name!r} is missing: this is no importance net")
        if tensors[name].dtype != np.float32:
            raise ArtifactError(f"tensor {name!r} is {tensors[name].dtype}, not float32")
        if tensors[name].ndim != _DIMENSIONS[name]:
            raise ArtifactError(f"tensor {name!r} has shape {tensors[name].shape}, of {_DIMENSIONS[name]} sizes it is")
        if max(tensors[name].shape[-1:]) > LARGEST_LAYER:
            raise ArtifactError(f"tensor {name!r} has shape {tensors[name].shape}, wider than {LARGEST_LAYER}")
    weights = NetWeights(*(tensors[name] for name in NAMES))
    for name, found, expected in _shapes(weights):
        if found != expected:
            raise ArtifactError(f"tensor {name!r} has shape {found}, which does not fit the others: {expected} would")
    return weights


def tensors_of(weights: NetWeights) -> dict[str, NDArray[np.float32]]:
    """``weights`` under their names in an artifact."""
    return dict(zip(NAMES, weights, strict=True))


def scores(weights: NetWeights, inputs: Inputs) -> NDArray[np.float64]:
    """P(label) and importance f, (n, 2) in [0, 1], in the order of operations above: independent of the batch."""
    x = input_vectors(weights, inputs)
    z = [_logits(weights, x[at : at + BLOCK]) for at in range(0, len(x), BLOCK)]
    return sigmoid(np.concatenate(z) if z else np.empty((0, N_HEADS), np.float32))


def scores_fast(weights: NetWeights, inputs: Inputs) -> NDArray[np.float64]:
    """The same up to rounding, with matrix products: for judging many samples, never for publishing."""
    found = []
    with np.errstate(over="ignore", invalid="ignore"):  # of a runaway net: its scores tell, not a warning
        for at in range(0, len(inputs.ids), 16 * BLOCK):
            block = slice(at, at + 16 * BLOCK)
            some = Inputs(inputs.ids[block], inputs.numbers[block])
            h1 = np.maximum(input_vectors(weights, some) @ weights.w1 + weights.b1, 0)
            h2 = np.maximum(h1 @ weights.w2 + weights.b2, 0)
            found.append(logistic((h2 @ weights.w3 + weights.b3).astype(np.float64)))
    return np.concatenate(found) if found else np.empty((0, N_HEADS))


def input_vectors(weights: NetWeights, inputs: Inputs) -> NDArray[np.float32]:
    """x (n, inputs): embedded ids beside standardised numbers."""
    embedded = [table[inputs.ids[:, which]] for which, table in enumerate(weights.tables)]
    return np.concatenate([*embedded, standardised(inputs.numbers, weights.standard)], axis=1)


def sigmoid(z: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """1 / (1 + exp(-z)) of each element with the C library's exp, as scalar code has it; numpy's picks other bits."""
    flat = [1.0 / (1.0 + math.exp(-value)) if value > -700.0 else 0.0 for value in z.ravel().tolist()]
    return np.array(flat).reshape(z.shape)


def logistic(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-z)) of each element, quiet and exact to rounding at both ends: for judging, not for publishing."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)))


def _logits(weights: NetWeights, x: NDArray[np.float32]) -> NDArray[np.float32]:
    h1 = np.maximum(affine(x, weights.w1, weights.b1), 0)
    h2 = np.maximum(affine(h1, weights.w2, weights.b2), 0)
    return affine(h2, weights.w3, weights.b3)


def affine(x: NDArray[np.float32], w: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """b + x W of every row of x (n, inputs), summed in the order above."""
    total = np.tile(b, (len(x), 1))
    term = np.empty_like(total)
    for i in range(len(w)):
        np.multiply(x[:, i : i + 1], w[i], out=term)
        total += term
    return total


def _shapes(w: NetWeights) -> list[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Name, shape found, shape that fits the rest."""
    width = sum(table.shape[-1] for table in w.tables) + len(w.mean)
    hidden1, hidden2 = len(w.b1), len(w.b2)
    expected: list[tuple[int, ...]] = [
        *((len(table), table.shape[-1]) for table in w.tables),
        (len(w.mean),),
        (len(w.mean),),
        (width, hidden1),
        (hidden1,),
        (hidden1, hidden2),
        (hidden2,),
        (hidden2, N_HEADS),
        (N_HEADS,),
    ]
    assert len(w.tables) == IDS  # noqa: S101  # by construction
    return [(name, array.shape, shape) for name, array, shape in zip(NAMES, w, expected, strict=True)]
