"""The input layout and the reference forward pass: what a worker's kernel must reproduce."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models import forward
from models.errors import ArtifactError
from models.inputs import CLIP, Buckets, Inputs, bucket, label_known, label_unknown, standard_of, standardised
from models.net import ImportanceNet
from tests.support.samples import N_DENSE, made_samples, made_weights

WEIGHTS = made_weights()
INPUTS = label_known(made_samples(300), WEIGHTS.buckets)


def by_scalars(ids: list[int], numbers: list[np.float32]) -> list[float]:
    """The documented operations, one scalar at a time."""
    w = WEIGHTS
    z = [min(max((x - m) * s, -CLIP), CLIP) for x, m, s in zip(numbers, w.mean, w.scale, strict=True)]
    layer = [*w.user[ids[0]], *w.item[ids[1]], *w.category[ids[2]], *w.event_type[ids[3]], *z]
    for matrix, bias, last in ((w.w1, w.b1, False), (w.w2, w.b2, False), (w.w3, w.b3, True)):
        total = list(bias)
        for i, x in enumerate(layer):
            for o in range(len(total)):
                total[o] = np.float32(total[o] + np.float32(np.float32(x) * matrix[i, o]))
        layer = total if last else [max(t, np.float32(0)) for t in total]
    return [1 / (1 + math.exp(-float(t))) for t in layer]


def test_scores_are_the_documented_operations_bit_for_bit() -> None:
    found = forward.scores(WEIGHTS, Inputs(INPUTS.ids[:5], INPUTS.numbers[:5]))
    for row in range(5):
        assert found[row].tolist() == by_scalars(INPUTS.ids[row].tolist(), list(INPUTS.numbers[row]))


@given(st.integers(0, 299), st.integers(1, 300))
def test_scores_do_not_depend_on_the_batch(first: int, size: int) -> None:
    some = slice(first, first + size)
    alone = forward.scores(WEIGHTS, Inputs(INPUTS.ids[some], INPUTS.numbers[some]))
    assert np.array_equal(alone, forward.scores(WEIGHTS, INPUTS)[some])


def test_fast_scores_and_torch_agree_with_the_reference() -> None:
    reference = forward.scores(WEIGHTS, INPUTS)
    net = ImportanceNet(WEIGHTS, torch.device("cpu"))
    numbers = torch.from_numpy(standardised(INPUTS.numbers, WEIGHTS.standard))
    hidden = net.hidden(net.embedded(torch.from_numpy(INPUTS.ids)), numbers)
    by_torch = torch.sigmoid(net.logits(hidden)).detach().numpy()
    assert np.abs(forward.scores_fast(WEIGHTS, INPUTS) - reference).max() < 1e-5
    assert np.abs(by_torch - reference).max() < 1e-5
    assert reference.std() > 0.05  # they agree on something


def test_sigmoid_stays_finite_at_the_ends() -> None:
    assert forward.sigmoid(np.array([[-3e38, 3e38, 0.0]], np.float32)).tolist() == [[0.0, 1.0, 0.5]]


@given(st.floats(-1e308, 1e308))
def test_the_logistic_function_is_quiet_everywhere_and_exact_in_between(z: float) -> None:
    (found,) = forward.logistic(np.array([z])).tolist()
    expected = 1 / (1 + math.exp(-z)) if z > 0 else math.exp(z) / (1 + math.exp(z))
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-300)


def test_no_sample_has_no_scores() -> None:
    nothing = Inputs(INPUTS.ids[:0], INPUTS.numbers[:0])
    assert forward.scores(WEIGHTS, nothing).shape == forward.scores_fast(WEIGHTS, nothing).shape == (0, 2)


@given(st.integers(0, 2**64 - 1), st.integers(2, 1 << 20))
def test_buckets_keep_zero_for_absent_ids(hashed: int, buckets: int) -> None:
    (found,) = bucket(np.array([hashed], np.uint64), buckets).tolist()
    assert found == (0 if hashed == 0 else 1 + hashed % (buckets - 1))
    assert found < buckets


def test_forms_differ_in_error_and_flag_alone() -> None:
    samples = made_samples(50)
    unknown, known = label_unknown(samples, Buckets(4, 4, 4)), label_known(samples, Buckets(4, 4, 4))
    assert np.array_equal(unknown.ids, known.ids)
    assert np.array_equal(unknown.numbers[:, :-2], known.numbers[:, :-2])
    assert not unknown.numbers[:, -2:].any()
    assert np.array_equal(known.numbers[:, -2], samples.label - samples.probability)
    assert (known.numbers[:, -1] == 1).all()


def test_numbers_are_dense_then_roots_of_the_scores() -> None:
    samples = made_samples(20)
    numbers = label_unknown(samples, Buckets(4, 4, 4)).numbers
    assert np.array_equal(numbers[:, :N_DENSE], samples.dense)
    assert np.allclose(numbers[:, N_DENSE] ** 2, samples.probability)
    assert np.allclose(numbers[:, N_DENSE + 1] ** 2, samples.feature_score)


def test_standardised_numbers_have_mean_0_and_deviation_1_but_for_error_and_flag() -> None:
    numbers = label_known(made_samples(500), Buckets(4, 4, 4)).numbers
    z = standardised(numbers, standard_of(numbers))
    assert np.allclose(z[:, :-2].mean(axis=0), 0, atol=1e-3)
    assert np.allclose(z[:, :-2].std(axis=0), 1, atol=1e-2)
    assert np.array_equal(z[:, -2:], numbers[:, -2:])


def test_a_constant_column_says_nothing_and_a_freak_value_is_bounded() -> None:
    numbers = np.zeros((100, 6), np.float32)
    numbers[:, 1] = np.arange(100)
    standard = standard_of(numbers)
    z = standardised(np.full((1, 6), 1e30, np.float32), standard)
    assert z[0, 0] == 0
    assert z[0, 1] == CLIP


@pytest.mark.parametrize("name", forward.NAMES)
def test_a_missing_or_misshapen_tensor_is_named(name: str) -> None:
    tensors = forward.tensors_of(WEIGHTS)
    with pytest.raises(ArtifactError, match=f"'{name}' is missing"):
        forward.weights_of({key: value for key, value in tensors.items() if key != name})
    with pytest.raises(ArtifactError, match=f"'{name}' is float64"):
        forward.weights_of(tensors | {name: tensors[name].astype(np.float64)})
    with pytest.raises(ArtifactError, match="tensor"):
        forward.weights_of(tensors | {name: tensors[name][None]})
