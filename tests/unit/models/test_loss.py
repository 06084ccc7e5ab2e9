"""The batch loss against its formulas, and what padding must not do."""

from __future__ import annotations

import numpy as np
import torch

from models.loss import Balance, Goal, batch_loss, loss_and_slopes

BALANCE = Balance(k=2.0, importance_share=0.5, spread_penalty=0.3)


def made(n: int) -> tuple[torch.Tensor, torch.Tensor, Goal]:
    generator = torch.Generator().manual_seed(n)
    unknown, known = torch.randn(n, 2, generator=generator), torch.randn(n, 2, generator=generator)
    label = (torch.rand(n, generator=generator) < 0.5).float()
    return unknown, known, Goal(label, torch.rand(n, generator=generator), torch.ones(n), torch.ones(n))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def test_loss_is_the_documented_sum() -> None:
    unknown, known, goal = made(50)
    y, t = goal.label.numpy(), goal.target.numpy()
    p, f, g = (sigmoid(one.numpy().astype(float)) for one in (unknown[:, 0], unknown[:, 1], known[:, 1]))

    def cross_entropy(truth: np.ndarray, q: np.ndarray) -> float:
        return float(-np.mean(truth * np.log(q) + (1 - truth) * np.log(1 - q)))

    w = 2.0 * np.concatenate([f, g]) / np.concatenate([f, g]).mean()
    importance = (cross_entropy(t, f) + cross_entropy(t, g)) / 2
    expected = cross_entropy(y, p) + 0.5 * importance + 0.3 * np.mean((w - 1) ** 2)
    assert np.isclose(float(batch_loss(unknown, known, goal, BALANCE)), expected, rtol=1e-5)


def test_the_known_form_never_teaches_the_label() -> None:
    unknown, known, goal = made(20)
    known.requires_grad_()
    batch_loss(unknown, known, goal, BALANCE).backward()
    assert known.grad is not None
    assert not known.grad[:, 0].any()
    assert known.grad[:, 1].any()


def test_padding_changes_nothing() -> None:
    unknown, known, goal = made(30)
    padded = Goal(*(torch.cat([column, torch.zeros(10)]) for column in goal))
    wide = [torch.cat([form, torch.full((10, 2), 9.0)]) for form in (unknown, known)]
    assert torch.allclose(batch_loss(unknown, known, goal, BALANCE), batch_loss(wide[0], wide[1], padded, BALANCE))


def test_samples_without_a_target_teach_prediction_alone() -> None:
    unknown, known, goal = made(30)
    goal = goal._replace(targeted=torch.zeros(30))
    balance = BALANCE._replace(spread_penalty=0.0)
    unknown.requires_grad_()
    batch_loss(unknown, known, goal, balance).backward()
    assert unknown.grad is not None
    assert unknown.grad[:, 0].any()
    assert not unknown.grad[:, 1].any()


def test_the_slopes_are_the_derivatives_of_the_loss() -> None:
    unknown, known, goal = made(40)
    goal = Goal(*(column.double() for column in goal))
    goal.mask[30:], goal.targeted[20:] = 0, 0
    unknown, known = unknown.double().requires_grad_(), known.double().requires_grad_()
    loss, *slopes = loss_and_slopes(unknown, known, goal, BALANCE)
    for mine, recorded in zip(slopes, torch.autograd.grad(loss, [unknown, known]), strict=True):
        torch.testing.assert_close(mine, recorded, rtol=1e-10, atol=1e-12)


def test_a_gradient_of_the_batch_loss_scales_with_what_is_asked() -> None:
    unknown, known, goal = made(20)
    unknown.requires_grad_()
    (3.0 * batch_loss(unknown, known, goal, BALANCE)).backward()
    _, slopes, _ = loss_and_slopes(unknown.detach(), known, goal, BALANCE)
    torch.testing.assert_close(unknown.grad, 3.0 * slopes)
