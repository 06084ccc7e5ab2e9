"""What subscribers train: a context logistic regression and an embedding net, in one pass over samples.

Both learn by AdaGrad (Duchi, Hazan & Singer, JMLR 2011) on the weighted log loss, sample by sample, in the order given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from sie_online.evaluation.compare.settled import Floats, Settled
from sie_online.jit import kernel

LOGISTIC_RATE = 0.1
FIRST_SQUARE = 0.1  # of gradients: the first steps are no larger than the later ones by much
EMBEDDING_RATE = 0.05
EMBEDDING_SIZE = 8
EMBEDDING_SPREAD = 0.1  # standard deviation of what embeddings start from
SHRINKAGE = 1e-4  # of an embedding, per step


class Learner(Protocol):
    """Has a ``name``, and trains a new model each time; ``is_random``: its result depends on the seed."""

    name: str
    is_random: bool

    def predictions(self, learned: Settled, weight: Floats, scored: Settled, seed: int) -> Floats:
        """P(label = 1) of ``scored``, (m,), after ``learned`` (n samples, in order), each with its ``weight`` (n,)."""


class ContextLogistic:
    """Logistic regression on the hashed features of ``sie.samples.v1``, which are context: no ids but the category's.

    One pass; nothing in it is random.
    """

    name = "context logistic regression"
    is_random = False

    def predictions(self, learned: Settled, weight: Floats, scored: Settled, seed: int) -> Floats:
        """See `Learner`."""
        width = 1 + max(int(learned.features.max(initial=0)), int(scored.features.max(initial=0)))
        coefficient, square = np.zeros(width), np.full(width, FIRST_SQUARE)
        learn_logistic(learned.features, learned.label, weight, LOGISTIC_RATE, coefficient, square)
        out = np.empty(len(scored))
        predict_logistic(scored.features, coefficient, out)
        return out


class EmbeddingNet:
    """Two towers: logit = b + b_user + b_item + b_category + <p_user, q_item + q_category>.

    What was not learned keeps the embedding and bias it began with. One pass: with more it learns the past by heart
    (measured); the seed draws the embeddings.
    """

    name = "embedding net"
    is_random = True

    def predictions(self, learned: Settled, weight: Floats, scored: Settled, seed: int) -> Floats:
        """See `Learner`."""
        model = _new_towers(learned, scored, seed)
        ids = learned.user, learned.item, learned.category
        learn_towers(*ids, learned.label, weight, EMBEDDING_RATE, model)
        out = np.empty(len(scored))
        predict_towers(scored.user, scored.item, scored.category, model, out)
        return out


class Towers(NamedTuple):
    """Parameters; in the last axis the value, and the sum of its squared gradients."""

    level: Floats  # (1, 2)
    user_bias: Floats  # (users, 2), and so on
    item_bias: Floats
    category_bias: Floats
    user: Floats  # (users, EMBEDDING_SIZE, 2), and so on
    item: Floats
    category: Floats


def _new_towers(learned: Settled, scored: Settled, seed: int) -> Towers:
    counts = [
        1 + max(int(getattr(part, name).max(initial=0)) for part in (learned, scored))
        for name in ("user", "item", "category")
    ]
    model = Towers(
        np.zeros((1, 2)),
        *(np.zeros((count, 2)) for count in counts),
        *(np.zeros((count, EMBEDDING_SIZE, 2)) for count in counts),
    )
    rng = np.random.default_rng(seed)
    for vectors in (model.user, model.item, model.category):
        vectors[:, :, 0] = rng.normal(0.0, EMBEDDING_SPREAD, vectors.shape[:2])
    for parameter in model:
        parameter[..., 1] = FIRST_SQUARE
    return model


LEARNERS: Sequence[Learner] = (ContextLogistic(), EmbeddingNet())


@kernel
def logistic(margin: float) -> float:
    """1 / (1 + exp(-margin)), without overflow."""
    return 1.0 / (1.0 + math.exp(-min(30.0, max(-30.0, margin))))


@kernel
def logistic_margin(features: Any, row: int, coefficient: Any) -> float:
    """The intercept, which has the place of the absent feature 0, and the coefficients of what is present."""
    margin = coefficient[0]
    for at in range(features.shape[1]):
        if features[row, at] != 0:
            margin += coefficient[features[row, at]]
    return float(margin)


@kernel
def learn_logistic(features: Any, label: Any, weight: Any, rate: float, coefficient: Any, square: Any) -> None:
    """One pass over n samples; ``features`` (n, F) integers, ``coefficient`` and ``square`` (width,), written."""
    for row in range(features.shape[0]):
        gradient = (logistic(logistic_margin(features, row, coefficient)) - label[row]) * weight[row]
        square[0] += gradient * gradient
        coefficient[0] -= rate * gradient / math.sqrt(square[0])
        for at in range(features.shape[1]):
            place = features[row, at]
            if place != 0:
                square[place] += gradient * gradient
                coefficient[place] -= rate * gradient / math.sqrt(square[place])


@kernel
def predict_logistic(features: Any, coefficient: Any, out: Any) -> None:
    """Write P(label = 1) of every row of ``features`` to ``out``."""
    for row in range(features.shape[0]):
        out[row] = logistic(logistic_margin(features, row, coefficient))


@kernel
def towers_margin(u: int, i: int, c: int, model: Any) -> float:
    """The logit of user ``u``, item ``i`` and category ``c``."""
    margin = model.level[0, 0] + model.user_bias[u, 0] + model.item_bias[i, 0] + model.category_bias[c, 0]
    for at in range(model.user.shape[1]):
        margin += model.user[u, at, 0] * (model.item[i, at, 0] + model.category[c, at, 0])
    return float(margin)


@kernel
def step(parameter: Any, gradient: float, rate: float) -> None:
    """AdaGrad on one number: ``parameter`` is its value and its sum of squared gradients."""
    parameter[1] += gradient * gradient
    parameter[0] -= rate * gradient / math.sqrt(parameter[1])


@kernel
def learn_towers(user: Any, item: Any, category: Any, label: Any, weight: Any, rate: float, model: Any) -> None:
    """One pass over n samples."""
    for row in range(user.shape[0]):
        u, i, c = user[row], item[row], category[row]
        gradient = (logistic(towers_margin(u, i, c, model)) - label[row]) * weight[row]
        step(model.level[0], gradient, rate)
        step(model.user_bias[u], gradient, rate)
        step(model.item_bias[i], gradient, rate)
        step(model.category_bias[c], gradient, rate)
        shrinkage = SHRINKAGE * weight[row]
        for at in range(model.user.shape[1]):
            p, q, r = model.user[u, at, 0], model.item[i, at, 0], model.category[c, at, 0]
            step(model.user[u, at], gradient * (q + r) + shrinkage * p, rate)
            step(model.item[i, at], gradient * p + shrinkage * q, rate)
            step(model.category[c, at], gradient * p + shrinkage * r, rate)


@kernel
def predict_towers(user: Any, item: Any, category: Any, model: Any, out: Any) -> None:
    """Write P(label = 1) of every sample to ``out``."""
    for row in range(user.shape[0]):
        out[row] = logistic(towers_margin(user[row], item[row], category[row], model))
