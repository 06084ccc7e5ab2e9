"""Factor `delay`: what an unripe negative is worth when its conversion may still come.

Fake-negative weighting (Ktena et al., RecSys'19, eq. 5): a subscriber learns every sample at once as a negative and
again as a positive when the conversion arrives; weights (1 + p) for positives and (1 - p)(1 + p) for negatives make
the expected gradient that of the true labels. At maturity the truth replaces the correction, and the factor is 0.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from sie_online.contracts import PROBABILITY_FLOOR
from sie_online.elementary import log1p
from sie_online.importance.factor import POSITIVE, Factor, Learned, Moment, Need
from sie_online.jit import kernel
from sie_online.settings import Settings


class DelayConfig(NamedTuple):
    """Whether the factor is ``on``."""

    on: bool


@kernel
def provisional(p: float) -> float:
    """Log weight of a sample whose window is open; ``p`` = P(conversion), below 1."""
    return log1p(-p) + log1p(p)


@kernel
def converted(p: float) -> float:
    """Log weight of the positive that a conversion creates."""
    return log1p(p)


@kernel
def log_weight(cfg: DelayConfig, learned: Learned, moment: Moment) -> float:
    """The factor of one statement."""
    if not moment.is_sample or moment.matured:
        return 0.0
    return converted(moment.probability) if moment.label == POSITIVE else provisional(moment.probability)


def _settings_of(settings: Settings) -> DelayConfig:
    return DelayConfig("delay" in settings.importance.factors)


FACTOR = Factor(
    log_weight,
    _settings_of,
    Need.EVENT | Need.LABEL,
    bounds=lambda _: (provisional(1.0 - PROBABILITY_FLOOR), math.log(2.0)),
    is_learned=False,  # the twin takes its fake negatives back
)
