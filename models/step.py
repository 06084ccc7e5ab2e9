"""One training step, in two modes: the whole net, or its heads over a frozen body.

A step leaves its loss and the gradient's norm on the device; ``Watch`` looks at them now and then, so that a GPU is
not made to wait after each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from models.body import Body
from models.data import Batch, Data
from models.errors import ExplodingNormError, NotFiniteLossError
from models.loss import Balance, Goal, batch_loss, loss_and_slopes
from models.net import Hidden, ImportanceNet, Layers, RowAdagrad, head_logits, hidden_of_both
from models.settings import FineTune, TrainingWay
from models.ways import Graphed, Step, Targets, form_of, way_of

LOOK_EVERY = 50
"""Steps between looks at loss and norm."""
CHUNK = 16_384
"""Samples at a time where no gradient is needed."""


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
        way = way_of(settings, net.device)
        self._adam = adam(net.layers, settings, way)
        self._rows = RowAdagrad(net.tables, settings.embedding_rate)
        self._loss = form_of(full_loss, way)
        self._bf16 = way != "float32"
        self._hidden: Hidden = Body() if way == "float32" and net.device.type == "cpu" else hidden_of_both
        self._balance = balance_of(settings)

    def __call__(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        ids = self._data.ids.index_select(0, batch.rows)
        embedded = self._net.embedded(ids).requires_grad_()
        numbers = self._data.forms(batch.rows)
        goal = goal_of(self._data, batch, targets)
        self._adam.zero_grad()
        loss = self._loss(self._net.layers, embedded, *numbers, goal, self._balance, self._bf16, self._hidden)
        torch.autograd.backward(loss)
        norm = scaled_down([*gradients(self._net.layers), *gradients([embedded])], self._clip)
        self._adam.step()
        if embedded.grad is not None:
            self._rows.step(ids, embedded.grad)
        return loss, norm


class HeadsStep:
    """Trains the heads alone; what the frozen body makes of every sample is computed once.

    One layer needs no recorded gradient: in a step this short, recording takes longer than the products.
    """

    def __init__(self, net: ImportanceNet, data: Data, settings: FineTune) -> None:
        self._net = net
        self._data = data
        self._clip = settings.clip_norm
        way = way_of(settings, net.device)
        self._adam = adam(net.layers.heads, settings, way)
        self._gradients = form_of(heads_gradients, way)
        self._balance = balance_of(settings)
        everything = slice(0, len(data.label))
        self._hidden = torch.stack([hidden_of(net, data, everything), hidden_of_known(net, data, everything)], dim=1)
        self._gathered = torch.empty(0, device=net.device)  # kept, as in ``body``

    @torch.no_grad()
    def __call__(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        goal = goal_of(self._data, batch, targets)
        hidden = torch.index_select(self._hidden, 0, batch.rows, out=self._gathered)
        loss, *found = self._gradients(self._net.layers, hidden, goal, self._balance)
        norm = scaled_down(found, self._clip)
        for head, gradient in zip(self._net.layers.heads, found, strict=True):
            head.grad = gradient
        self._adam.step()
        return loss, norm


def full_loss(
    layers: Layers,
    embedded: Tensor,
    unknown: Tensor,
    known: Tensor,
    goal: Goal,
    balance: Balance,
    bf16: bool,
    hidden: Hidden = hidden_of_both,
) -> Tensor:
    """Loss of a batch from its embedded ids (n, E) and the numbers (n, N) of both forms."""
    with torch.autocast(embedded.device.type, dtype=torch.bfloat16, enabled=bf16):
        logits = head_logits(layers, hidden(layers, embedded, unknown, known))
    half = len(embedded)
    return batch_loss(logits[:half], logits[half:], goal, balance)


def heads_gradients(layers: Layers, hidden: Tensor, goal: Goal, balance: Balance) -> tuple[Tensor, Tensor, Tensor]:
    """Loss of a batch from the last hidden layer (n, 2, hidden2) of both forms; its derivatives by W3 and b3."""
    logits = head_logits(layers, hidden)
    loss, unknown, known = loss_and_slopes(logits[:, 0], logits[:, 1], goal, balance)
    slopes = torch.stack([unknown, known], dim=1).flatten(0, 1)
    return loss, (slopes.t() @ hidden.flatten(0, 1)).t().contiguous(), slopes.sum(0)


def new_step(net: ImportanceNet, data: Data, settings: FineTune) -> Step:
    """The step of ``settings.mode`` in the way of ``settings.way``."""
    step = FullStep(net, data, settings) if settings.mode == "full" else HeadsStep(net, data, settings)
    return Graphed(step) if way_of(settings, net.device) == "graph" else step


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
    label, target, targeted = (column.index_select(0, batch.rows) for column in (data.label, target, targeted))
    return Goal(label, target, batch.mask, batch.mask * targeted)


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


def adam(parameters: Sequence[Tensor], settings: FineTune, way: TrainingWay) -> torch.optim.Adam:
    """Adam (Kingma & Ba 2015), one kernel for all parameters; its count of steps on the device for a graph."""
    return torch.optim.Adam(parameters, lr=settings.learning_rate, fused=True, capturable=way == "graph")


def _chunks(rows: slice) -> list[slice]:
    return [slice(at, min(at + CHUNK, rows.stop)) for at in range(rows.start, rows.stop, CHUNK)]
