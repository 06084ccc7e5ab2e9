"""Dense layers: bit for bit the sums that they are documented to be, however many units they have."""

from __future__ import annotations

import numpy as np
import pytest

from sie_online.layers import HALF, WIDE, relu_layer

INPUTS = 37


def by_scalars(x: list[np.float32], weights: np.ndarray, bias: np.ndarray) -> list[np.float32]:
    """The documented operations, one at a time."""
    found = []
    for unit in range(len(bias)):
        total = bias[unit]
        for at, value in enumerate(x):
            total = total + value * weights[at, unit]
        found.append(max(total, np.float32(0.0)))
    return found


@pytest.mark.parametrize("units", [1, HALF - 1, HALF, HALF + 1, WIDE, WIDE + HALF + 3, 4 * WIDE])
@pytest.mark.parametrize("flat", [False, True])
def test_a_layer_is_its_documented_sums(units: int, flat: bool) -> None:
    rng = np.random.default_rng(units)
    x = rng.normal(size=INPUTS).astype(np.float32)
    x[::5] = 0.0
    weights = rng.normal(size=(INPUTS, units)).astype(np.float32)
    bias, out = rng.normal(size=units).astype(np.float32), np.full(units, np.nan, np.float32)
    relu_layer(x, weights.reshape(-1) if flat else weights, bias, out)
    assert out.tobytes() == np.array(by_scalars(list(x), weights, bias), np.float32).tobytes()
    assert units == 1 or 0 < np.count_nonzero(out) < units


def test_a_layer_writes_to_its_units_alone() -> None:
    room = np.full(WIDE + 2, 7.0, np.float32)
    relu_layer(np.ones(3, np.float32), np.ones((3, WIDE), np.float32), np.zeros(WIDE, np.float32), room[1:-1])
    assert room.tolist() == [7.0] + [3.0] * WIDE + [7.0]
