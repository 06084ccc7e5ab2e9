"""Moments of statements about samples, for tests of factors."""

from __future__ import annotations

from typing import Any

import numpy as np

from sie_online.features import N_DENSE
from sie_online.importance.factor import UNKNOWN, Moment
from sie_online.importance.factors import KEPT


def a_moment(**known: Any) -> Moment:
    """A sample of unknown label; ``known`` is laid over that. The types are those of the event loop."""
    plain: dict[str, Any] = {
        "is_sample": True,
        "etype": 1,
        "user_key": np.uint64(1),
        "item_key": np.uint64(2),
        "category_key": np.uint64(3),
        "label": UNKNOWN,
        "matured": False,
        "probability": 0.1,
        "error": np.nan,
        "feature_score": 0.2,
        "noise_probability": 0.05,
        "noise_cautious": 0.04,
        "kept": np.zeros(1, KEPT)[0],
        "dense": np.zeros(N_DENSE, np.float32),
    }
    return Moment(**(plain | known))
