"""One training step, in two modes: the whole net, or its heads over a frozen body.

A step leaves its loss and the gradient's norm on the device; ``Watch`` looks at them now and then, so that a GPU is
not made to wait after each step.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, Protocol

import torch
from torch import Tensor

from models.data import Batch, Data
from models.errors import ExplodingNormError, NotFiniteLossError
from models.loss import Balance, Goal, batch_loss
from models.net import ImportanceNet, Layers, RowAdagrad, head_logits, hidden_layer
from models.settings import FineTune

LOOK_EVERY = 50
"""Steps between looks at loss and norm."""
CHUNK = 16_384
"""Samples at a time where no gradient is needed."""

Loss = Callable[..., Tensor]

Targets = tuple[Tensor, Tensor]
"""Target (n,) of every row of the data, and whether it has one (1.0 or 0.0)."""


class Step(Protocol):
    """Learns from one batch."""

    def __call__(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        """Loss and norm of the gradient, scalars on the device."""


class Watch:
    """Refuses a loss that is not finite and a gradient that explodes."""

    def __init__(self, largest_norm: float, device: torch.device) -> None:
        self._largest = largest_norm
        self._loss = torch.zeros((), device=device)
        self._norm = torch.zeros((), device=device)
        self._steps = 0

    def see(self, loss: Tensor, norm: Tensor) -> None:
        """Note one step; look every ``LOOK_EVERY``.

        Raises:
            NotFiniteLossError, ExplodingNormError: since the last look.
        """
        self._loss += loss.detach()
        self._norm = torch.maximum(self._norm, norm.detach())  # a NaN stays
        self._steps += 1
        if self._steps % LOOK_EVERY == 0:
            self.look()

    def look(self) -> float:
        """The mean loss so far. Raises as ``see``."""
        loss, norm = float(self._loss), float(self._norm)
        if not loss < float("inf"):
            raise NotFiniteLossError(f"the loss is {loss} after {self._steps} steps: lower the learning rates")
        if not norm <= self._largest:
            raise ExplodingNormError(
                f"a gradient has norm {norm:.3g}, more than {self._largest:g}, within {self._steps} steps: "
                "lower the learning rates"
            )
        return loss / max(1, self._steps)


class FullStep:
    """Trains all layers and the embedded rows that the batch touches."""

    def __init__(self, net: ImportanceNet, data: Data, settings: FineTune) -> None:
        self._net = net
        self._data = data
        self._clip = settings.clip_norm
        self._adam = adam(net.layers, settings)
        self._rows = RowAdagrad(net.tables, settings.embedding_rate)
        self._loss = best_form(full_loss, settings, net.device)
        self._bf16 = settings.tuned and net.device.type == "cuda"
        self._balance = balance_of(settings)

    def __call__(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        ids = self._data.ids[batch.rows]
        embedded = self._net.embedded(ids).requires_grad_()
        numbers = self._data.numbers[batch.rows], self._data.known(batch.rows)
        goal = goal_of(self._data, batch, targets)
        self._adam.zero_grad()
        loss = self._loss(self._net.layers, embedded, *numbers, goal, self._balance, self._bf16)
        torch.autograd.backward(loss)
        norm = scaled_down([*gradients(self._net.layers), *gradients([embedded])], self._clip)
        self._adam.step()
        if embedded.grad is not None:
            self._rows.step(ids, embedded.grad)
        return loss, norm


class HeadsStep:
    """Trains the heads alone; what the frozen body makes of every sample is computed once."""

    def __init__(self, net: ImportanceNet, data: Data, settings: FineTune) -> None:
        self._net = net
        self._data = data
        self._clip = settings.clip_norm
        self._adam = adam(net.layers.heads, settings)
        self._loss = best_form(heads_loss, settings, net.device)
        self._balance = balance_of(settings)
        everything = slice(0, len(data.label))
        self._unknown = hidden_of(net, data, everything)
        self._known = hidden_of_known(net, data, everything)

    def __call__(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        goal = goal_of(self._data, batch, targets)
        hidden = self._unknown[batch.rows], self._known[batch.rows]
        self._adam.zero_grad()
        loss = self._loss(self._net.layers, *hidden, goal, self._balance)
        torch.autograd.backward(loss)
        norm = scaled_down(gradients(self._net.layers.heads), self._clip)
        self._adam.step()
        return loss, norm


def full_loss(
    layers: Layers, embedded: Tensor, unknown: Tensor, known: Tensor, goal: Goal, balance: Balance, bf16: bool
) -> Tensor:
    """Loss of a batch from its embedded ids (n, E) and the numbers (n, N) of both forms."""
    with torch.autocast(embedded.device.type, dtype=torch.bfloat16, enabled=bf16):
        both = hidden_layer(layers, torch.cat([embedded, embedded]), torch.cat([unknown, known]))
        logits = head_logits(layers, both)
    half = len(embedded)
    return batch_loss(logits[:half], logits[half:], goal, balance)


def heads_loss(layers: Layers, unknown: Tensor, known: Tensor, goal: Goal, balance: Balance) -> Tensor:
    """Loss of a batch from the last hidden layer (n, hidden2) of both forms."""
    return batch_loss(head_logits(layers, unknown), head_logits(layers, known), goal, balance)


def new_step(net: ImportanceNet, data: Data, settings: FineTune) -> Step:
    """The step of ``settings.mode``."""
    return FullStep(net, data, settings) if settings.mode == "full" else HeadsStep(net, data, settings)


@torch.no_grad()
def hidden_of(net: ImportanceNet, data: Data, rows: slice) -> Tensor:
    """Last hidden layer (rows, hidden2) of the form with unknown label, float32."""
    return torch.cat([net.hidden(net.embedded(data.ids[some]), data.numbers[some]) for some in _chunks(rows)])


@torch.no_grad()
def hidden_of_known(net: ImportanceNet, data: Data, rows: slice) -> Tensor:
    """The same of the form with known label."""
    return torch.cat([net.hidden(net.embedded(data.ids[some]), data.known(some)) for some in _chunks(rows)])


def goal_of(data: Data, batch: Batch, targets: Targets) -> Goal:
    """What the batch is measured against."""
    target, targeted = targets
    return Goal(data.label[batch.rows], target[batch.rows], batch.mask, batch.mask * targeted[batch.rows])


def balance_of(settings: FineTune) -> Balance:
    """How the settings weigh the parts of the loss."""
    return Balance(settings.k, settings.importance_share, settings.spread_penalty)


def gradients(tensors: Iterable[Tensor]) -> list[Tensor]:
    """The gradients of those that have one."""
    return [tensor.grad for tensor in tensors if tensor.grad is not None]


def scaled_down(found: Sequence[Tensor], clip: float) -> Tensor:
    """The common norm of the gradients ``found``; where it is above ``clip``, they are scaled to it in place."""
    norm = torch.nn.utils.get_total_norm(found)
    factor = (clip / (norm + 1e-6)).clamp(max=1.0)
    for gradient in found:
        gradient.mul_(factor)
    return norm


def adam(parameters: Sequence[Tensor], settings: FineTune) -> torch.optim.Adam:
    """Adam (Kingma & Ba 2015); one kernel for all parameters on a GPU."""
    fused = settings.tuned and parameters[0].device.type == "cuda"
    return torch.optim.Adam(parameters, lr=settings.learning_rate, fused=fused)


def best_form(function: Loss, settings: FineTune, device: torch.device) -> Loss:
    """``function``, compiled for fixed shapes on a GPU; a CPU's few steps do not repay the compiler."""
    return compiled(function) if settings.tuned and device.type == "cuda" else function


@cache
def compiled(function: Loss) -> Loss:
    """One compiled form per function and process: later fine-tunes of the same shape find it ready."""
    return Compiled(function)


class Compiled:
    """A function that runs compiled, or as it is where the compiler cannot (no C compiler on the host, say)."""

    def __init__(self, function: Loss) -> None:
        from torch._dynamo.exc import TorchDynamoException  # takes seconds, and only a GPU needs it

        self._cannot = TorchDynamoException
        self._plain = function
        self._function: Loss = torch.compile(function, dynamic=False)

    def __call__(self, *arguments: Any) -> Tensor:
        try:
            return self._function(*arguments)
        except self._cannot as error:
            warnings.warn(f"going on uncompiled: {str(error).splitlines()[0]}", RuntimeWarning, stacklevel=2)
            self._function = self._plain
            return self._function(*arguments)


def _chunks(rows: slice) -> list[slice]:
    return [slice(at, min(at + CHUNK, rows.stop)) for at in range(rows.start, rows.stop, CHUNK)]
