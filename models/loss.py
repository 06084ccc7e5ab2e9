"""The loss of one batch, each sample in both forms: label unknown (as at the event) and known (as at settlement).

    prediction:  -mean log P(y)                     of the unknown form alone: the known one carries its label
    importance:  cross entropy of f against the target, mean over both forms
    spread:      mean (w - 1)^2, w = k f / mean f, over both forms

total = prediction + importance_share * importance + spread_penalty * spread.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from models.forward import IMPORTANCE, LABEL


class Goal(NamedTuple):
    """What a batch of n samples is measured against, each (n,) float32.

    ``mask`` is 0 for rows that only fill the batch up; ``targeted`` for samples without an importance target too.
    """

    label: Tensor
    target: Tensor
    mask: Tensor
    targeted: Tensor


class Balance(NamedTuple):
    """How the parts of the loss add up."""

    k: float
    importance_share: float
    spread_penalty: float


def batch_loss(unknown: Tensor, known: Tensor, goal: Goal, balance: Balance) -> Tensor:
    """The total loss, a float32 scalar, of the logits (n, 2) of both forms."""
    unknown, known = unknown.float(), known.float()
    total = prediction_loss(unknown[:, LABEL], goal)
    total = total + balance.importance_share * importance_loss(unknown[:, IMPORTANCE], known[:, IMPORTANCE], goal)
    spread = spread_loss(torch.sigmoid(unknown[:, IMPORTANCE]), torch.sigmoid(known[:, IMPORTANCE]), goal, balance.k)
    return total + balance.spread_penalty * spread


def prediction_loss(logit: Tensor, goal: Goal) -> Tensor:
    """Mean binary cross entropy."""
    each = binary_cross_entropy_with_logits(logit, goal.label, reduction="none")
    return _mean(each, goal.mask)


def importance_loss(unknown: Tensor, known: Tensor, goal: Goal) -> Tensor:
    """Mean cross entropy against the target over both forms; 0 where no sample has one."""
    each = binary_cross_entropy_with_logits(unknown, goal.target, reduction="none")
    each = each + binary_cross_entropy_with_logits(known, goal.target, reduction="none")
    return _mean(each, goal.targeted) / 2.0


def spread_loss(unknown: Tensor, known: Tensor, goal: Goal, k: float) -> Tensor:
    """mean (k f / mean f - 1)^2 of the importances of both forms."""
    mean = _mean(unknown + known, goal.mask) / 2.0
    each = (k * unknown / mean - 1.0).square() + (k * known / mean - 1.0).square()
    return _mean(each, goal.mask) / 2.0


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp_min(1.0)
