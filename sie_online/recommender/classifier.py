"""The recommender's model with River's protocol: dictionaries one by one, or columns, with the same numbers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from river import base

from sie_online.features.bins import slot
from sie_online.recommender.kernels import (
    VALUE_CAP,
    RecommenderArrays,
    RecommenderConfig,
    learn_rows,
    new_model,
    predict_rows,
)

Indices = npt.NDArray[np.uint32]
Values = npt.NDArray[np.float64]


class CurvatureLogisticRegression(base.Classifier):  # type: ignore[misc,unused-ignore]
    """Hashed logistic regression with diagonal-curvature steps, averaged with a factorisation machine.

    Every weight's step is divided by the curvature of the loss it has seen, not by the size of its gradients (as
    AdaGrad's is): rare positives do not use up their features' learning rate. Importance weights are exact for any
    size (Karampatziakis & Langford, UAI'11). Text values are one-hot, numbers enter as they are (scale them first);
    missing values (None, NaN) are skipped. Memory is fixed: features are hashed.

    Parameters
    ----------
    step
        Learning rate.
    curvature
        Curvature every weight starts from: the larger, the more cautious the first steps.
    interactions
        Names of the features whose pairs a factorisation machine with four factors models. None by default; then the
        model is plain logistic regression.
    factor_step, factor_curvature
        The same for the factors.
    forgetting
        Share of the gathered curvature that each step forgets, so that the model never stops learning.
    prior_logit
        Log odds predicted before anything is learned.
    dim, factor_dim
        Sizes of the two hash tables, powers of two.
    seed
        Seed of the factors' start values.

    Examples
    --------

    >>> from river import datasets, evaluate, metrics, preprocessing
    >>> from sie_online.recommender import CurvatureLogisticRegression

    >>> model = preprocessing.StandardScaler() | CurvatureLogisticRegression()
    >>> evaluate.progressive_val_score(datasets.Phishing(), model, metrics.Accuracy())
    Accuracy: 87.60%

    The column forms take hashed rows and give the same numbers:

    >>> model = CurvatureLogisticRegression(interactions=("user", "item"))
    >>> idx, values = model.encode({"user": "ann", "item": "tea", "price": 2.5})
    >>> model.learn_columns(idx[None, :], [True], values=values[None, :])
    >>> p = model.predict_columns(idx[None, :], values[None, :])[0]
    >>> bool(p == model.predict_proba_one({"price": 2.5, "item": "tea", "user": "ann"})[True])
    True

    """

    def __init__(
        self,
        step: float = 0.15,
        curvature: float = 3.0,
        interactions: tuple[str, ...] | None = None,  # not (): River 0.26 takes a tuple's first entry
        factor_step: float = 0.1,
        factor_curvature: float = 0.5,
        forgetting: float = 1e-4,
        prior_logit: float = 0.0,
        dim: int = 1 << 16,
        factor_dim: int = 1 << 12,
        seed: int = 0,
    ) -> None:
        self.step = step
        self.curvature = curvature
        self.interactions = interactions
        self.factor_step = factor_step
        self.factor_curvature = factor_curvature
        self.forgetting = forgetting
        self.prior_logit = prior_logit
        self.dim = dim
        self.factor_dim = factor_dim
        self.seed = seed
        self._cfg = RecommenderConfig(step, curvature, factor_step, factor_curvature, forgetting, prior_logit)
        self._paired = interactions or ()
        fields = tuple(range(len(self._paired)))
        self._model = new_model(self._cfg, len(fields), fields, dim=dim, factor_dim=factor_dim, seed=seed, twins=1)

    def encode(self, x: Mapping[Hashable, Any]) -> tuple[Indices, Values]:
        """Hashed indices and values of one dictionary: the interactions in their order, the intercept, the rest.

        The rest is sorted by name, so that the order of the dictionary does not matter. Index 0 means *absent*.
        """
        named = {str(name): self._hashed(str(name), value) for name, value in x.items()}
        first = [named.pop(name, (0, 0.0)) for name in self._paired]
        pairs = [*first, self._hashed("", 1.0), *(named[name] for name in sorted(named))]
        return np.array([i for i, _ in pairs], dtype=np.uint32), np.array([v for _, v in pairs], dtype=np.float64)

    def _hashed(self, name: str, value: Any) -> tuple[int, float]:
        if value is None:
            return 0, 0.0
        if not isinstance(value, int | float | np.number | np.bool_):
            name, value = f"{name}={value}", 1.0
        number = float(value)
        if not math.isfinite(number):
            return 0, 0.0
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        index = slot(0, np.uint64(int.from_bytes(digest, "little")), self.dim)
        return int(index), min(max(number, -VALUE_CAP), VALUE_CAP)

    def learn_one(self, x: dict[Hashable, Any], y: Any, w: float = 1.0) -> None:
        """Learn one example with importance weight ``w``; weights that are not above 0 teach nothing."""
        idx, values = self.encode(x)
        self.learn_columns(idx[None, :], [bool(y)], w=[w], values=values[None, :])

    def predict_proba_one(self, x: dict[Hashable, Any], **kwargs: Any) -> dict[Any, float]:
        """Probability of False and True."""
        idx, values = self.encode(x)
        p = float(self.predict_columns(idx[None, :], values[None, :])[0])
        return {False: 1.0 - p, True: p}

    def learn_columns(
        self, idx: Indices, y: npt.ArrayLike, w: npt.ArrayLike = 1.0, values: npt.ArrayLike | None = None
    ) -> None:
        """Learn rows in order. idx: (rows, columns), 0 = absent; y and w: (rows,); values: as idx, default 1."""
        rows, x = self._rows(idx, values)
        labels = np.asarray(y, dtype=np.float64)
        weights = np.broadcast_to(np.asarray(w, dtype=np.float64), len(rows))
        if len(labels) != len(rows):
            raise ValueError(f"{len(rows)} rows but {len(labels)} labels")
        learn_rows(self._cfg, self._sized(rows.shape[1]), rows, x, labels, np.ascontiguousarray(weights))

    def predict_columns(self, idx: Indices, values: npt.ArrayLike | None = None) -> Values:
        """Probability of True for every row; learns nothing."""
        rows, x = self._rows(idx, values)
        out = np.empty(len(rows))
        predict_rows(self._cfg, self._sized(rows.shape[1]), rows, x, out)
        return out

    def _rows(self, idx: Indices, values: npt.ArrayLike | None) -> tuple[Indices, Values]:
        rows = np.ascontiguousarray(idx, dtype=np.uint32)
        if rows.ndim != 2 or rows.shape[1] < len(self._paired):
            raise ValueError(f"idx must have two axes and a column for each of {len(self._paired)} interactions")
        if rows.size and int(rows.max()) >= self.dim:
            raise ValueError(f"idx holds {rows.max()}, but dim is {self.dim}")
        if values is None:
            return rows, np.ones(rows.shape)
        x = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=0.0, posinf=VALUE_CAP, neginf=-VALUE_CAP)
        if x.shape != rows.shape:
            raise ValueError(f"values have shape {x.shape}, idx {rows.shape}")
        return rows, np.ascontiguousarray(np.clip(x, -VALUE_CAP, VALUE_CAP))

    def _sized(self, columns: int) -> RecommenderArrays:
        """The model with scratch space for rows of this many columns."""
        return self._model._replace(usage=np.zeros((1, columns)), contribution=np.zeros((1, columns)))
