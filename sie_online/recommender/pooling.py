"""What several shards have learned, put together: each coefficient's evidence added up, and a shard's own taken out.

A coefficient w with curvature Q is a Gaussian belief N(w, 1/Q) (the diagonal Laplace approximation that the steps of
`sie_online.recommender.kernels` maintain). Beliefs that began alike and saw different data combine by adding what each
gained in *natural parameters* (Broderick et al., NeurIPS'13, streaming variational Bayes):

    Q = Q_0 + sum_p (Q_p - Q_0)        Q w = Q_0 w_0 + sum_p (Q_p w_p - Q_0 w_0)

So a shard learns alone, and takes the gains of all others in at a stroke; to replace them by newer ones it takes the
old ones out first. What is left after taking the others' out is its own. Elementwise IEEE arithmetic only: the same
bits on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.ranking.pooling import Neighbourhoods
from sie_online.recommender.kernels import MOVED, RecommenderArrays
from sie_online.recommender.machine import FACTOR_CAP

Array = NDArray[np.float64]

WEIGHT_CAP = 35.0
"""No pooled coefficient is larger: one of this size alone decides every logit."""


class Gain(NamedTuple):
    """What was learned of one table's rows: rows that have gained nothing are left out.

    ``rows`` (n,) int32, ascending; ``values`` (n, 2, 2k) float32: per twin the gains of k products Q w, then of k Q.
    """

    rows: NDArray[np.int32]
    values: NDArray[np.float32]


TABLES = ("linear", "factors")
"""Tables of coefficients."""


class Gains(NamedTuple):
    """What was learned: of a recommender's coefficients, by tables; and counted for lists, None where nothing was."""

    linear: Gain
    factors: Gain
    neighbourhoods: Neighbourhoods | None = None


def gains_of(model: RecommenderArrays, start: RecommenderArrays, others: Gains | None) -> Gains:
    """What ``model`` has learned itself since ``start``, without the ``others`` that were put into it."""
    return Gains(
        _gain(model.linear, start.linear, others and others.linear),
        _gain(model.factors, start.factors, others and others.factors),
    )


def total(parts: Iterable[Gains], start: RecommenderArrays) -> Gains:
    """The sum of ``parts`` in coefficients, added up in their order."""
    linear, factors = np.zeros_like(start.linear), np.zeros_like(start.factors)
    for part in parts:
        _add(linear, part.linear)
        _add(factors, part.factors)
    return Gains(_sparse(linear), _sparse(factors))


def replace(model: RecommenderArrays, start: RecommenderArrays, before: Gains | None, after: Gains | None) -> None:
    """Take ``before`` out of ``model`` and put ``after`` in, in place; None is nothing.

    A precision stays at or above where it starts, and values within their bounds, whatever is put in.
    """
    linear = _replace(model.linear, start.linear, before and before.linear, after and after.linear, WEIGHT_CAP)
    factors = _replace(model.factors, start.factors, before and before.factors, after and after.factors, FACTOR_CAP)
    model.moved_linear[linear] = model.moved_factors[factors] = MOVED


def _natural(table: Array) -> Array:
    """Values and curvatures (…, 2k) as products and curvatures."""
    k = table.shape[-1] // 2
    return np.concatenate([table[..., :k] * table[..., k:], table[..., k:]], axis=-1)


def _gain(table: Array, start: Array, others: Gain | None) -> Gain:
    gained = _natural(table) - _natural(start)
    if others is not None:
        gained[others.rows] -= others.values
    return _sparse(gained)


def _sparse(gained: Array) -> Gain:
    values = gained.astype(np.float32)
    rows = np.flatnonzero(values.any(axis=(1, 2)))
    return Gain(rows.astype(np.int32), values[rows])


def _add(sums: Array, part: Gain) -> None:
    sums[part.rows] += part.values


def _replace(
    table: Array, start: Array, before: Gain | None, after: Gain | None, cap: float
) -> NDArray[np.integer[Any]]:
    """The rows that were written to."""
    nothing = np.empty(0, np.int32)
    rows = np.union1d(nothing if before is None else before.rows, nothing if after is None else after.rows)
    natural = _natural(table[rows])
    if before is not None:
        natural[np.searchsorted(rows, before.rows)] -= before.values
    if after is not None:
        natural[np.searchsorted(rows, after.rows)] += after.values
    k = table.shape[-1] // 2
    curvature = np.maximum(natural[..., k:], start[rows][..., k:])
    table[rows, :, :k] = np.clip(natural[..., :k] / curvature, -cap, cap)
    table[rows, :, k:] = curvature
    return rows
