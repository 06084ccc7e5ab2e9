"""What the noise model says of one event's standardised evidence: the arithmetic of ``models.noise.logits``.

Operation by operation the same: float32, sums that begin at the bias and run over their inputs in order. So a logit
depends on no batch, and an audit on another machine finds the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sie_online.contracts import NOISE_HEADS
from sie_online.elementary import log1p
from sie_online.importance.noise.evidence import N_SIGNALS
from sie_online.importance.noise.model import HIDDEN_MAX
from sie_online.jit import kernel
from sie_online.layers import relu_layer

HALF = np.float32(0.5)
INPUT_SCALE = np.float32(3.0)
EVENTS_SCALE = np.float32(4.0)
N_HEADS = len(NOISE_HEADS)
LOGIT_CAP = 8.0  # of what goes into means
RECENT, USER_FORGETTING, ITEM_FORGETTING = 0.15, 1.0 / 256.0, 1.0 / 64.0

USER_FIELDS: list[tuple[Any, ...]] = [("z_logit", "f4"), ("z_recent_logit", "f4")]  # means of its opinions
ITEM_FIELDS: list[tuple[Any, ...]] = [("z_logit", "f4")]
POPULATION_FIELDS: list[tuple[Any, ...]] = [  # scratch of one event: kernels cannot allocate
    ("z_evidence", "f4", (N_SIGNALS,)),
    ("z_input", "f4", (N_SIGNALS + N_HEADS + 1,)),
    ("z_hidden1", "f4", (HIDDEN_MAX,)),
    ("z_hidden2", "f4", (HIDDEN_MAX,)),
]


class Opinion(NamedTuple):
    """Of one event by itself."""

    logit: float  # mean of the two parts of the model
    split: float  # half their difference


@kernel
def opinion(model: Any, population: Any, head: int, events: float) -> Opinion:
    """Of the standardised evidence in the scratch; ``events`` are the account's so far, this one included."""
    evidence = population.z_evidence
    additive = _additive(model, head, evidence, population.z_input)
    net = _net(model, population, head, events, evidence)
    return Opinion(float(HALF * (additive + net)), abs(float(HALF * (additive - net))))


@kernel
def _additive(model: Any, head: int, evidence: Any, parts: Any) -> Any:
    """Monotone hinges of every signal, upward ones first; ``parts`` is room for what each of them adds."""
    knots, weights = model.knots, model.hinges[head]
    for at in range(N_SIGNALS):
        parts[at] = np.float32(0.0)
    for side in range(2):
        sign = np.float32(1.0 - 2.0 * side)
        for k in range(knots.shape[0]):
            row, knot = weights[side * knots.shape[0] + k], knots[k]
            for at in range(N_SIGNALS):
                parts[at] += row[at] * max(sign * evidence[at] - knot, np.float32(0.0))
    total = model.monotone_bias[head]
    for at in range(N_SIGNALS):
        total += parts[at]
    return total


@kernel
def _net(model: Any, population: Any, head: int, events: float, evidence: Any) -> Any:
    x = population.z_input
    for at in range(N_SIGNALS):
        x[at] = evidence[at] / INPUT_SCALE
    for which in range(N_HEADS):
        x[N_SIGNALS + which] = np.float32(1.0) if which == head else np.float32(0.0)
    x[N_SIGNALS + N_HEADS] = np.float32(log1p(events)) / EVENTS_SCALE
    h1, h2 = population.z_hidden1[: model.b1.shape[0]], population.z_hidden2[: model.b2.shape[0]]
    relu_layer(x, model.w1, model.b1, h1)
    relu_layer(h1, model.w2, model.b2, h2)
    total = model.b3[0]
    for at in range(h2.shape[0]):
        total += h2[at] * model.w3[at]
    return total


@kernel
def note_opinion(user: Any, item: Any, logit: float) -> None:
    """Move the means of the event's user and item, which were counted already."""
    capped = min(max(logit, -LOGIT_CAP), LOGIT_CAP)
    user.z_logit += max(1.0 / user.z_n, USER_FORGETTING) * (capped - user.z_logit)
    user.z_recent_logit += (1.0 if user.z_n == 1.0 else RECENT) * (capped - user.z_recent_logit)
    item.z_logit += max(1.0 / item.z_n, ITEM_FORGETTING) * (capped - item.z_logit)


@kernel
def mixed(model: Any, head: int, user: Any, item: Any, logit: float) -> float:
    """Log likelihood ratio of noise: the event's own logit and the means of its user and item (`MIXED`)."""
    mix = model.mix[head]
    total = mix[0]
    total += mix[1] * np.float32(logit)
    total += mix[2] * user.z_logit
    total += mix[3] * user.z_recent_logit
    total += mix[4] * item.z_logit
    total += mix[5] * np.float32(newness(user))
    return float(total)


@kernel
def newness(user: Any) -> float:
    """1 at an account's first event, then less and less."""
    return 1.0 / max(float(user.z_n), 1.0)
