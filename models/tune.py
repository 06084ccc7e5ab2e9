"""A fine-tune: from a window of settled samples, and the model in force, to a candidate. Nothing is written here.

Every pass over the training part is followed by new importance targets (they depend on the net) and a look at the
validation part; the best pass wins. The gate's part of the window is never touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models import influence
from models.data import Ordered, batches, edges_within, load, ordered
from models.errors import OutOfMemoryError, StoppedError, TrainingError
from models.forward import IMPORTANCE, LABEL, NetWeights
from models.inputs import Buckets, Inputs, label_known, label_unknown, standard_of
from models.loss import Goal, importance_loss, prediction_loss
from models.metrics import auc, correlation, log_loss
from models.net import ImportanceNet, pick_device, shape_of, start_weights
from models.samples import SampleColumns
from models.settings import FineTune
from models.snapshot import Canary
from models.step import Watch, hidden_of, hidden_of_known, new_step
from models.ways import Step, Targets
from sie_online.hyperparameters import SMALLEST_BATCH

CANARIES = 64
"""Samples whose scores an artifact carries, half of them in each form."""
LEAST_GAIN = 1e-4
"""A validation loss that falls by less is no better."""


class Progress(NamedTuple):
    """Where a fine-tune stands: passes from 1, samples trained on so far and per second, mean loss of this pass.

    ``note`` is a sentence for a person, or empty.
    """

    epoch: int
    epochs: int
    samples: int
    samples_per_s: float
    loss: float
    note: str = ""


@dataclass(frozen=True)
class Candidate:
    """What a fine-tune made, not yet judged.

    ``metrics`` and ``baseline_metrics`` (the parent's; without one, the recommender's own) are of the validation part;
    ``train_offsets`` the first and last offset trained on, per partition.
    """

    weights: NetWeights
    canary: Canary
    mean_f: float
    metrics: dict[str, float | None]
    baseline_metrics: dict[str, float | None]
    train_offsets: dict[str, tuple[int, int]]
    device: str
    batch: int
    epochs: int
    samples_per_s: float


def fine_tune(
    window: SampleColumns,
    settings: FineTune,
    parent: NetWeights | None = None,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Candidate:
    """Train on ``window``, from ``parent`` where there is one. On a CPU equal inputs and threads give equal bits.

    ``on_progress`` is called after every pass and of everything unusual; ``should_stop`` is asked before every step.

    Raises:
        NotFiniteLossError, ExplodingNormError, OutOfMemoryError: the fine-tune was given up.
        StoppedError: ``should_stop`` said so.
        TrainingError: the window is too small, the parent is of another shape than the settings or the samples, or it
            is missing in mode ``heads``.
    """
    order = ordered(window)
    start = _start(order, settings, parent)
    notify = on_progress or (lambda _progress: None)
    batch = settings.batch
    while True:
        try:
            return _Run(
                order, start, settings, batch, parent is not None, notify, should_stop or (lambda: False)
            ).result()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if batch // 2 < SMALLEST_BATCH:
                raise OutOfMemoryError(f"a batch of {batch} samples does not fit the device's memory") from None
            batch //= 2
            notify(
                Progress(0, settings.epochs, 0, 0.0, 0.0, f"out of device memory: starting again with batch {batch}")
            )


def _start(order: Ordered, settings: FineTune, parent: NetWeights | None) -> NetWeights:
    n_dense = order.samples.dense.shape[1]
    if parent is None and settings.mode == "heads":
        raise TrainingError("mode heads keeps the parent's body as it is, and there is no parent: use mode full")
    if parent is None:
        numbers = label_unknown(order.samples.take(order.timed), Buckets(2, 2, 2)).numbers
        return start_weights(settings.shape, standard_of(numbers), settings.seed)
    if shape_of(parent) != settings.shape:
        raise TrainingError(f"the parent is {shape_of(parent)}, the settings say {settings.shape}: start without it")
    if parent.n_dense != n_dense:
        raise TrainingError(
            f"the parent takes {parent.n_dense} dense numbers, samples have {n_dense}: start without it"
        )
    return parent


class _Run:
    """One try with one batch size."""

    def __init__(
        self,
        order: Ordered,
        start: NetWeights,
        settings: FineTune,
        batch: int,
        warm: bool,
        notify: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._order = order
        self._settings = settings
        self._batch = min(batch, max(SMALLEST_BATCH, order.train.stop))
        self._warm = warm
        self._notify = notify
        self._should_stop = should_stop
        self._device = pick_device(settings.device)
        self._net = ImportanceNet(start, self._device)
        self._data = load(order, start, self._device)
        self._rng = np.random.default_rng([settings.seed, 1])
        self._seconds = 0.0
        self._trained = 0

    def result(self) -> Candidate:
        targets = self._targets() if self._warm or self._settings.target != "influence" else self._no_targets()
        baseline = self._measure(targets) if self._warm else self._recommender()
        step = new_step(self._net, self._data, self._settings)
        best, best_loss, since, epoch = self._net.weights(), float("inf"), 0, 0
        for epoch in range(1, self._settings.epochs + 1):
            loss = self._pass(step, targets)
            targets = self._targets()
            found = self._validation_loss(targets)
            self._notify(
                Progress(epoch, self._settings.epochs, self._trained, self._speed, loss, f"validation {found:.5f}")
            )
            if found < best_loss - LEAST_GAIN:
                best, best_loss, since = self._net.weights(), found, 0
            elif (since := since + 1) >= self._settings.patience:
                break
        return self._candidate(best, baseline, epoch)

    @property
    def _speed(self) -> float:
        return self._trained / max(self._seconds, 1e-9)

    def _pass(self, step: Step, targets: Targets) -> float:
        """Train on every sample once; the mean loss."""
        begin = time.perf_counter()
        watch = Watch(self._settings.largest_norm, self._device)
        for batch in batches(self._order.train.stop, self._batch, self._rng, self._device):
            if self._should_stop():
                raise StoppedError("the fine-tune was stopped; the model in force stays")
            watch.see(*step(batch, targets))
            self._trained += batch.size
        loss = watch.look()
        self._seconds += time.perf_counter() - begin
        return loss

    def _no_targets(self) -> Targets:
        zeros = torch.zeros_like(self._data.label)
        return zeros, zeros

    @torch.no_grad()
    def _targets(self) -> Targets:
        """Importance targets of the timed rows and the validation rows, as the net sees them now."""
        target, targeted = self._no_targets()
        target = target.clone()
        targeted = targeted.clone()
        slices = self._settings.slices
        for part, n in ((self._order.timed, slices), (self._order.validation, max(2, slices // 3))):
            edges = [edge - part.start for edge in edges_within(part, n)]
            found = influence.target(self._raw(part, edges), edges)
            has = ~found.isnan()
            target[part] = torch.where(has, found, 0.0)
            targeted[part] = has.float()
        return target, targeted

    def _raw(self, part: slice, edges: list[int]) -> Tensor:
        """What the target is made of, (rows of ``part``,)."""
        data = self._data
        if self._settings.target == "error":
            return data.error[part].abs()
        if self._settings.target == "probability":
            return data.probability[part]
        hidden = hidden_of(self._net, data, part)
        aligned = influence.alignment(hidden, data.probability[part], data.label[part], data.trust[part], edges)
        causes = torch.cat([data.counts[part], data.label[part].unsqueeze(1)], dim=1)
        return influence.residual(aligned, causes, edges)

    @torch.no_grad()
    def _validation_loss(self, targets: Targets) -> float:
        """Prediction loss + share * KL(target || f): the KL, since the targets' own entropy moves with the net."""
        unknown, known, goal = self._validation(targets)
        target = goal.target.clamp(1e-6, 1 - 1e-6)
        entropy = -(target * target.log() + (1 - target) * (1 - target).log())
        entropy = (entropy * goal.targeted).sum() / goal.targeted.sum().clamp_min(1.0)
        divergence = importance_loss(unknown[:, IMPORTANCE], known[:, IMPORTANCE], goal) - entropy
        total = prediction_loss(unknown[:, LABEL], goal) + self._settings.importance_share * divergence
        return float(total)

    def _validation(self, targets: Targets) -> tuple[Tensor, Tensor, Goal]:
        part = self._order.validation
        unknown = self._net.logits(hidden_of(self._net, self._data, part))
        known = self._net.logits(hidden_of_known(self._net, self._data, part))
        label = self._data.label[part]
        return unknown, known, Goal(label, targets[0][part], torch.ones_like(label), targets[1][part])

    @torch.no_grad()
    def _measure(self, targets: Targets) -> dict[str, float | None]:
        """Figures of the net on the validation part."""
        unknown, known, goal = self._validation(targets)
        label, p = goal.label.cpu().numpy(), torch.sigmoid(unknown[:, LABEL]).cpu().numpy()
        has = goal.targeted.bool()
        target = goal.target[has].cpu().numpy()
        f = [torch.sigmoid(logits[has][:, IMPORTANCE]).cpu().numpy() for logits in (unknown, known)]
        return {
            "nll": log_loss(label, p),
            "auc": auc(label, p),
            "target_correlation_unknown": correlation(f[0], target),
            "target_correlation_known": correlation(f[1], target),
        }

    def _recommender(self) -> dict[str, float | None]:
        part = self._order.samples.take(self._order.validation)
        return {"nll": log_loss(part.label, part.probability), "auc": auc(part.label, part.probability)}

    @torch.no_grad()
    def _candidate(self, best: NetWeights, baseline: dict[str, float | None], epochs: int) -> Candidate:
        self._net = ImportanceNet(best, self._device)
        train = slice(0, self._order.train.stop)
        forms = hidden_of(self._net, self._data, train), hidden_of_known(self._net, self._data, train)
        f = [torch.sigmoid(self._net.logits(hidden)[:, IMPORTANCE]).double().mean() for hidden in forms]
        return Candidate(
            weights=best,
            canary=self._canary(best),
            mean_f=float(f[0] + f[1]) / 2.0,
            metrics=self._measure(self._targets()) | {"epochs": float(epochs), "samples_per_s": self._speed},
            baseline_metrics=baseline,
            train_offsets=offset_ranges(self._order.samples.take(train)),
            device=str(self._device),
            batch=self._batch,
            epochs=epochs,
            samples_per_s=self._speed,
        )

    def _canary(self, weights: NetWeights) -> Canary:
        """Scores by torch, so that a loader's numpy checks one implementation against the other."""
        rows = np.linspace(0, self._order.train.stop - 1, CANARIES // 2).astype(np.int64)
        some = self._order.samples.take(rows)
        parts = label_unknown(some, weights.buckets), label_known(some, weights.buckets)
        at = torch.from_numpy(rows).to(self._device)
        embedded = self._net.embedded(self._data.ids[at])
        logits = [
            self._net.logits(self._net.hidden(embedded, numbers))
            for numbers in (self._data.numbers[at], self._data.known(at))
        ]
        return Canary(
            Inputs(*(np.concatenate(columns) for columns in zip(*parts, strict=True))),
            torch.sigmoid(torch.cat(logits).double()).cpu().numpy(),
        )


def offset_ranges(samples: SampleColumns) -> dict[str, tuple[int, int]]:
    """First and last offset per partition."""
    found = {}
    for partition in np.unique(samples.partition).tolist():
        offsets = samples.offset[samples.partition == partition]
        found[str(partition)] = (int(offsets.min()), int(offsets.max()))
    return found
