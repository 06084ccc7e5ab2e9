"""The noise model as kernels take it: the arrays of one version, and what their shapes must be.

It is fitted elsewhere (`models.noise`) and put in force at a named offset (model ``noise``); until then the default
that is part of this package serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import NOISE_HEADS, NOISE_MIXED
from sie_online.importance.noise.evidence import N_SIGNALS

N_HEADS = len(NOISE_HEADS)
HIDDEN_MAX = 64
"""Widest hidden layer that a kernel has room for."""
AGES = 7
"""Ages of an account: 1, 2-3, 4-7, ... events so far; the last is open."""
STRATA = AGES + N_HEADS - 1
"""What is ordinary is told apart for samples by the age of their account, for acts, and for conversions."""
MIXED = NOISE_MIXED


class NoiseArrays(NamedTuple):
    """One version. All float32; N signals of evidence, K knots, hidden layers of H1 and H2 units."""

    location: NDArray[np.float32]  # (STRATA, N): of each signal over ordinary events
    scale: NDArray[np.float32]  # (STRATA, N), above 0
    support: NDArray[np.float32]  # (STRATA,), at least 0: mass of ordinary events that both of them stand for
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
    ordinary: NDArray[np.float32]  # (N_HEADS, 2): median and lower quartile of ordinary events' log likelihood ratios
    hinges: NDArray[np.float32]  # (N_HEADS, 2 K, N): ``monotone`` again, as kernels walk it


TENSORS = NoiseArrays._fields[:-1]
"""What an artifact holds."""


def new_noise(tensors: Mapping[str, NDArray[Any]], signals: int) -> NoiseArrays:
    """The arrays named as `TENSORS`, checked.

    Raises:
        ValueError: one is missing, has another shape, is not finite, or breaks its bound; in words.
    """
    missing = [name for name in TENSORS if name not in tensors]
    if missing:
        raise ValueError(f"a noise model needs {', '.join(missing)}")
    given = {name: np.array(tensors[name], np.float32, order="C") for name in TENSORS}
    arrays = NoiseArrays(**given, hinges=np.ascontiguousarray(np.swapaxes(given["monotone"], -1, -2)))
    knots, hidden1, hidden2 = arrays.knots.size, arrays.b1.size, arrays.b2.size
    shapes: dict[str, tuple[int, ...]] = {
        "location": (STRATA, signals),
        "scale": (STRATA, signals),
        "support": (STRATA,),
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
        "ordinary": (N_HEADS, 2),
    }
    for name, array in given.items():
        if array.shape != shapes[name]:
            raise ValueError(f"{name} of a noise model is {array.shape}, not {shapes[name]}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} of a noise model is not finite")
    if max(hidden1, hidden2) > HIDDEN_MAX:
        raise ValueError(f"a noise model's hidden layers have at most {HIDDEN_MAX} units, not {max(hidden1, hidden2)}")
    if arrays.scale.min() <= 0 or arrays.monotone.min() < 0 or not ((arrays.share > 0) & (arrays.share < 1)).all():
        raise ValueError("a noise model needs scales above 0, monotone weights of at least 0, and shares within (0, 1)")
    if (np.diff(arrays.ordinary) > 0).any():
        raise ValueError("a noise model's lower quartiles of ordinary log ratios cannot lie above their medians")
    if arrays.support.min() < 0 or not (np.diff(arrays.knots, prepend=0) > 0).all():
        raise ValueError("a noise model needs a support of at least 0, and ascending knots above 0")
    return arrays


DEFAULT = Path(__file__).with_name("default.npz")


@cache
def default_noise() -> NoiseArrays:
    """The model that serves until a shop's own is fitted: fitted on generated shops only."""
    with np.load(DEFAULT) as tensors:
        return new_noise(tensors, N_SIGNALS)


def neutral_noise() -> NoiseArrays:
    """A model that finds nothing, and takes nothing for ordinary yet: where a first fit begins."""
    knots, hidden = np.array([0.5, 1.5, 3.0]), 1
    zeros = {
        "location": (STRATA, N_SIGNALS),
        "support": (STRATA,),
        "monotone": (N_HEADS, N_SIGNALS, 2 * len(knots)),
        "monotone_bias": (N_HEADS,),
        "w1": (N_SIGNALS + N_HEADS + 1, hidden),
        "b1": (hidden,),
        "w2": (hidden, hidden),
        "b2": (hidden,),
        "w3": (hidden,),
        "b3": (1,),
        "mix": (N_HEADS, len(MIXED)),
    }
    tensors = {name: np.zeros(shape) for name, shape in zeros.items()}
    tensors |= {"knots": knots, "scale": np.ones((STRATA, N_SIGNALS)), "share": np.full(N_HEADS, 0.01)}
    tensors["ordinary"] = np.tile([0.0, -1.0], (N_HEADS, 1))
    return new_noise(tensors, N_SIGNALS)
