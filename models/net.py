"""The importance net in torch: the same layers as ``forward``, trainable.

Owns parameters, their start values, and the sparse update of the embedded ids. Embedded rows are gathered outside the
differentiated part, so that only the rows of a batch ever get a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.errors import TrainingError
from models.forward import N_HEADS, NetWeights
from models.inputs import Standard
from models.settings import NetSizes
from sie_online.contracts import EVENT_TYPES

EMBEDDING_SCALE = 0.01
"""Ids start nearly alike: one never seen in training must not shift a score."""
ADAGRAD_START = 1e-4
"""Of the squared gradients' sum; keeps an embedding's first step from being as large as its rate."""


def start_weights(shape: NetSizes, standard: Standard, seed: int) -> NetWeights:
    """A net that has learned nothing: He's initialisation (He et al. 2015, eq. 10), both scores at one half."""
    rng = np.random.default_rng(seed)
    width = 3 * shape.id_dim + shape.type_dim + len(standard.mean)

    def normal(rows: int, columns: int, scale: float) -> NDArray[np.float32]:
        return (rng.standard_normal((rows, columns), np.float32) * np.float32(scale)).astype(np.float32)

    return NetWeights(
        user=normal(shape.users, shape.id_dim, EMBEDDING_SCALE),
        item=normal(shape.items, shape.id_dim, EMBEDDING_SCALE),
        category=normal(shape.categories, shape.id_dim, EMBEDDING_SCALE),
        event_type=normal(len(EVENT_TYPES), shape.type_dim, EMBEDDING_SCALE),
        mean=standard.mean,
        scale=standard.scale,
        w1=normal(width, shape.hidden1, math.sqrt(2.0 / width)),
        b1=np.zeros(shape.hidden1, np.float32),
        w2=normal(shape.hidden1, shape.hidden2, math.sqrt(2.0 / shape.hidden1)),
        b2=np.zeros(shape.hidden2, np.float32),
        w3=np.zeros((shape.hidden2, N_HEADS), np.float32),
        b3=np.zeros(N_HEADS, np.float32),
    )


def shape_of(weights: NetWeights) -> NetSizes:
    """Sizes of the net that ``weights`` are of."""
    return NetSizes(
        users=len(weights.user),
        items=len(weights.item),
        categories=len(weights.category),
        id_dim=weights.user.shape[1],
        type_dim=weights.event_type.shape[1],
        hidden1=len(weights.b1),
        hidden2=len(weights.b2),
    )


class Layers(NamedTuple):
    """The dense part. Functions of these, rather than methods, are compiled once for all nets of a shape."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor
    w3: Tensor
    b3: Tensor

    @property
    def body(self) -> list[Tensor]:
        return [self.w1, self.b1, self.w2, self.b2]

    @property
    def heads(self) -> list[Tensor]:
        return [self.w3, self.b3]


def hidden_layer(layers: Layers, embedded: Tensor, numbers: Tensor) -> Tensor:
    """Last hidden layer (n, hidden2) of embedded ids (n, E) and standardised numbers (n, N)."""
    x = torch.cat([embedded, numbers], dim=1)
    h1 = torch.relu(torch.addmm(layers.b1, x, layers.w1))
    return torch.relu(torch.addmm(layers.b2, h1, layers.w2))


def hidden_of_both(layers: Layers, embedded: Tensor, unknown: Tensor, known: Tensor) -> Tensor:
    """The same (2n, hidden2) of n samples with the numbers of both forms, the unknown one first."""
    return hidden_layer(layers, torch.cat([embedded, embedded]), torch.cat([unknown, known]))


Hidden = Callable[[Layers, Tensor, Tensor, Tensor], Tensor]
"""What ``hidden_of_both`` does."""


def head_logits(layers: Layers, hidden: Tensor) -> Tensor:
    """(n, 2): label, importance. Row by row W3 is read in a fifth of the time that its two columns take."""
    return torch.nn.functional.linear(hidden, layers.w3.t().contiguous(), layers.b3)


class ImportanceNet:
    """Weights on a device. Gradients are for ``layers`` alone; ``RowAdagrad`` moves ``tables``."""

    def __init__(self, weights: NetWeights, device: torch.device) -> None:
        self._standard = weights.standard
        self.device = device
        self.tables = [torch.tensor(table, device=device) for table in weights.tables]
        self.layers = Layers(*(torch.tensor(array, device=device, requires_grad=True) for array in weights[-6:]))

    def embedded(self, ids: Tensor) -> Tensor:
        """Rows (n, E) of the ids (n, 4)."""
        return torch.cat([table.index_select(0, ids[:, which]) for which, table in enumerate(self.tables)], dim=1)

    def hidden(self, embedded: Tensor, numbers: Tensor) -> Tensor:
        """``hidden_layer`` of this net."""
        return hidden_layer(self.layers, embedded, numbers)

    def logits(self, hidden: Tensor) -> Tensor:
        """``head_logits`` of this net."""
        return head_logits(self.layers, hidden)

    def weights(self) -> NetWeights:
        """A copy as float32 arrays."""
        tensors = [*self.tables, *self.layers]
        arrays = [tensor.detach().to("cpu", torch.float32, copy=True).numpy() for tensor in tensors]
        return NetWeights._make([*arrays[:4], *self._standard, *arrays[4:]])


class RowAdagrad:
    """AdaGrad with one sum per row: an id's step shrinks with what that id has seen, at a cost per batch alone.

    Repeated ids add up without being made unique first, so shapes stay fixed and nothing waits for the device.
    """

    def __init__(self, tables: list[Tensor], rate: float) -> None:
        self._tables = tables
        self._rate = rate
        self._sums = [torch.full((len(table),), ADAGRAD_START, device=table.device) for table in tables]

    @torch.no_grad()
    def step(self, ids: Tensor, gradient: Tensor) -> None:
        """Move the rows of ``ids`` (n, 4) against ``gradient`` (n, E)."""
        parts = torch.split(gradient, [table.shape[1] for table in self._tables], dim=1)
        for which, (table, sums, part) in enumerate(zip(self._tables, self._sums, parts, strict=True)):
            rows = ids[:, which]
            sums.index_add_(0, rows, part.square().mean(dim=1))
            table.index_add_(0, rows, part * (-self._rate * sums.index_select(0, rows).rsqrt()).unsqueeze(1))


def pick_device(name: str) -> torch.device:
    """``auto`` is a GPU where there is one.

    Raises:
        TrainingError: a GPU is demanded and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise TrainingError("device cuda was asked for, and torch sees none: use auto or cpu")
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def on_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """``array`` on ``device``; to a GPU through pinned memory, without waiting for the copy."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    return tensor if device.type == "cpu" else tensor.pin_memory().to(device, non_blocking=True)
