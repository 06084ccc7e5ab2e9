"""The reference forward pass of the noise model: what a shard's kernel must reproduce bit for bit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.noise.forward import log_ratios, logits, monotone_logits, net_logits
from models.noise.parts import KNOTS, Monotone, SmallNet, rows_of
from tests.support.noise_examples import HIDDEN, QUICK, SIGNALS, made_examples, random_noise

TENSORS = random_noise()
EXAMPLES = made_examples()
LOGITS = logits(TENSORS, EXAMPLES.evidence, EXAMPLES.head, EXAMPLES.events)


def by_scalars(row: int) -> np.float32:
    """The documented operations, one scalar at a time."""
    t, z, h = TENSORS, EXAMPLES.evidence[row], int(EXAMPLES.head[row])
    zero, n_knots = np.float32(0), len(TENSORS["knots"])
    m = t["monotone_bias"][h]
    for j in range(SIGNALS):
        part = zero
        for k in range(n_knots):
            part = part + t["monotone"][h, j, k] * max(z[j] - t["knots"][k], zero)
        for k in range(n_knots):
            part = part + t["monotone"][h, j, n_knots + k] * max(-z[j] - t["knots"][k], zero)
        m = m + part
    age = np.float32(math.log1p(float(EXAMPLES.events[row]))) / np.float32(4)
    layer = [*(z / np.float32(3)), *(np.float32(k == h) for k in range(3)), age]
    for matrix, bias, last in ((t["w1"], t["b1"], 0), (t["w2"], t["b2"], 0), (t["w3"][:, None], t["b3"], 1)):
        total = list(bias)
        for i, x in enumerate(layer):
            for o in range(len(total)):
                total[o] = total[o] + x * matrix[i, o]
        layer = total if last else [max(a, zero) for a in total]
    found: np.float32 = np.float32(0.5) * (m + layer[0])
    return found


def test_logits_are_the_documented_operations_bit_for_bit() -> None:
    assert LOGITS.dtype == np.float32
    for row in range(0, len(LOGITS), 97):
        assert LOGITS[row].tobytes() == by_scalars(row).tobytes()
    assert LOGITS.std() > 0.3  # they agree on something


@given(st.integers(0, len(LOGITS) - 1), st.integers(1, 600))
def test_logits_do_not_depend_on_the_batch(first: int, size: int) -> None:
    some = EXAMPLES.take(np.arange(first, min(first + size, len(LOGITS))))
    alone = logits(TENSORS, some.evidence, some.head, some.events)
    assert np.array_equal(alone, LOGITS[first : first + size])


def test_torch_agrees_with_the_reference() -> None:
    rows = rows_of(EXAMPLES, torch.device("cpu"))
    assert np.allclose(TENSORS["knots"], KNOTS)
    monotone = Monotone(SIGNALS, QUICK, torch.device("cpu"), TENSORS)
    net = SmallNet(SIGNALS, replace(QUICK, hidden1=HIDDEN[0], hidden2=HIDDEN[1]), torch.device("cpu"), TENSORS)
    found = 0.5 * (monotone.logits(rows, training=False) + net.logits(rows, training=False))
    assert np.abs(found.detach().numpy() - LOGITS).max() < 1e-4


def test_evidence_raises_the_monotone_part_on_both_sides_and_never_lowers_it() -> None:
    z = np.linspace(-6, 6, 241, dtype=np.float32)
    for signal in range(SIGNALS):
        evidence = np.zeros((len(z), SIGNALS), np.float32)
        evidence[:, signal] = z
        found = monotone_logits(TENSORS, evidence, np.ones(len(z), np.int8))
        assert (np.diff(found[z >= 0]) >= -1e-6).all()
        assert (np.diff(found[z <= 0]) <= 1e-6).all()


def test_no_event_has_no_logit() -> None:
    none = EXAMPLES.take(np.empty(0, np.int64))
    assert logits(TENSORS, none.evidence, none.head, none.events).shape == (0,)


def test_the_logit_is_the_mean_of_two_parts() -> None:
    two = monotone_logits(TENSORS, EXAMPLES.evidence, EXAMPLES.head) + net_logits(
        TENSORS, EXAMPLES.evidence, EXAMPLES.head, EXAMPLES.events
    )
    assert np.array_equal(LOGITS, np.float32(0.5) * two)


def test_the_second_stage_is_a_sum_in_order_of_the_columns() -> None:
    rng, head = np.random.default_rng(0), np.arange(30) % 3
    mixed = rng.normal(size=(30, 6)).astype(np.float32)
    found = log_ratios(TENSORS["mix"], mixed, head)
    for row in range(30):
        weight = TENSORS["mix"][head[row]]
        total = weight[0] * mixed[row, 0]
        for column in range(1, 6):
            total = total + weight[column] * mixed[row, column]
        assert found[row].tobytes() == total.tobytes()
    assert found == pytest.approx((TENSORS["mix"][head] * mixed).sum(axis=1), abs=1e-5)
