"""The loss of one batch, each sample in both forms: label unknown (as at the event) and known (as at settlement).

    prediction:  -mean log P(y)                     of the unknown form alone: the known one carries its label
    importance:  cross entropy of f against the target, mean over both forms
    spread:      mean (w - 1)^2, w = k f / mean f, over both forms

total = prediction + importance_share * importance + spread_penalty * spread.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
    loss: Tensor = _BatchLoss.apply(unknown.float(), known.float(), *goal, *balance)
    return loss


class _BatchLoss(torch.autograd.Function):
    """One node with its gradient in closed form: of numbers this few, recording each operation is what takes time."""

    @staticmethod
    def forward(
        ctx: Any,
        unknown: Tensor,
        known: Tensor,
        label: Tensor,
        target: Tensor,
        mask: Tensor,
        targeted: Tensor,
        *balance: float,
    ) -> Tensor:
        loss, *slopes = loss_and_slopes(unknown, known, Goal(label, target, mask, targeted), Balance(*balance))
        ctx.save_for_backward(*slopes)
        return loss

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        return *(each * slopes[0] for each in ctx.saved_tensors), *[None] * (len(Goal._fields) + len(Balance._fields))


def loss_and_slopes(unknown: Tensor, known: Tensor, goal: Goal, balance: Balance) -> tuple[Tensor, Tensor, Tensor]:
    """The sum above, and its derivatives by the logits of both forms, (n, 2) each.

    With f = sigmoid(z), w = k f / mean f and n the mask's sum, the spread's derivative by f_j is
    mask_j (k (w_j - 1) - mean w (w - 1)) / (n mean f).
    """
    logits = torch.stack([unknown[:, LABEL], unknown[:, IMPORTANCE], known[:, IMPORTANCE]])
    goals = torch.stack([goal.label, goal.target, goal.target])
    each = goal.mask / goal.mask.sum().clamp_min(1.0)
    each_target = goal.targeted * (balance.importance_share / 2.0 / goal.targeted.sum().clamp_min(1.0))
    weight = torch.stack([each, each_target, each_target])
    p = torch.sigmoid(logits)
    f = p[1:]
    mean = (f * each).sum() / 2.0
    w = f * (balance.k / mean)
    away = w - 1.0
    weighted = away * each
    loss = binary_cross_entropy_with_logits(logits, goals, weight, reduction="sum")
    loss = loss + balance.spread_penalty * (away * weighted).sum() / 2.0
    slope = (p - goals) * weight
    by_f = (balance.k * weighted - (w * weighted).sum() / 2.0 * each) * (balance.spread_penalty / mean)
    slope[1:] += by_f * f * (1.0 - f)
    return loss, torch.stack([slope[0], slope[1]], dim=1), torch.stack([torch.zeros_like(each), slope[2]], dim=1)


def prediction_loss(logit: Tensor, goal: Goal) -> Tensor:
    """Mean binary cross entropy."""
    each = binary_cross_entropy_with_logits(logit, goal.label, reduction="none")
    return _mean(each, goal.mask)


def importance_loss(unknown: Tensor, known: Tensor, goal: Goal) -> Tensor:
    """Mean cross entropy against the target over both forms; 0 where no sample has one."""
    each = binary_cross_entropy_with_logits(unknown, goal.target, reduction="none")
    each = each + binary_cross_entropy_with_logits(known, goal.target, reduction="none")
    return _mean(each, goal.targeted) / 2.0


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp_min(1.0)
