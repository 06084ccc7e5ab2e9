"""The products that a step is measured against are those its loss is made of, as torch counts them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models import step as steps
from models.data import Batch, load, ordered
from models.limits import FORMS, bytes_per_sample, flops_per_sample, plain_products, products_of
from models.net import ImportanceNet
from models.settings import MODES, TrainingMode
from tests.support.samples import FAST, N_DENSE, made_samples, made_weights

NUMBERS = N_DENSE + 4
CPU = torch.device("cpu")


def counted(mode: TrainingMode) -> int:
    """Multiplications and additions in the products of loss and gradient of one batch, as they are defined."""
    net = ImportanceNet(made_weights(), CPU)
    data = load(ordered(made_samples(200)), made_weights(), CPU)
    rows = torch.arange(FAST.batch)
    targets = torch.full_like(data.label, 0.6), torch.ones_like(data.label)
    goal = steps.goal_of(data, Batch(rows, torch.ones(len(rows)), len(rows)), targets)
    with FlopCounterMode(display=False) as counter:
        if mode == "full":
            embedded = net.embedded(data.ids[rows]).requires_grad_()
            loss = steps.full_loss(net.layers, embedded, *data.forms(rows), goal, steps.balance_of(FAST), False)
            torch.autograd.backward(loss)
        else:
            hidden = torch.ones(len(rows), FORMS, FAST.shape.hidden2)
            steps.heads_gradients(net.layers, hidden, goal, steps.balance_of(FAST))
    return counter.get_total_flops()


@pytest.mark.parametrize("mode", MODES)
def test_the_products_are_those_of_a_step(mode: TrainingMode) -> None:
    settings = replace(FAST, mode=mode)
    # recorded gradients do not know that nobody asks for those by the numbers
    for_nobody = 2 * FORMS * FAST.batch * FAST.shape.hidden1 * NUMBERS if mode == "full" else 0
    products = sum(2 * m * k * n for m, k, n in products_of(settings, NUMBERS))
    assert products == counted(mode) - for_nobody
    assert products == flops_per_sample(settings, NUMBERS) * settings.batch


@pytest.mark.parametrize("mode", MODES)
def test_the_plain_products_are_as_many_operations(mode: TrainingMode) -> None:
    settings = replace(FAST, mode=mode)
    with FlopCounterMode(display=False) as counter:
        plain_products(settings, NUMBERS, CPU, bf16=False)()
    assert counter.get_total_flops() == flops_per_sample(settings, NUMBERS) * settings.batch


def test_heads_move_less_than_the_whole_net() -> None:
    shape = replace(FAST.shape, hidden2=4)
    full, heads = (bytes_per_sample(replace(FAST, mode=mode, shape=shape), NUMBERS) for mode in MODES)
    assert 0 < heads < full
