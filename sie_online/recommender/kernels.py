"""The model and its steps: hashed logistic regression averaged with a small factorisation machine.

Two twins share the first axis of every array: 0 learns with uniform weights, 1 with the published ones. Both models
share one table of linear weights; the machine adds pairwise terms (Rendle, ICDM'10) of a few columns:

    z_lr = prior + sum_j w_j x_j        z_fm = z_lr + sum_{i<j} <v_i, v_j> x_i x_j        p = (s(z_lr) + s(z_fm)) / 2

A step divides by the curvature gathered so far (diagonal online Newton; McMahan & Streeter, COLT'10 use squared
gradients instead, which stop learning from rare positives: AUC .73 against .77 on a shop log with 2 % purchases):

    w <- w - step * g x / Q,    Q <- Q + h p (1 - p) x^2,    Q_0 = 3

An importance weight h enters through the closed form of h -> infinitely many small steps (Karampatziakis & Langford,
UAI'11, logistic loss): safe for any h. Index 0 means *absent* and is skipped. With |x| <= `VALUE_CAP` nothing can
become infinite: pulls, factors and logits are bounded, curvatures stay at or above where they start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
import numpy.typing as npt

from sie_online.features.bins import GOLDEN, mixed
from sie_online.jit import kernel

Function = TypeVar("Function", bound=Callable[..., Any])
Array = npt.NDArray[np.float64]

TWINS = 2
N_FACTORS = 4  # a true constant, so that its loops unroll; more of them fit noise (measured)
UNIFORM, WEIGHTED = 0, 1
PROBABILITY_FLOOR = 1e-6
LOGIT_CAP = 35.0  # exp(35) is far from overflow, 1 - s(35) far below the floor
VALUE_CAP = 1e6  # larger values of a column are cut by the classifier
WEIGHT_CAP = 1e6  # no sample is worth more
FACTOR_CAP = 4.0  # pairwise terms grow with the square
USAGE_MEMORY = 100_000.0  # predictions that a column's running mean contribution looks back
SOLVER_STEPS = 30  # Newton needs 2 to 6; the bound is for odd numbers
SOLVER_TOLERANCE = 1e-9  # Newton squares its error: the step after this one would change nothing


class RecommenderConfig(NamedTuple):
    """Hyper-parameters, as kernels take them."""

    step: float = 0.15
    curvature: float = 3.0  # Q_0: what a fresh weight is worth, in events of curvature
    factor_step: float = 0.1
    factor_curvature: float = 0.5
    forgetting: float = 1e-4  # share of gathered curvature that one step forgets: never stop learning
    prior_logit: float = -2.0


class Model(NamedTuple):
    """Learned state (`linear`, `factors`, `usage`, `n_scored`), which columns have factors, and scratch space."""

    linear: Array  # (2, dim, 2): weight, curvature
    factors: Array  # (2, factor_dim, 8): 4 values, 4 curvatures
    usage: Array  # (2, columns): running mean |contribution|
    n_scored: Array  # (2,)
    fields: npt.NDArray[np.int64]  # columns that have factors
    ones: Array  # (columns,) values of one-hot columns
    contribution: Array  # (2, columns) scratch: of the last prediction
    sums: Array  # (2, 4) scratch: factor sums of the last prediction or step


class Prediction(NamedTuple):
    """One twin's statement about one event."""

    probability: float  # in [1e-6, 1 - 1e-6]
    feature_score: float  # >= 0
    uncertainty: float  # standard deviation of the probability, diagonal Laplace approximation


def inlined(function: Function) -> Function:
    """A kernel that is copied into its caller: a call that passes a `Model` costs 0.3 us in reference counts alone."""
    compiled: Any = numba.njit(inline="always", nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)


@kernel
def _start(cfg: Any, linear: Any, factors: Any, seed: int, scale: float) -> None:
    """Zero weights; factors from a hash of (seed, index, factor), the same for both twins."""
    twins, dim, _ = linear.shape
    n = factors.shape[1]
    salt = mixed(np.uint64(seed) * GOLDEN)
    for twin in range(twins):
        for i in range(dim):
            linear[twin, i, 0] = 0.0
            linear[twin, i, 1] = cfg.curvature
        for i in range(n):
            for f in range(N_FACTORS):
                unit = np.float64(mixed(salt + np.uint64(i * N_FACTORS + f)) >> np.uint64(11)) * 2.0**-53
                factors[twin, i, f] = scale * (2.0 * unit - 1.0)
                factors[twin, i, N_FACTORS + f] = cfg.factor_curvature


def new_model(
    cfg: RecommenderConfig,
    columns: int,
    fields: tuple[int, ...] = (),
    *,
    dim: int = 1 << 17,
    factor_dim: int = 1 << 14,
    factor_scale: float = 0.08,
    seed: int = 0,
    twins: int = TWINS,
) -> Model:
    """A model that has learned nothing; ``dim`` and ``factor_dim`` are powers of two.

    columns: features per event; fields: those whose pairs the factorisation machine models.
    """
    for name, size in (("dim", dim), ("factor_dim", factor_dim)):
        if size < 2 or size & (size - 1):
            raise ValueError(f"{name} must be a power of two of at least 2, not {size}")
    model = Model(
        linear=np.empty((twins, dim, 2)),
        factors=np.empty((twins, factor_dim, 2 * N_FACTORS)),
        usage=np.zeros((twins, columns)),
        n_scored=np.zeros(twins),
        fields=np.array(fields, dtype=np.int64),
        ones=np.ones(columns),
        contribution=np.zeros((twins, columns)),
        sums=np.zeros((twins, N_FACTORS)),
    )
    _start(cfg, model.linear, model.factors, seed, factor_scale)
    return model


@kernel
def sigmoid(z: float) -> float:
    """Logistic function, without overflow."""
    if z >= 0.0:
        return 1.0 / (1.0 + math.exp(-z))
    e = math.exp(z)
    return e / (1.0 + e)


@kernel
def _bounded(z: float) -> float:
    if not math.isfinite(z):
        return 0.0
    return min(max(z, -LOGIT_CAP), LOGIT_CAP)


@kernel
def _linear_logit(prior: float, linear: Any, idx: Any, x: Any) -> float:
    z = prior
    for j in range(len(idx)):
        i = idx[j]
        if i != 0:
            z += linear[i, 0] * x[j]
    return z


@kernel
def _pairwise(factors: Any, fields: Any, sums: Any, idx: Any, x: Any) -> float:
    """Sum of the pairwise terms; leaves the factor sums in ``sums``."""
    mask = np.uint32(len(factors) - 1)
    squares = 0.0
    for f in range(N_FACTORS):
        sums[f] = 0.0
    for n in range(len(fields)):
        j = fields[n]
        if idx[j] != 0:
            row = idx[j] & mask
            for f in range(N_FACTORS):
                v = factors[row, f] * x[j]
                sums[f] += v
                squares += v * v
    total = 0.0
    for f in range(N_FACTORS):
        total += sums[f] * sums[f]
    return 0.5 * (total - squares)


@kernel
def _linear_contributions(linear: Any, idx: Any, x: Any, out: Any) -> float:
    """Write each column's part of z_lr; return the variance of z_lr."""
    variance = 0.0
    for j in range(len(idx)):
        i = idx[j]
        out[j] = 0.0
        if i != 0:
            out[j] = linear[i, 0] * x[j]
            variance += x[j] * x[j] / linear[i, 1]
    return variance


@kernel
def _add_pairwise_contributions(factors: Any, fields: Any, sums: Any, idx: Any, x: Any, out: Any) -> None:
    """Add each column's part of the mean logit's pairwise terms: half the machine's vote, half of each pair."""
    mask = np.uint32(len(factors) - 1)
    for n in range(len(fields)):
        j = fields[n]
        if idx[j] != 0:
            row = idx[j] & mask
            part = 0.0
            for f in range(N_FACTORS):
                v = factors[row, f] * x[j]
                part += v * (sums[f] - v)
            out[j] += 0.25 * part


@kernel
def _feature_score(usage: Any, contribution: Any) -> float:
    """Sum over columns of |contribution|, weighted by its share of the running means (0 before any are known)."""
    score = 0.0
    total = 0.0
    for j in range(len(usage)):
        score += usage[j] * abs(contribution[j])
        total += usage[j]
    return score / total if total > 0.0 and math.isfinite(score) else 0.0


@inlined
def predict_values(cfg: Any, model: Any, twin: int, idx: Any, x: Any) -> Any:
    """`predict` for columns with values ``x`` (float64, one per index)."""
    linear, factors, fields = model.linear[twin], model.factors[twin], model.fields
    sums, contribution = model.sums[twin], model.contribution[twin]
    variance = _linear_contributions(linear, idx, x, contribution)
    z = cfg.prior_logit
    for j in range(len(idx)):
        z += contribution[j]
    p_lr = sigmoid(_bounded(z))
    p = 0.5 * (p_lr + sigmoid(_bounded(z + _pairwise(factors, fields, sums, idx, x))))
    _add_pairwise_contributions(factors, fields, sums, idx, x, contribution)
    spread = p_lr * (1.0 - p_lr) * math.sqrt(variance)
    return Prediction(
        min(max(p, PROBABILITY_FLOOR), 1.0 - PROBABILITY_FLOOR),
        _feature_score(model.usage[twin], contribution),
        min(spread, 0.5) if math.isfinite(spread) else 0.5,
    )


@inlined
def predict(cfg: Any, model: Any, twin: int, idx: Any) -> Any:
    """Prediction of one twin for one event of one-hot columns ``idx`` (uint32, 0 = absent). Changes only scratch."""
    return predict_values(cfg, model, twin, idx, model.ones)


@inlined
def note_usage(model: Any, twin: int) -> None:
    """Move the running mean |contribution| of every column by the last prediction of ``twin``."""
    usage, contribution = model.usage[twin], model.contribution[twin]
    n = min(model.n_scored[twin] + 1.0, USAGE_MEMORY)
    model.n_scored[twin] = n
    for j in range(len(usage)):
        size = abs(contribution[j])
        if math.isfinite(size):
            usage[j] += (size - usage[j]) / n


@kernel
def _flow(z: float, area: float) -> float:
    """The u >= z with u + exp(u) = z + exp(z) + area: where the logistic loss drives z after ``area`` of steps."""
    e = math.exp(z)
    target = z + e + area
    u = z + area / (1.0 + e)
    if area > 1.0:
        u = min(u, math.log(target) if target > 1.0 else target)
    for _ in range(SOLVER_STEPS):
        e = math.exp(u)
        change = (u + e - target) / (1.0 + e)
        u -= change
        if abs(change) < SOLVER_TOLERANCE:
            break
    return max(u, z)


@kernel
def _pull(z: float, y: float, h: float, rate: float) -> float:
    """Total gradient factor of weight ``h`` when one unit of it moves z by ``rate``; about h (y - p) for small ones."""
    if not (rate > 0.0 and math.isfinite(rate)):
        return 0.0
    z = _bounded(z)
    if y > 0.5:
        return (_flow(z, h * rate) - z) / rate
    return -(_flow(-z, h * rate) + z) / rate


@kernel
def _linear_rate(step: float, linear: Any, idx: Any, x: Any) -> float:
    rate = 0.0
    for j in range(len(idx)):
        i = idx[j]
        if i != 0:
            rate += x[j] * x[j] / linear[i, 1]
    return step * rate


@kernel
def _move_linear(cfg: Any, linear: Any, idx: Any, x: Any, pull: float, curvature: float) -> None:
    if not math.isfinite(pull):
        return
    fade = cfg.forgetting if curvature > 0.0 else 0.0
    for j in range(len(idx)):
        i = idx[j]
        if i != 0:
            q = linear[i, 1]
            w = linear[i, 0] + cfg.step * pull * x[j] / q
            q += curvature * x[j] * x[j] - fade * (q - cfg.curvature)
            linear[i, 0] = w
            linear[i, 1] = q


@kernel
def _factor_rate(step: float, factors: Any, fields: Any, sums: Any, idx: Any, x: Any) -> float:
    mask = np.uint32(len(factors) - 1)
    rate = 0.0
    for n in range(len(fields)):
        j = fields[n]
        if idx[j] != 0:
            row = idx[j] & mask
            for f in range(N_FACTORS):
                slope = (sums[f] - factors[row, f] * x[j]) * x[j]
                rate += slope * slope / factors[row, N_FACTORS + f]
    return step * rate


@kernel
def _move_factors(
    cfg: Any, factors: Any, fields: Any, sums: Any, idx: Any, x: Any, pull: float, curvature: float
) -> None:
    """Move all factors at once: slopes come from ``sums``, taken before the first of them moved."""
    if not math.isfinite(pull):
        return
    mask = np.uint32(len(factors) - 1)
    fade = cfg.forgetting if curvature > 0.0 else 0.0
    for n in range(len(fields)):
        j = fields[n]
        if idx[j] != 0:
            row = idx[j] & mask
            for f in range(N_FACTORS):
                v = factors[row, f]
                q = factors[row, N_FACTORS + f]
                slope = (sums[f] - v * x[j]) * x[j]
                v += cfg.factor_step * pull * slope / q
                q += curvature * slope * slope - fade * (q - cfg.factor_curvature)
                factors[row, f] = min(max(v, -FACTOR_CAP), FACTOR_CAP)
                factors[row, N_FACTORS + f] = q


@inlined
def learn_values(cfg: Any, model: Any, twin: int, idx: Any, x: Any, y: float, weight: float) -> None:
    """`learn` for columns with values ``x`` (float64, one per index)."""
    if not weight > 0.0:
        return
    h = min(weight, WEIGHT_CAP)
    linear, factors, fields, sums = model.linear[twin], model.factors[twin], model.fields, model.sums[twin]
    z = _linear_logit(cfg.prior_logit, linear, idx, x)
    z_fm = z + _pairwise(factors, fields, sums, idx, x)
    p = sigmoid(_bounded(z))
    p_fm = sigmoid(_bounded(z_fm))
    pull = _pull(z, y, h, _linear_rate(cfg.step, linear, idx, x))
    pull_fm = _pull(z_fm, y, h, _factor_rate(cfg.factor_step, factors, fields, sums, idx, x))
    _move_linear(cfg, linear, idx, x, pull, h * p * (1.0 - p))
    _move_factors(cfg, factors, fields, sums, idx, x, pull_fm, h * p_fm * (1.0 - p_fm))


@inlined
def learn(cfg: Any, model: Any, twin: int, idx: Any, y: float, weight: float) -> None:
    """One step towards label ``y`` (0 or 1) with importance ``weight`` >= 0 (0, negative or NaN: no step)."""
    learn_values(cfg, model, twin, idx, model.ones, y, weight)


@inlined
def take_back(cfg: Any, model: Any, twin: int, idx: Any, p_then: float, weight_then: float) -> None:
    """Reverse the negative step that was made with ``weight_then`` when the probability was ``p_then``.

    Call it before learning the positive that the sample turned out to be. The curvature stays: the sample was seen.
    """
    if not (weight_then > 0.0 and 0.0 < p_then < 1.0):
        return
    linear, factors, fields, sums = model.linear[twin], model.factors[twin], model.fields, model.sums[twin]
    x = model.ones
    h = min(weight_then, WEIGHT_CAP)
    z = math.log(p_then / (1.0 - p_then))
    _pairwise(factors, fields, sums, idx, x)
    pull = _pull(z, 0.0, h, _linear_rate(cfg.step, linear, idx, x))
    pull_fm = _pull(z, 0.0, h, _factor_rate(cfg.factor_step, factors, fields, sums, idx, x))
    _move_linear(cfg, linear, idx, x, -pull, 0.0)
    _move_factors(cfg, factors, fields, sums, idx, x, -pull_fm, 0.0)


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
