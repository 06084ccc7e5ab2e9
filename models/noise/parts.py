"""The two parts of the noise model in torch, as ``forward`` has them, trainable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.net import on_device
from models.noise.examples import N_HEADS, Examples
from models.noise.forward import REACH, ages
from models.settings import NoiseFit

KNOTS = (0.5, 1.5, 3.0)
"""Of the scale: the ordinary spread says nothing; then what is odd, and what is rare."""
NET = ("w1", "b1", "w2", "b2", "w3", "b3")
Start = Mapping[str, NDArray[Any]] | None
"""Tensors of the model to begin with, by the names of an artifact; None: with nothing."""
STEEPER = 4.0
"""The monotone part's learning rate over the net's: one convex layer, whose weights begin at 0."""


class Rows(NamedTuple):
    """Examples on a device."""

    evidence: Tensor  # (n, N) float32
    head: Tensor  # (n,) int64
    age: Tensor  # (n,) float32, as the net takes it

    def take(self, rows: Tensor | slice) -> Rows:
        """Those of ``rows``."""
        return Rows(*(column[rows] for column in self))


def rows_of(examples: Examples, device: torch.device) -> Rows:
    """``examples`` on ``device``."""
    columns = examples.evidence, examples.head.astype(np.int64), ages(examples.events)
    return Rows(*(on_device(column, device) for column in columns))


class Part(Protocol):
    """One of the two."""

    name: str
    parameters: list[Tensor]

    def optimiser(self, settings: NoiseFit) -> torch.optim.Optimizer:
        """Moves ``parameters``."""

    def logits(self, rows: Rows, *, training: bool) -> Tensor:
        """(n,)"""

    def penalty(self) -> Tensor:
        """What is added to the loss, a scalar."""

    def project(self) -> None:
        """Bring the parameters back within their bounds, after every step."""

    def tensors(self, scale: NDArray[np.float64], offset: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
        """As in an artifact, for logits * scale + offset, each (heads,)."""


class Monotone:
    """Hinges on both sides of every signal, with weights of at least 0, per head."""

    name = "monotone part"

    def __init__(self, signals: int, settings: NoiseFit, device: torch.device, start: Start = None) -> None:
        self._sparsity = settings.sparsity
        self._knots = torch.tensor(KNOTS, device=device)
        self._weight = torch.zeros((N_HEADS, signals * 2 * len(KNOTS)), device=device, requires_grad=True)
        self._bias = torch.zeros(N_HEADS, device=device, requires_grad=True)
        self.parameters = [self._weight, self._bias]
        if start is not None and np.array_equal(start["knots"], np.array(KNOTS, np.float32)):
            _begin(self.parameters, [start["monotone"].reshape(N_HEADS, -1), start["monotone_bias"]])

    def optimiser(self, settings: NoiseFit) -> torch.optim.Optimizer:
        """Adam (Kingma & Ba 2015)."""
        return torch.optim.Adam(self.parameters, lr=STEEPER * settings.learning_rate)

    def logits(self, rows: Rows, *, training: bool) -> Tensor:
        """(n,); the same in training."""
        z = rows.evidence.unsqueeze(2)
        hinges = torch.cat([z - self._knots, -z - self._knots], dim=2).clamp_min(0).flatten(1)
        return torch.addmm(self._bias, hinges, self._weight.T).gather(1, rows.head.unsqueeze(1)).squeeze(1)

    def penalty(self) -> Tensor:
        """On the weights' sum: a signal that adds nothing gets none."""
        return self._sparsity * self._weight.sum()

    @torch.no_grad()
    def project(self) -> None:
        """No weight is below 0."""
        self._weight.clamp_(min=0)

    def tensors(self, scale: NDArray[np.float64], offset: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
        """``knots``, ``monotone``, ``monotone_bias``."""
        weight, bias = (one.detach().cpu().double().numpy() for one in self.parameters)
        return {
            "knots": np.array(KNOTS, np.float32),
            "monotone": (weight * scale[:, None]).reshape(N_HEADS, -1, 2 * len(KNOTS)).astype(np.float32),
            "monotone_bias": (bias * scale + offset).astype(np.float32),
        }


class SmallNet:
    """Two hidden layers of rectified units over the evidence, the head and the account's age."""

    name = "net"

    def __init__(self, signals: int, settings: NoiseFit, device: torch.device, start: Start = None) -> None:
        rng = np.random.default_rng(settings.seed)
        widths = (signals + N_HEADS + 1, settings.hidden1, settings.hidden2)
        self._jitter, self._dropout = settings.jitter, settings.dropout
        self._heads = torch.eye(N_HEADS, device=device)
        self._random = torch.Generator(device).manual_seed(settings.seed)
        self.parameters = []
        for rows, columns in ((widths[0], widths[1]), (widths[1], widths[2])):  # He et al. 2015, eq. 10
            first = rng.standard_normal((rows, columns)) * math.sqrt(2.0 / rows)
            self.parameters += [torch.tensor(first, dtype=torch.float32), torch.zeros(columns)]
        self.parameters += [torch.zeros(widths[2]), torch.zeros(1)]
        self.parameters = [one.to(device).requires_grad_() for one in self.parameters]
        if start is not None:
            _begin(self.parameters, [start[name] for name in NET])

    def optimiser(self, settings: NoiseFit) -> torch.optim.Optimizer:
        """Adam with decoupled decay (Loshchilov & Hutter 2019)."""
        return torch.optim.AdamW(self.parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay)

    def logits(self, rows: Rows, *, training: bool) -> Tensor:
        """(n,); in training inputs are jittered and units of the first hidden layer are left out."""
        w1, b1, w2, b2, w3, b3 = self.parameters
        x = torch.cat([rows.evidence / float(REACH), self._heads[rows.head], rows.age.unsqueeze(1)], dim=1)
        if training:
            x = x + self._jitter * torch.randn(x.shape, generator=self._random, device=x.device)
        h1 = torch.relu(torch.addmm(b1, x, w1))
        if training:
            kept = torch.rand(h1.shape, generator=self._random, device=h1.device) >= self._dropout
            h1 = h1 * kept / (1.0 - self._dropout)
        return torch.relu(torch.addmm(b2, h1, w2)) @ w3 + b3

    def penalty(self) -> Tensor:
        """None: the optimiser decays the weights."""
        return torch.zeros((), device=self.parameters[0].device)

    def project(self) -> None:
        """Nothing has a bound."""

    def tensors(self, scale: NDArray[np.float64], offset: NDArray[np.float64]) -> dict[str, NDArray[np.float32]]:
        """``w1`` to ``b3``. Heads share the last layer, so that scale and offset must be the same for all."""
        arrays = [one.detach().cpu().double().numpy() for one in self.parameters]
        arrays[4] = arrays[4] * scale[0]
        arrays[5] = arrays[5] * scale[0] + offset[0]
        return {name: array.astype(np.float32) for name, array in zip(NET, arrays, strict=True)}


@torch.no_grad()
def _begin(parameters: Sequence[Tensor], start: Sequence[NDArray[Any]]) -> None:
    """Begin with the values of another model; with one's own where they do not all fit."""
    if [tuple(one.shape) for one in parameters] == [value.shape for value in start]:
        for parameter, value in zip(parameters, start, strict=True):
            parameter.copy_(torch.from_numpy(np.ascontiguousarray(value, np.float32)))
