"""The net's inputs, exactly: what a kernel that scores one event has to compute. Imports numpy alone.

One sample has ``IDS`` bucket numbers and N = D + 4 numbers, in this order:

| ids (int32)  | value |
|---|---|
| 0 user, 1 item, 2 category | 0 if the 64-bit hash is 0 (absent), else 1 + hash mod (buckets - 1), unsigned |
| 3 event type | code in ``contracts.EVENT_TYPES`` |

| numbers (float32)  | value |
|---|---|
| 0 .. D-1 | the ``dense`` column |
| D | sqrt(probability) of revision 0 |
| D+1 | sqrt(feature_score) |
| D+2 | error = label - probability where the label is known, else 0 |
| D+3 | label_known: 1 or 0 |

A square root tames the skew of small rates and is correctly rounded everywhere, which a logarithm is not. Numbers are
standardised by the artifact's constants, z = min(max((x - mean) * scale, -CLIP), CLIP), in float32, but for the last
two, which have mean 0 and scale 1. What becomes known only after the event (noise probability, weight, factors at
settlement) is no input: a worker does not have it at revision 0.

The input vector is [user row | item row | category row | event type row | z], see ``forward``.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

USER, ITEM, CATEGORY, EVENT_TYPE = range(4)
IDS = 4
N_SCORES = 4
N_EXACT = 2
"""The last numbers (error, label_known), which are not standardised."""
CLIP = np.float32(6.0)
"""Standard deviations beyond which a number says no more: one freak value must not blow up a sum."""
LEAST_DEVIATION = 1e-4
"""A column that hardly varied gets scale 0: its next value would otherwise be astronomically far out."""


class Known(Protocol):
    """The columns that inputs are made of (``samples.SampleColumns`` has them)."""

    @property
    def user_hash(self) -> NDArray[np.uint64]: ...
    @property
    def item_hash(self) -> NDArray[np.uint64]: ...
    @property
    def category_hash(self) -> NDArray[np.uint64]: ...
    @property
    def event_type(self) -> NDArray[np.uint8]: ...
    @property
    def dense(self) -> NDArray[np.float32]: ...
    @property
    def probability(self) -> NDArray[np.float32]: ...
    @property
    def feature_score(self) -> NDArray[np.float32]: ...
    @property
    def error(self) -> NDArray[np.float32]: ...


class Buckets(NamedTuple):
    """Rows of the id tables."""

    users: int
    items: int
    categories: int


class Inputs(NamedTuple):
    """n samples: ``ids`` (n, 4) int32, ``numbers`` (n, N) float32, not standardised."""

    ids: NDArray[np.int32]
    numbers: NDArray[np.float32]


class Standard(NamedTuple):
    """Constants (N,) float32 that standardise the numbers."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]


def bucket(hashes: NDArray[np.uint64], buckets: int) -> NDArray[np.int32]:
    """Bucket of each 64-bit hash (n,): 0 where it is 0, else in [1, buckets).

    >>> bucket(np.array([0, 1, 7, 8], np.uint64), 8).tolist()
    [0, 2, 1, 2]
    """
    found = np.uint64(1) + hashes % np.uint64(buckets - 1)
    return np.where(hashes == 0, np.uint64(0), found).astype(np.int32)


def ids_of(samples: Known, buckets: Buckets) -> NDArray[np.int32]:
    """Bucket numbers (n, 4) of ``samples``."""
    return np.stack(
        [
            bucket(samples.user_hash, buckets.users),
            bucket(samples.item_hash, buckets.items),
            bucket(samples.category_hash, buckets.categories),
            samples.event_type.astype(np.int32),
        ],
        axis=1,
    )


def label_unknown(samples: Known, buckets: Buckets) -> Inputs:
    """Inputs as of revision 0: the label is not known yet."""
    zero = np.zeros(len(samples.dense), np.float32)
    return Inputs(ids_of(samples, buckets), _numbers(samples, zero, zero))


def label_known(samples: Known, buckets: Buckets) -> Inputs:
    """Inputs as of the final revision."""
    one = np.ones(len(samples.dense), np.float32)
    return Inputs(ids_of(samples, buckets), _numbers(samples, samples.error, one))


def standard_of(numbers: NDArray[np.float32]) -> Standard:
    """Constants that give each column of ``numbers`` (n, N) mean 0 and deviation 1, but for the last two."""
    mean, deviation = numbers.mean(axis=0, dtype=np.float64), numbers.std(axis=0, dtype=np.float64)
    varied = deviation > LEAST_DEVIATION
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varied)
    mean[-N_EXACT:], scale[-N_EXACT:] = 0.0, 1.0
    return Standard(mean.astype(np.float32), scale.astype(np.float32))


def standardised(numbers: NDArray[np.float32], standard: Standard) -> NDArray[np.float32]:
    """z (n, N) float32 of ``numbers``."""
    z = (numbers - standard.mean) * standard.scale
    return np.asarray(np.minimum(np.maximum(z, -CLIP), CLIP))


def _numbers(samples: Known, error: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    columns: list[Any] = [np.sqrt(samples.probability), np.sqrt(np.maximum(samples.feature_score, 0)), error, known]
    return np.concatenate([samples.dense, np.stack(columns, axis=1)], axis=1, dtype=np.float32)
