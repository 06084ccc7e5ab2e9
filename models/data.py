"""A window on the device: everything a fine-tune reads, copied once, in the order it is used.

Owns which rows train, validate and test (chronological 6:2:2; positives older than the window only train), and the
batches: fixed shapes, the last one filled up and masked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.errors import TrainingError
from models.forward import NetWeights
from models.influence import log_counts, slice_edges
from models.inputs import N_EXACT, label_unknown, standardised
from models.net import on_device
from models.samples import SampleColumns, chronological, split

LEAST_SAMPLES = 10
"""Fewer cannot be split."""


class Ordered(NamedTuple):
    """A window's samples in order: older positives, then the rest by time; row ranges of the parts.

    ``test`` is for the gate; no fine-tune looks at it. ``timed`` is the part of ``train`` that has time slices.
    """

    samples: SampleColumns
    train: slice
    timed: slice
    validation: slice
    test: slice


class Data(NamedTuple):
    """n samples on a device: all but the test part.

    ``ids`` (n, 4) int64; float32: ``numbers`` (n, N) standardised, label unknown; ``error``, ``label``, ``probability``
    and ``trust`` = 1 - P(noise) (n,); ``counts`` (n, 2) log frequency of item and user.
    """

    ids: Tensor
    numbers: Tensor
    error: Tensor
    label: Tensor
    probability: Tensor
    trust: Tensor
    counts: Tensor

    def known(self, rows: Tensor | slice) -> Tensor:
        """Numbers of ``rows`` in the form with known label."""
        return _known(self.numbers[rows], self.error[rows])

    def forms(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers of ``rows`` with label unknown and known, equal but for the last ``N_EXACT``."""
        unknown = self.numbers.index_select(0, rows)
        return unknown, _known(unknown, self.error.index_select(0, rows))


def ordered(window: SampleColumns) -> Ordered:
    """``window`` in the order that ``Data`` and gate use.

    Raises:
        TrainingError: there are too few samples, or no positive or no negative to train on.
    """
    order = chronological(window)
    late = order[~window.older[order]]
    first = len(order) - len(late)
    parts = split(len(late))
    samples = window.take(np.concatenate([order[window.older[order]], late]))
    if len(late) < LEAST_SAMPLES:
        raise TrainingError(f"the window has {len(late)} samples; a fine-tune needs at least {LEAST_SAMPLES}")
    train = slice(0, first + parts.train.stop)
    if len(np.unique(samples.label[train])) < 2:
        raise TrainingError("the training part has one class only: nothing can be learned from it yet")
    timed, validation, test = (slice(first + part.start, first + part.stop) for part in parts)
    return Ordered(samples, train, timed, validation, test)


def load(order: Ordered, weights: NetWeights, device: torch.device) -> Data:
    """``order`` without its test part on ``device``, as inputs of the net that ``weights`` are of."""
    samples = order.samples.take(slice(0, order.validation.stop))
    inputs = label_unknown(samples, weights.buckets)
    return Data(
        ids=on_device(inputs.ids.astype(np.int64), device),
        numbers=on_device(standardised(inputs.numbers, weights.standard), device),
        error=on_device(samples.error, device),
        label=on_device(samples.label.astype(np.float32), device),
        probability=on_device(samples.probability, device),
        trust=on_device(1.0 - samples.noise_probability, device),
        counts=on_device(log_counts(samples.item_hash, samples.user_hash), device),
    )


class Batch(NamedTuple):
    """``rows`` (batch,) of ``Data``; ``mask`` is 0.0 where a row only fills the batch up."""

    rows: Tensor
    mask: Tensor
    size: int


def batches(n: int, size: int, rng: np.random.Generator, device: torch.device) -> Iterator[Batch]:
    """Rows 0 .. n-1 in random order, ``size`` at a time, every batch of the same shape."""
    steps = -(-n // size)
    rows = np.zeros(steps * size, np.int64)
    rows[:n] = rng.permutation(n)
    mask = np.zeros(steps * size, np.float32)
    mask[:n] = 1.0
    all_rows, all_masks = on_device(rows, device), on_device(mask, device)
    for step in range(steps):
        some = slice(step * size, (step + 1) * size)
        yield Batch(all_rows[some], all_masks[some], min(size, n - step * size))


def edges_within(part: slice, slices: int) -> list[int]:
    """Bounds of the time slices of ``part``, as rows of ``Data``."""
    return [part.start + edge for edge in slice_edges(part.stop - part.start, slices)]


def _known(unknown: Tensor, error: Tensor) -> Tensor:
    """Numbers (n, N) with the label known, of those without it and ``error`` (n,)."""
    return torch.cat([unknown[:, :-N_EXACT], torch.stack([error, torch.ones_like(error)], dim=1)], dim=1)
