"""Factor `noise`: P(this event is noise), online, in one pass.

`detector` puts it together, of two that judge every event. ``mixtures``: what the stream says by itself. ``fitted``:
the noise model's word. Its evidence (``evidence``): where an event stands in its account's walk (``walk``), and
surprises at its ``habits``, ``funnel``, ``company``, ``pace``, ``reach`` and ``audience``. Its judgement: what is
ordinary (``standard``), the model (``model``: what an announced version looks like; ``judge``: what it says), how
common noise is (``share``). For both: what people say outright (``explicit``), quantiles of ``population``.
Public: the factor ``FACTOR``, and of the detector `assess` (at the event), `reassess` (at its revisions), `start_from`
(a model as it comes into force), `forget_companion` and `forget_visitor` (for an erasure; of an account they take the
`low_half` of its key) and `NoiseConfig`.
"""

from __future__ import annotations

import math

from sie_online.elementary import log1p
from sie_online.importance.factor import Factor, Learned, Moment, Need
from sie_online.importance.noise.company import forget_companion, forget_visitor
from sie_online.importance.noise.detector import KEPT_FIELDS, assess, fields_of, reassess
from sie_online.importance.noise.fitted import Verdict
from sie_online.importance.noise.population import NoiseConfig
from sie_online.importance.noise.standard import start_from
from sie_online.importance.noise.walk import low_half
from sie_online.jit import kernel
from sie_online.masks import mask_of
from sie_online.settings import Settings

EVEN = 0.5
"""P(noise) above which weight is taken off."""

__all__ = [
    "FACTOR",
    "NoiseConfig",
    "Verdict",
    "assess",
    "forget_companion",
    "forget_visitor",
    "low_half",
    "reassess",
    "start_from",
]


@kernel
def log_weight(cfg: NoiseConfig, learned: Learned, moment: Moment) -> float:
    """The factor of one statement: noise is not worth learning from, as far as it is more likely noise than not.

    Below an even chance nothing is taken off: what is merely odd there is people's, and a weight that goes by it costs
    a learner on a clean log more than it saves on a polluted one.
    """
    return log1p(-taken_off(moment.noise_cautious))


@kernel
def taken_off(probability: float) -> float:
    """Share of an event's weight that is taken off, in [0, 1)."""
    return max((probability - EVEN) / (1.0 - EVEN), 0.0)


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
    bounds=lambda cfg: (math.log1p(-taken_off(cfg.max_probability)), 0.0),
    fields={record: fields_of(record) for record in ("population", "user", "item", "category", "pair", "interest")},
    kept=KEPT_FIELDS,
)
