"""The noise model as kernels take it: the arrays of one version, and what their shapes must be.

It is fitted elsewhere (`models.noise`) and put in force at a named offset (model ``noise``); until then the default
that is part of this package serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import NOISE_HEADS, NOISE_MIXED

N_HEADS = len(NOISE_HEADS)
AGES = 8
"""Ages of an account that are standardised apart: 1, 2-3, 4-7, ... events so far; the last is open."""
MIXED = NOISE_MIXED


class NoiseArrays(NamedTuple):
    """One version. All float32; N signals of evidence, K knots, hidden layers of H1 and H2 units."""

    location: NDArray[np.float32]  # (AGES, N): of each signal over ordinary events
    scale: NDArray[np.float32]  # (AGES, N), above 0
    knots: NDArray[np.float32]  # (K,) ascending, above 0, in units of the scale
    monotone: NDArray[np.float32]  # (N_HEADS, N, 2 K), at least 0: of max(z - knot, 0), then of max(-z - knot, 0)
    monotone_bias: NDArray[np.float32]  # (N_HEADS,)
    w1: NDArray[np.float32]  # (N + N_HEADS + 1, H1): standardised evidence / 3, head one-hot, log1p(events) / 4
    b1: NDArray[np.float32]  # (H1,)
    w2: NDArray[np.float32]  # (H1, H2)
    b2: NDArray[np.float32]  # (H2,)
    w3: NDArray[np.float32]  # (H2,)
    b3: NDArray[np.float32]  # (1,)
    mix: NDArray[np.float32]  # (N_HEADS, len(MIXED)): log likelihood ratio of noise = mix . what is mixed
    share: NDArray[np.float32]  # (N_HEADS,): share of noise presumed at the start


def new_noise(tensors: Mapping[str, NDArray[Any]], signals: int) -> NoiseArrays:
    """The arrays named as `NoiseArrays`'s fields, checked.

    Raises:
        ValueError: one is missing, has another shape, is not finite, or breaks its bound; in words.
    """
    missing = [name for name in NoiseArrays._fields if name not in tensors]
    if missing:
        raise ValueError(f"a noise model needs {', '.join(missing)}")
    arrays = NoiseArrays(*(np.ascontiguousarray(tensors[name], np.float32) for name in NoiseArrays._fields))
    knots, hidden1, hidden2 = arrays.knots.size, arrays.b1.size, arrays.b2.size
    shapes: dict[str, tuple[int, ...]] = {
        "location": (AGES, signals),
        "scale": (AGES, signals),
        "knots": (knots,),
        "monotone": (N_HEADS, signals, 2 * knots),
        "monotone_bias": (N_HEADS,),
        "w1": (signals + N_HEADS + 1, hidden1),
        "b1": (hidden1,),
        "w2": (hidden1, hidden2),
        "b2": (hidden2,),
        "w3": (hidden2,),
        "b3": (1,),
        "mix": (N_HEADS, len(MIXED)),
        "share": (N_HEADS,),
    }
    for name, array in zip(NoiseArrays._fields, arrays, strict=True):
        if array.shape != shapes[name]:
            raise ValueError(f"{name} of a noise model is {array.shape}, not {shapes[name]}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} of a noise model is not finite")
    if arrays.scale.min() <= 0 or arrays.monotone.min() < 0 or not ((arrays.share > 0) & (arrays.share < 1)).all():
        raise ValueError("a noise model needs scales above 0, monotone weights of at least 0, and shares within (0, 1)")
    return arrays
