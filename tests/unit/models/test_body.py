"""The hidden layers of both forms against the same layers as they are defined: values and every gradient."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.body import Body
from models.inputs import N_EXACT
from models.net import Hidden, ImportanceNet, hidden_of_both
from tests.support.samples import N_DENSE, made_weights

CPU = torch.device("cpu")
EMBEDDED = 8
NUMBERS = N_DENSE + 4


def inputs(n: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embedded = torch.randn(n, EMBEDDED, generator=generator)
    unknown, known = torch.randn(2, n, NUMBERS, generator=generator)
    known[:, :-N_EXACT] = unknown[:, :-N_EXACT]
    return embedded, unknown, known


def found(hidden: Hidden, n: int, seed: int) -> list[Tensor]:
    """What comes out, and the gradients of a sum with random signs and sizes."""
    layers = ImportanceNet(made_weights(), CPU).layers
    embedded, unknown, known = inputs(n, seed)
    embedded.requires_grad_()
    out = hidden(layers, embedded, unknown, known)
    kept = out.detach().clone()
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(seed))).sum().backward()
    return [kept, *(one.grad for one in (embedded, *layers.body) if one.grad is not None)]


def test_values_and_gradients_are_those_of_the_layers() -> None:
    body = Body()
    for seed, n in enumerate((64, 64, 7, 1, 64)):  # its memory is used again, and made anew for another size
        mine, expected = found(body, n, seed), found(hidden_of_both, n, seed)
        assert len(mine) == 6
        for one, other in zip(mine, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_a_layer_that_is_off_gets_no_gradient() -> None:
    net = ImportanceNet(made_weights()._replace(b2=made_weights().b2 - 1e6), CPU)
    embedded, unknown, known = inputs(16, 0)
    out = Body()(net.layers, embedded.requires_grad_(), unknown, known)
    out.sum().backward()
    assert not out.any()
    assert not any(one.grad.any() for one in net.layers.body if one.grad is not None)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_comes_through(value: float) -> None:
    embedded, unknown, known = inputs(16, 0)
    embedded[3] = value
    out = Body()(ImportanceNet(made_weights(), CPU).layers, embedded, unknown, known)
    assert not out[3].isfinite().all()
    assert not out[16 + 3].isfinite().all()
