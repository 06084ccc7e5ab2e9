"""Factor `influence`: the importance net's f(x), one event at a time.

The net is trained elsewhere (`models`) and put in force at a named offset; here it only speaks. The arithmetic is that
of ``models.forward``, operation by operation: float32, sums that begin at the bias and run over the inputs in order,
and add to all outputs at once. That vectorises over outputs without reordering a sum, so no score depends on a batch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import EVENT_TYPES
from sie_online.elementary import exp, log
from sie_online.importance.factor import Factor, Learned, Moment, Need
from sie_online.jit import kernel
from sie_online.layers import relu_layer
from sie_online.settings import Settings

N_TYPES = len(EVENT_TYPES)

N_SCORES = 4
"""Numbers after the dense columns: sqrt(probability), sqrt(feature score), error, whether the label is known."""
CLIP = np.float32(6.0)
"""Standard deviations beyond which a standardised number says no more."""
FLOOR, CEILING = 1e-6, 1e6
"""Bounds of k f / mean f: its logarithm stays finite, whatever mean a net was announced with."""

USERS, ITEMS, CATEGORIES, ID_DIM, TYPE_DIM, NUMBERS, HIDDEN1, HIDDEN2, N_SIZES = range(9)


class NetArrays(NamedTuple):
    """A net as the kernels take it; ``sizes`` of zeros: none is in force."""

    sizes: NDArray[np.int64]  # (N_SIZES,): buckets of the id tables and widths
    flat: NDArray[
        np.float32
    ]  # every tensor, in the order of ``models.forward.NetWeights``, of the heads only importance
    mean_f: NDArray[np.float64]  # (1,): mean of f over what it was trained on
    work: NDArray[np.float32]  # room for the input vector and both hidden layers


class InfluenceConfig(NamedTuple):
    """Whether the factor is ``on``, and the scale k."""

    on: bool
    k: float


def no_net() -> NetArrays:
    """What stands in a net's place before one is adopted."""
    return NetArrays(np.zeros(N_SIZES, np.int64), np.zeros(1, np.float32), np.ones(1), np.zeros(1, np.float32))


def new_net(tensors: tuple[NDArray[np.float32], ...], mean_f: float) -> NetArrays:
    """The net with these ``tensors``: users, items, categories, types (each (buckets, width)), mean, scale, w1
    (inputs, hidden1), b1, w2 (hidden1, hidden2), b2, w3 (hidden2, 2), b3 (2,); the last head is importance.
    """
    users, items, categories, types, mean, scale, w1, b1, w2, b2, w3, b3 = tensors
    sizes = np.zeros(N_SIZES, np.int64)
    sizes[[USERS, ITEMS, CATEGORIES]] = len(users), len(items), len(categories)
    sizes[[ID_DIM, TYPE_DIM, NUMBERS]] = users.shape[1], types.shape[1], len(mean)
    sizes[[HIDDEN1, HIDDEN2]] = len(b1), len(b2)
    parts = (users, items, categories, types, mean, scale, w1, b1, w2, b2, w3[:, -1], b3[-1:])
    flat = np.concatenate([np.ascontiguousarray(part, np.float32).ravel() for part in parts])
    return NetArrays(sizes, flat, np.array([mean_f]), np.zeros(len(w1) + len(b1) + len(b2), np.float32))


def own(net: NetArrays) -> NetArrays:
    """``net`` with working memory of its own: shards share the weights, and run beside each other."""
    return net._replace(work=np.zeros_like(net.work))


@kernel
def is_in_force(net: Any) -> bool:
    """Whether there is a net to ask."""
    return bool(net.sizes[HIDDEN1] > 0)


@kernel
def log_weight(cfg: InfluenceConfig, learned: Learned, moment: Moment) -> float:
    """The factor log(k f / mean f); 0 without a net."""
    if not moment.is_sample or not is_in_force(learned.net):
        return 0.0
    return log(min(CEILING, max(FLOOR, cfg.k * importance(learned.net, moment) / learned.net.mean_f[0])))


@kernel
def importance(net: Any, moment: Moment) -> float:
    """f in (0, 1) of one moment."""
    sizes, flat = net.sizes, net.flat
    hidden1, hidden2 = sizes[HIDDEN1], sizes[HIDDEN2]
    width = 3 * sizes[ID_DIM] + sizes[TYPE_DIM] + sizes[NUMBERS]
    x, h1 = net.work[:width], net.work[width : width + hidden1]
    h2 = net.work[width + hidden1 : width + hidden1 + hidden2]
    at = _fill_ids(sizes, flat, moment, x)
    at = _fill_numbers(sizes, flat, at, moment, x[width - sizes[NUMBERS] :])
    at = _layer(flat, at, x, h1)
    at = _layer(flat, at, h1, h2)
    total = flat[at + hidden2]
    for i in range(hidden2):
        total += h2[i] * flat[at + i]
    z = np.float64(total)
    return 1.0 / (1.0 + exp(-z)) if z > -700.0 else 0.0


@kernel
def _fill_ids(sizes: Any, flat: Any, moment: Moment, x: Any) -> int:
    """Copy the embedded ids to ``x``; the place after the tables."""
    dim = sizes[ID_DIM]
    users, items, categories = sizes[USERS] * dim, sizes[ITEMS] * dim, sizes[CATEGORIES] * dim
    user = _bucket(moment.user_key, sizes[USERS]) * dim
    item = users + _bucket(moment.item_key, sizes[ITEMS]) * dim
    category = users + items + _bucket(moment.category_key, sizes[CATEGORIES]) * dim
    types = users + items + categories
    for i in range(dim):
        x[i], x[dim + i], x[2 * dim + i] = flat[user + i], flat[item + i], flat[category + i]
    for i in range(sizes[TYPE_DIM]):
        x[3 * dim + i] = flat[types + moment.etype * sizes[TYPE_DIM] + i]
    return int(types + N_TYPES * sizes[TYPE_DIM])


@kernel
def _bucket(key: Any, buckets: int) -> int:
    return int(1 + np.int64(key % np.uint64(buckets - 1))) if key != 0 else 0


@kernel
def _fill_numbers(sizes: Any, flat: Any, at: int, moment: Moment, z: Any) -> int:
    """Write the standardised numbers to ``z``; the place after their constants."""
    n = sizes[NUMBERS]
    is_known = not math.isnan(moment.error)
    for i in range(n - N_SCORES):
        z[i] = moment.dense[i]
    z[n - 4] = math.sqrt(np.float32(moment.probability))
    z[n - 3] = math.sqrt(max(np.float32(moment.feature_score), np.float32(0.0)))
    z[n - 2] = np.float32(moment.error) if is_known else np.float32(0.0)
    z[n - 1] = np.float32(1.0) if is_known else np.float32(0.0)
    for i in range(n):
        z[i] = min(max((z[i] - flat[at + i]) * flat[at + n + i], -CLIP), CLIP)
    return int(at + 2 * n)


@kernel
def _layer(flat: Any, at: int, x: Any, out: Any) -> int:
    """`relu_layer` with its weights and biases at ``at``; the place after them."""
    n, m = x.shape[0], out.shape[0]
    relu_layer(x, flat[at : at + n * m], flat[at + n * m : at + n * m + m], out)
    return int(at + n * m + m)


def _settings_of(settings: Settings) -> InfluenceConfig:
    return InfluenceConfig(settings.importance.combine == "net", settings.importance.k)


FACTOR = Factor(
    log_weight,
    _settings_of,
    Need.EVENT | Need.LABEL | Need.REVISION,
    bounds=lambda _: (math.log(FLOOR), math.log(CEILING)),
)
