"""The fit of the first stage: from examples to the tensors of both parts. Nothing is written here.

Some behaviours of every kind are held out, whole: the pass that is best on those is kept, and calibrated on them, so
that it does not state more than it knows of behaviours that it has not seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.data import batches
from models.errors import ExamplesError, NotFiniteLossError, StoppedError
from models.net import on_device, pick_device
from models.noise.examples import N_HEADS, Examples, held_out, weights
from models.noise.parts import Monotone, Part, Rows, SmallNet, Start, rows_of
from models.noise.regression import regress
from models.settings import NoiseFit
from models.step import CHUNK
from models.tune import Progress
from sie_online.hyperparameters import SMALLEST_BATCH

LEAST_SCALE = 0.05
"""Of a calibration: a part that says nothing on what is held out is nearly silenced, never turned round."""
RIDGE = 1e-3
"""Of a calibration, towards none."""

LEAST_STEPS = 64
"""Per pass: few examples are learned in smaller batches, rather than hardly at all."""

Fitted = dict[str, NDArray[np.float32]]


class Goal(NamedTuple):
    """Examples on a device, and what they are measured against, each (n,) float32."""

    rows: Rows
    target: Tensor  # smoothed
    weight: Tensor  # mean 1

    def loss(self, logits: Tensor) -> Tensor:
        """Weighted mean cross entropy."""
        return (self.weight * binary_cross_entropy_with_logits(logits, self.target, reduction="none")).mean()


def fit(
    examples: Examples,
    settings: NoiseFit,
    *,
    start: Start = None,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Fitted:
    """``knots``, ``monotone``, ``monotone_bias``, ``w1`` to ``b3``, float32. On a CPU equal inputs, equal bits.

    A part begins with ``start``'s weights where those have its shape.

    ``on_progress`` is called after every pass; ``should_stop`` is asked before every step.

    Raises:
        ExamplesError: a ValueError; the columns do not fit each other, or no head has both noise and others.
        NotFiniteLossError: the loss became NaN or infinite. StoppedError: ``should_stop`` said so.
        TrainingError: a GPU is demanded and there is none.
    """
    _check(examples)
    device = pick_device(settings.device)
    apart = held_out(examples, settings.held_out, settings.seed)
    train, validation = (_goal(examples.take(rows), settings, device) for rows in (~apart, apart))
    signals = examples.evidence.shape[1]
    found: Fitted = {}
    for part in (Monotone(signals, settings, device, start), SmallNet(signals, settings, device, start)):
        run = _Run(part, train, validation, settings, on_progress or _ignored, should_stop or _never)
        run.train()
        found |= part.tensors(*_calibration(part, validation, shared=isinstance(part, SmallNet)))
    return found


def averaged(tensors: Fitted, start: Mapping[str, NDArray[Any]]) -> Fitted:
    """Half way from ``start``'s weights to those fitted from there on, where they have the same shapes.

    Keeps most of what a fit has learned of one shop and most of what was known of others (Wortsman et al. 2022).
    """
    alike = all(tensors[name].shape == start[name].shape for name in tensors)
    if not alike or not np.array_equal(tensors["knots"], start["knots"]):
        return tensors
    return {name: np.float32(0.5) * (value + start[name].astype(np.float32)) for name, value in tensors.items()}


def _check(examples: Examples) -> None:
    n = len(examples.head)
    if examples.evidence.ndim != 2 or any(len(column) != n for column in examples):
        raise ExamplesError(f"the columns of {n} examples do not have one row each")
    if not n:
        raise ExamplesError("there are no examples: nothing can be learned from them")
    if not (np.isfinite(examples.evidence).all() and np.isfinite(examples.events).all()):
        raise ExamplesError("evidence or numbers of events are not finite")
    if examples.head.min() < 0 or examples.head.max() >= N_HEADS or examples.events.min() < 0:
        raise ExamplesError(f"a head is none of {N_HEADS}, or a number of events is negative")


def _goal(examples: Examples, settings: NoiseFit, device: torch.device) -> Goal:
    weight = weights(examples.head, examples.noise, examples.innocent, examples.group, settings.innocent_share)
    used = weight > 0
    target = np.where(examples.noise[used], 1 - settings.smoothing, settings.smoothing)
    return Goal(
        rows_of(examples.take(used), device),
        on_device(target.astype(np.float32), device),
        on_device((weight[used] * used.sum()).astype(np.float32), device),
    )


class _Run:
    """The training of one part: the pass that is best on what is held out wins."""

    def __init__(
        self,
        part: Part,
        train: Goal,
        validation: Goal,
        settings: NoiseFit,
        notify: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._part, self._train, self._validation = part, train, validation
        self._settings, self._notify, self._should_stop = settings, notify, should_stop
        self._rng = np.random.default_rng(settings.seed)
        self._optimiser = part.optimiser(settings)
        n = len(train.target)
        self._batch = min(settings.batch, max(SMALLEST_BATCH, n // LEAST_STEPS))
        steps = settings.epochs * -(-n // self._batch)
        self._schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self._optimiser, steps)

    def train(self) -> None:
        """Leave the best parameters in the part."""
        settings, began = self._settings, time.perf_counter()
        lowest, best = self._held_out_loss(), self._copy()
        for epoch in range(1, settings.epochs + 1):
            loss = self._epoch()
            found = self._held_out_loss()
            seconds, seen = time.perf_counter() - began, epoch * len(self._train.target)
            note = f"{self._part.name}, held-out loss {found:.5f}"
            self._notify(Progress(epoch, settings.epochs, seen, seen / seconds, loss, note))
            if found < lowest:
                lowest, best = found, self._copy()
        with torch.no_grad():
            for parameter, value in zip(self._part.parameters, best, strict=True):
                parameter.copy_(value)

    def _epoch(self) -> float:
        train, losses = self._train, []
        for batch in batches(len(train.target), self._batch, self._rng, train.target.device):
            if self._should_stop():
                raise StoppedError("the fit was stopped")
            rows = batch.rows
            some = Goal(train.rows.take(rows), train.target[rows], train.weight[rows] * batch.mask)
            loss = some.loss(self._part.logits(some.rows, training=True))
            self._optimiser.zero_grad()
            torch.autograd.backward(loss + self._part.penalty())
            self._optimiser.step()
            self._schedule.step()
            self._part.project()
            losses.append(loss.detach())
        return float(torch.stack(losses).mean())

    def _held_out_loss(self) -> float:
        found = float(self._validation.loss(all_logits(self._part, self._validation.rows)))
        if not found < float("inf"):
            raise NotFiniteLossError(f"the held-out loss of the {self._part.name} is {found}: lower the learning rate")
        return found

    def _copy(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self._part.parameters]


@torch.no_grad()
def all_logits(part: Part, rows: Rows) -> Tensor:
    """Logits (n,) of ``part``, some rows at a time."""
    chunks = [slice(at, at + CHUNK) for at in range(0, len(rows.head), CHUNK)]
    return torch.cat([part.logits(rows.take(some), training=False) for some in chunks])


def _calibration(part: Part, goal: Goal, *, shared: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scale and offset (heads,) that make held-out logits log likelihood ratios (Platt 1999), by head or for all."""
    logit = all_logits(part, goal.rows).cpu().double().numpy()
    target, weight = (one.cpu().double().numpy() for one in (goal.target, goal.weight))
    head = np.zeros(len(logit), np.int64) if shared else goal.rows.head.cpu().numpy()
    scale, offset = np.ones(N_HEADS), np.zeros(N_HEADS)
    for number in np.unique(head):
        rows = head == number
        x = np.stack([np.ones(rows.sum()), logit[rows]], axis=1)
        own = weight[rows] / weight[rows].sum()
        start, lower = np.array([0.0, 1.0]), np.array([-np.inf, LEAST_SCALE])
        offset[number], scale[number] = regress(x, target[rows], own, start, lower, RIDGE)
    if shared:
        return np.full(N_HEADS, scale[0]), np.full(N_HEADS, offset[0])
    return scale, offset


def _ignored(_progress: Progress) -> None:
    pass


def _never() -> bool:
    return False
