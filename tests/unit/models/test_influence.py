"""Importance targets: the closed form against autograd, and what standardising promises."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import influence
from models.influence import alignment, log_counts, residual, slice_edges, target

N, H = 60, 4
EDGES = [0, 20, 40, 60]


def made() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.relu(torch.randn(N, H, generator=generator))
    probability = torch.rand(N, generator=generator) * 0.8 + 0.1
    return hidden, probability, (torch.rand(N, generator=generator) < probability).float()


def gradient(hidden: torch.Tensor, bias_of: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
    """Of the mean logistic loss over the rows, with respect to last-layer weights and bias, by autograd.

    The logits' own values enter as constants ``bias_of`` so that any probability can be had at weights 0.
    """
    theta = torch.zeros(H + 1, dtype=torch.float64, requires_grad=True)
    logit = bias_of + hidden.double() @ theta[:-1] + theta[-1]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, label.double())
    (found,) = torch.autograd.grad(loss, theta)
    return found


def test_alignment_is_the_gradients_of_autograd_through_the_inverse_hessian() -> None:
    hidden, probability, label = made()
    logit = torch.logit(probability.double())

    def loss(theta: torch.Tensor) -> torch.Tensor:
        z = logit + hidden.double() @ theta[:-1] + theta[-1]
        return torch.nn.functional.binary_cross_entropy_with_logits(z, label.double())

    hessian = torch.autograd.functional.hessian(loss, torch.zeros(H + 1, dtype=torch.float64))
    hessian = hessian + influence.DAMPING * hessian.diagonal().mean() * torch.eye(H + 1)
    found = alignment(hidden, probability, label, torch.ones(N), EDGES)
    ahead = {0: gradient(hidden[20:40], logit[20:40], label[20:40]), 1: gradient(hidden[40:], logit[40:], label[40:])}
    for i in range(40):
        one = gradient(hidden[i : i + 1], logit[i : i + 1], label[i : i + 1])
        assert float(found[i]) == pytest.approx(float(one @ torch.linalg.solve(hessian, ahead[i // 20])), rel=1e-4)
    assert found[40:].isnan().all()


def test_a_sample_like_the_next_slices_errors_aligns_and_its_opposite_does_not() -> None:
    hidden = torch.ones(4, 1)
    label = torch.tensor([1.0, 0.0, 1.0, 1.0])  # the next slice has positives that were not expected
    found = alignment(hidden, torch.full((4,), 0.5), label, torch.ones(4), [0, 2, 4])
    assert found[0] > 0 > found[1]


def test_what_is_not_trusted_is_as_if_it_were_not_there() -> None:
    hidden, probability, label = made()
    trust = torch.ones(N)
    trust[25:40] = 0
    kept = torch.cat([torch.arange(25), torch.arange(40, N)])
    found = alignment(hidden, probability, label, trust, EDGES)
    without = alignment(hidden[kept], probability[kept], label[kept], torch.ones(45), [0, 20, 25, 45])
    assert torch.allclose(found[:20], without[:20], rtol=1e-4)


def test_residual_leaves_nothing_of_its_causes() -> None:
    generator = torch.Generator().manual_seed(1)
    causes = torch.randn(N, 2, generator=generator)
    noise = torch.randn(N, generator=generator)
    left = residual(3 * causes[:, 0] - causes[:, 1] + 7 + noise, causes, EDGES)
    for first, last in ((0, 20), (20, 40), (40, 60)):
        some, cause = left[first:last], causes[first:last]
        assert abs(float(some.mean())) < 1e-4
        assert (cause.T @ some).abs().max() < 1e-3
        assert float(some.std()) > 0.5  # the noise is still there


def test_residual_survives_a_cause_that_does_not_vary() -> None:
    assert residual(torch.randn(N), torch.ones(N, 1), EDGES).isfinite().all()


@given(st.integers(1, 200), st.integers(1, 20), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_targets_are_bounded_and_know_no_scale_or_level(n: int, slices: int, scale: float, level: float) -> None:
    values = torch.from_numpy(np.random.default_rng(n).normal(size=n))
    edges = slice_edges(n, slices)
    found = target(values, edges)
    bound = torch.sigmoid(torch.tensor(influence.BOUND, dtype=torch.float64))
    assert ((found >= 1 - bound - 1e-9) & (found <= bound + 1e-9)).all()
    assert torch.allclose(found, target(values * scale + level, edges), atol=1e-4)


def test_targets_are_standardised_per_slice() -> None:
    values = torch.cat([torch.arange(20.0), 1000 + 50 * torch.arange(20.0)])
    found = target(values, [0, 20, 40])
    assert torch.allclose(found[:20], found[20:], atol=1e-5)


def test_a_slice_without_a_target_stays_without() -> None:
    values = torch.cat([torch.arange(5.0), torch.full((5,), float("nan"))])
    found = target(values, [0, 5, 10])
    assert found[:5].isfinite().all()
    assert found[5:].isnan().all()


@given(st.integers(1, 1000), st.integers(1, 50))
def test_slices_cover_everything_and_none_is_empty(n: int, slices: int) -> None:
    edges = slice_edges(n, slices)
    assert (edges[0], edges[-1]) == (0, n)
    assert all(a < b for a, b in pairwise(edges))


def test_counts_are_of_each_key() -> None:
    keys = np.array([5, 5, 7], np.uint64)
    assert np.allclose(log_counts(keys, np.array([1, 2, 3], np.uint64)), np.log([[3, 2], [3, 2], [2, 2]]))
