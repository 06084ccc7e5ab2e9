"""Factor `noise`: P(this event is noise), online, unsupervised, in one pass.

`detector` puts the causes together: ``account`` (no person), ``order`` (no customer's) and ``event`` (a slip), each a
mixture over surprises that ``population`` standardises, and what people say outright (``explicit``). ``model`` is what
an announced version looks like. Public: the factor
``FACTOR``, and of the detector `assess` (at the event), `reassess` (at its revisions), `observe` and `NoiseConfig`.
"""

from __future__ import annotations

import math

from sie_online.importance.factor import Factor, Learned, Moment, Need
from sie_online.importance.noise.detector import (
    CATEGORY_FIELDS,
    INTEREST_FIELDS,
    ITEM_FIELDS,
    KEPT_FIELDS,
    PAIR_FIELDS,
    POPULATION_FIELDS,
    USER_FIELDS,
    NoiseConfig,
    assess,
    observe,
    reassess,
)
from sie_online.jit import kernel
from sie_online.masks import mask_of
from sie_online.settings import Settings

__all__ = ["FACTOR", "NoiseConfig", "assess", "observe", "reassess"]


@kernel
def log_weight(cfg: NoiseConfig, learned: Learned, moment: Moment) -> float:
    """The factor of one statement: noise is not worth learning from."""
    return math.log1p(-moment.noise_probability)


def _settings_of(settings: Settings) -> NoiseConfig:
    return NoiseConfig(
        samples=mask_of(settings.labels.samples),
        conversions=mask_of(settings.labels.conversions),
        on="noise" in settings.importance.factors,
    )


FACTOR = Factor(
    log_weight,
    _settings_of,
    Need.EVENT | Need.LABEL | Need.REVISION,
    bounds=lambda cfg: (math.log1p(-cfg.max_probability), 0.0),
    fields={
        "population": POPULATION_FIELDS,
        "user": USER_FIELDS,
        "item": ITEM_FIELDS,
        "category": CATEGORY_FIELDS,
        "pair": PAIR_FIELDS,
        "interest": INTEREST_FIELDS,
    },
    kept=KEPT_FIELDS,
)
