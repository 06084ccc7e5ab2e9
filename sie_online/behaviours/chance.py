"""Draws that are missing from numpy's generator. All of them take the generator; nothing here keeps a state."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from sie_online.behaviours.log import Floats, Ints

T = TypeVar("T")
Rng = np.random.Generator


def about(rng: Rng, low: float, high: float) -> float:
    """Log-uniform in [low, high)."""
    return float(low * (high / low) ** rng.random())


def whole(rng: Rng, low: float, high: float) -> int:
    """Log-uniform integer, ``low`` and ``high`` included."""
    return int(about(rng, low, high + 1))


def one_of(rng: Rng, *choices: T) -> T:
    """Any of ``choices``, all as likely."""
    return choices[int(rng.integers(len(choices)))]


def happens(rng: Rng, probability: float) -> bool:
    """With ``probability``."""
    return bool(rng.random() < probability)


def pick(rng: Rng, values: Ints, size: int | tuple[int, ...]) -> Ints:
    """Any of ``values`` (m,), with replacement."""
    return np.asarray(values[rng.integers(0, len(values), size)], np.int64)


def some(rng: Rng, values: Ints, size: int) -> Ints:
    """``size`` of ``values`` (m,), none twice; all in a random order if there are fewer."""
    return np.asarray(rng.permutation(values)[:size], np.int64)


def shares(rng: Rng, total: int, parts: int, spread: float) -> Ints:
    """``total`` in ``parts`` of at least 1, log-normal about their mean, (parts,)."""
    weights = rng.lognormal(0.0, spread, parts)
    return np.asarray(np.maximum(1, np.round(total * weights / weights.sum())), np.int64)


def steps(lengths: Ints) -> tuple[Ints, Ints]:
    """Of runs of ``lengths`` (r,): the run of each step and its number within the run, both (sum,)."""
    run = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    return run, np.arange(len(run)) - first[run]


def elapsed(gaps: Floats, run: Ints, step: Ints) -> Floats:
    """Sums of ``gaps`` (n,) since each run's first step, whose own gap counts for nothing, (n,)."""
    total = np.cumsum(np.where(step == 0, 0.0, gaps))
    first = np.maximum.accumulate(np.where(step == 0, np.arange(len(step)), 0))
    return np.asarray(total - total[first], np.float64) if len(run) else gaps
