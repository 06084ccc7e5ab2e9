"""The model and its steps: hashed logistic regression averaged with a small factorisation machine.

Two twins share an axis of every array: 0 learns with uniform weights, 1 with the published ones. What both know of a
feature lies together, since both are asked about the same ones. Both models share one table of linear weights; the
machine adds pairwise terms (Rendle, ICDM'10) of a few columns:

    z_lr = prior + sum_j w_j x_j        z_fm = z_lr + sum_{i<j} <v_i, v_j> x_i x_j        p = (s(z_lr) + s(z_fm)) / 2

A step divides by the curvature gathered so far (diagonal online Newton; McMahan & Streeter, COLT'10 use squared
gradients instead, and a few surprises by rare positives then use up a weight's learning rate):

    w <- w - step * g x / Q,    Q <- Q + h p (1 - p) x^2,    Q_0 = 3

An importance weight h enters through the closed form of h -> infinitely many small steps (Karampatziakis & Langford,
UAI'11, logistic loss): safe for any h. Index 0 means *absent* and is skipped. With |x| <= `VALUE_CAP` nothing can
become infinite: pulls, factors and logits are bounded, curvatures stay at or above where they start.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sie_online.contracts import PROBABILITY_FLOOR
from sie_online.elementary import log
from sie_online.features.bins import GOLDEN, mixed
from sie_online.jit import kernel
from sie_online.recommender.linear import linear_contributions, linear_logit, linear_variance, move_linear
from sie_online.recommender.loss import bounded, pull_of, sigmoid
from sie_online.recommender.machine import (
    N_FACTORS,
    add_pairwise_contributions,
    factor_rate,
    move_factors,
    pairwise,
)

Array = npt.NDArray[np.float64]

TWINS = 2
UNIFORM, WEIGHTED = 0, 1
TWIN_NAMES = ("uniform", "weighted")
VALUE_CAP = 1e6  # larger values of a column are cut by the classifier
WEIGHT_CAP = 1e6  # no sample is worth more
USAGE_MEMORY = 100_000.0  # predictions that a column's running mean contribution looks back

MOVED = 3
"""Two bits: a reader takes one off, and knows by the other which rows were ever written to."""


class RecommenderConfig(NamedTuple):
    """Hyper-parameters, as kernels take them."""

    step: float = 0.15
    curvature: float = 3.0  # Q_0: what a fresh weight is worth, in events of curvature
    factor_step: float = 0.1
    factor_curvature: float = 0.5
    forgetting: float = 1e-4  # share of gathered curvature that one step forgets: never stop learning
    prior_logit: float = -2.0


class RecommenderArrays(NamedTuple):
    """Learned state (`linear`, `factors`, `usage`, `n_scored`), which columns have factors, scratch space, and marks.

    ``moved_linear`` and ``moved_factors`` hold `MOVED` for rows that were written to, until a reader takes bits off.
    """

    linear: Array  # (dim, 2, 2): weight, curvature
    factors: Array  # (factor_dim, 2, 8): 4 values, 4 curvatures
    usage: Array  # (2, columns): running mean |contribution|
    n_scored: Array  # (2,)
    fields: npt.NDArray[np.int64]  # columns that have factors
    ones: Array  # (columns,) values of one-hot columns
    contribution: Array  # (2, columns) scratch: of the last prediction
    sums: Array  # (2, 4) scratch: factor sums of the last prediction or step
    moved_linear: npt.NDArray[np.uint8]  # (dim,)
    moved_factors: npt.NDArray[np.uint8]  # (factor_dim,)


class Logits(NamedTuple):
    """What one twin says of one event, and where a step that learns it begins."""

    linear: float  # z_lr, and ...
    full: float  # ... z_fm
    p_linear: float  # their probabilities
    p_full: float
    variance: float  # of z_lr


class Prediction(NamedTuple):
    """One twin's statement about one event."""

    probability: float  # in [1e-6, 1 - 1e-6]
    feature_score: float  # >= 0
    uncertainty: float  # standard deviation of the probability, diagonal Laplace approximation
    logits: Logits


@kernel
def _start(cfg: Any, linear: Any, factors: Any, seed: int, scale: float) -> None:
    """Zero weights; factors from a hash of (seed, index, factor), the same for both twins."""
    dim, twins, _ = linear.shape
    n = factors.shape[0]
    salt = mixed(np.uint64(seed) * GOLDEN)
    for twin in range(twins):
        for i in range(dim):
            linear[i, twin, 0] = 0.0
            linear[i, twin, 1] = cfg.curvature
        for i in range(n):
            for f in range(N_FACTORS):
                unit = np.float64(mixed(salt + np.uint64(i * N_FACTORS + f)) >> np.uint64(11)) * 2.0**-53
                factors[i, twin, f] = scale * (2.0 * unit - 1.0)
                factors[i, twin, N_FACTORS + f] = cfg.factor_curvature


def new_model(
    cfg: RecommenderConfig,
    columns: int,
    fields: tuple[int, ...] = (),
    *,
    dim: int = 1 << 16,
    factor_dim: int = 1 << 14,
    factor_scale: float = 0.08,
    seed: int = 0,
    twins: int = TWINS,
) -> RecommenderArrays:
    """A model that has learned nothing; ``dim`` and ``factor_dim`` are powers of two.

    columns: features per event; fields: those whose pairs the factorisation machine models.
    """
    for name, size in (("dim", dim), ("factor_dim", factor_dim)):
        if size < 2 or size & (size - 1):
            raise ValueError(f"{name} must be a power of two of at least 2, not {size}")
    model = RecommenderArrays(
        linear=np.empty((dim, twins, 2)),
        factors=np.empty((factor_dim, twins, 2 * N_FACTORS)),
        usage=np.zeros((twins, columns)),
        n_scored=np.zeros(twins),
        fields=np.array(fields, dtype=np.int64),
        ones=np.ones(columns),
        contribution=np.zeros((twins, columns)),
        sums=np.zeros((twins, N_FACTORS)),
        moved_linear=np.zeros(dim, np.uint8),
        moved_factors=np.zeros(factor_dim, np.uint8),
    )
    _start(cfg, model.linear, model.factors, seed, factor_scale)
    return model


@kernel
def _feature_score(usage: Any, contribution: Any) -> float:
    """Sum over columns of |contribution|, weighted by its share of the running means (0 before any are known)."""
    score = 0.0
    total = 0.0
    for j in range(len(usage)):
        score += usage[j] * abs(contribution[j])
        total += usage[j]
    return score / total if total > 0.0 and math.isfinite(score) else 0.0


@kernel
def predict_values(cfg: Any, model: Any, twin: int, idx: Any, x: Any) -> Any:
    """`predict` for columns with values ``x`` (float64, one per index)."""
    linear, factors, fields = model.linear[:, twin], model.factors[:, twin], model.fields
    sums, contribution = model.sums[twin], model.contribution[twin]
    variance = linear_contributions(linear, idx, x, contribution)
    z = cfg.prior_logit
    for j in range(len(idx)):
        z += contribution[j]
    logits = _logits_of(z, z + pairwise(factors, fields, sums, idx, x), variance)
    p_lr, p = logits.p_linear, 0.5 * (logits.p_linear + logits.p_full)
    add_pairwise_contributions(factors, fields, sums, idx, x, contribution)
    spread = p_lr * (1.0 - p_lr) * math.sqrt(variance)
    return Prediction(
        min(max(p, PROBABILITY_FLOOR), 1.0 - PROBABILITY_FLOOR),
        _feature_score(model.usage[twin], contribution),
        min(spread, 0.5) if math.isfinite(spread) else 0.5,
        logits,
    )


@kernel
def _logits_of(z: float, z_fm: float, variance: float) -> Logits:
    return Logits(z, z_fm, sigmoid(bounded(z)), sigmoid(bounded(z_fm)), variance)


@kernel
def predict(cfg: Any, model: Any, twin: int, idx: Any) -> Any:
    """Prediction of one twin for one event of one-hot columns ``idx`` (uint32, 0 = absent). Changes only scratch."""
    return predict_values(cfg, model, twin, idx, model.ones)


@kernel
def note_usage(model: Any, twin: int) -> None:
    """Move the running mean |contribution| of every column by the last prediction of ``twin``."""
    usage, contribution = model.usage[twin], model.contribution[twin]
    n = min(model.n_scored[twin] + 1.0, USAGE_MEMORY)
    model.n_scored[twin] = n
    for j in range(len(usage)):
        size = abs(contribution[j])
        usage[j] += (size - usage[j]) / n if math.isfinite(size) else 0.0  # without a branch: vectorised


@kernel
def learn_values(cfg: Any, model: Any, twin: int, idx: Any, x: Any, y: float, weight: float) -> None:
    """`learn` for columns with values ``x`` (float64, one per index)."""
    if not weight > 0.0:
        return
    linear = model.linear[:, twin]
    z = linear_logit(cfg.prior_logit, linear, idx, x)
    z_fm = z + pairwise(model.factors[:, twin], model.fields, model.sums[twin], idx, x)
    _step(cfg, model, twin, idx, x, _logits_of(z, z_fm, linear_variance(linear, idx, x)), y, weight)


@kernel
def _step(cfg: Any, model: Any, twin: int, idx: Any, x: Any, logits: Logits, y: float, weight: float) -> None:
    """One step from ``logits``; the factor sums in the scratch are theirs."""
    h = min(weight, WEIGHT_CAP)
    linear, factors, fields, sums = model.linear[:, twin], model.factors[:, twin], model.fields, model.sums[twin]
    p, p_fm = logits.p_linear, logits.p_full
    pull = pull_of(logits.linear, y, h, cfg.step * logits.variance)
    pull_fm = pull_of(logits.full, y, h, factor_rate(cfg.factor_step, factors, fields, sums, idx, x))
    move_linear(cfg, linear, idx, x, pull, h * p * (1.0 - p))
    move_factors(cfg, factors, fields, sums, idx, x, pull_fm, h * p_fm * (1.0 - p_fm))
    _mark_moved(model, idx)


@kernel
def _mark_moved(model: Any, idx: Any) -> None:
    mask = np.uint32(len(model.moved_factors) - 1)
    for j in range(len(idx)):
        model.moved_linear[idx[j]] = MOVED
    for j in model.fields:
        model.moved_factors[idx[j] & mask] = MOVED


@kernel
def learn(cfg: Any, model: Any, twin: int, idx: Any, y: float, weight: float) -> None:
    """One step towards label ``y`` (0 or 1) with importance ``weight`` >= 0 (0, negative or NaN: no step)."""
    learn_values(cfg, model, twin, idx, model.ones, y, weight)


@kernel
def learn_predicted(cfg: Any, model: Any, twin: int, idx: Any, logits: Logits, y: float, weight: float) -> None:
    """`learn` of the event that ``twin`` predicted last, and since when it learned nothing: ``logits`` are known."""
    if weight > 0.0:
        _step(cfg, model, twin, idx, model.ones, logits, y, weight)


@kernel
def take_back(cfg: Any, model: Any, twin: int, idx: Any, p_then: float, weight_then: float) -> None:
    """Reverse the negative step that was made with ``weight_then`` when the probability was ``p_then``.

    Call it before learning the positive that the sample turned out to be. The curvature stays: the sample was seen.
    """
    if not (weight_then > 0.0 and 0.0 < p_then < 1.0):
        return
    linear, factors, fields, sums = model.linear[:, twin], model.factors[:, twin], model.fields, model.sums[twin]
    x = model.ones
    h = min(weight_then, WEIGHT_CAP)
    z = log(p_then / (1.0 - p_then))
    pairwise(factors, fields, sums, idx, x)
    pull = pull_of(z, 0.0, h, cfg.step * linear_variance(linear, idx, x))
    pull_fm = pull_of(z, 0.0, h, factor_rate(cfg.factor_step, factors, fields, sums, idx, x))
    move_linear(cfg, linear, idx, x, -pull, 0.0)
    move_factors(cfg, factors, fields, sums, idx, x, -pull_fm, 0.0)
    _mark_moved(model, idx)


@kernel
def predict_rows(cfg: Any, model: Any, idx: Any, x: Any, out: Any) -> None:
    """Probability of the first twin for every row of ``idx`` (uint32) with values ``x`` (float64)."""
    for row in range(len(idx)):
        out[row] = predict_values(cfg, model, 0, idx[row], x[row]).probability


@kernel
def learn_rows(cfg: Any, model: Any, idx: Any, x: Any, y: Any, weight: Any) -> None:
    """The first twin learns row after row."""
    for row in range(len(idx)):
        learn_values(cfg, model, 0, idx[row], x[row], y[row], weight[row])
