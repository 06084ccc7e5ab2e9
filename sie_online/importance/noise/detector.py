"""Factor ``noise``: P(this event is noise), online, in one pass.

Two detectors judge every event. The *mixtures* learn from the stream alone and are sure of what stands out of it; the
*fitted* one is the noise model, which knows many kinds of noise beforehand and less well. Neither finds what the other
does, so P(noise) is the probability that either is right. The weight goes by the cautious P, the lower end of the
interval of what the model says.

All-zero records mean "never seen"; only ``key`` and ``last_ms`` of the base fields are read.
"""

from __future__ import annotations

from typing import Any

from sie_online.importance.noise import explicit, fitted, population
from sie_online.importance.noise.explicit import dwell_log_ratio, observe_explicit, words_of
from sie_online.importance.noise.fitted import Verdict, assess_fitted, reassess_fitted
from sie_online.importance.noise.mixtures import causes
from sie_online.importance.noise.mixtures.causes import assess_causes, reassess_causes
from sie_online.importance.noise.population import NoiseConfig
from sie_online.importance.noise.walk import SAMPLE, head_of
from sie_online.jit import kernel

PARTS = (population, explicit, causes)
KEPT_FIELDS: list[tuple[Any, ...]] = [
    *fitted.KEPT_FIELDS,
    ("surprise", "f4"),  # a view's, summed
    ("log_odds", "f4"),  # what it says outright
]


def fields_of(record: str) -> list[tuple[Any, ...]]:
    """State that the factor adds to the records of ``record`` (``user``, ``item``, ...)."""
    name = f"{record.upper()}_FIELDS"
    return [*fitted.fields_of(record), *(field for part in PARTS for field in getattr(part, name, []))]


@kernel
def assess(
    cfg: NoiseConfig,
    model: Any,
    user: Any,
    item: Any,
    category: Any,
    pair: Any,
    interest: Any,
    population: Any,
    event: Any,
    kept: Any,
) -> Verdict:
    """P(noise) of an event by what was known before it; then the event is counted. Once per event.

    Call before ``last_ms`` moves. What `reassess` will need is left in ``kept`` (`KEPT_FIELDS`).
    Finite for every input, in [0, ``cfg.max_probability``].
    """
    kept.log_odds = dwell_log_ratio(population, event) if head_of(cfg, event.etype) == SAMPLE else 0.0
    surprising = assess_causes(cfg, user, item, category, pair, interest, population, event, kept)
    verdict = assess_fitted(cfg, model, user, item, pair, interest, population, event, kept)
    observe_explicit(cfg, user, item, population, event)
    return _either(cfg, verdict, surprising)


@kernel
def reassess(cfg: NoiseConfig, model: Any, user: Any, item: Any, population: Any, kept: Any, label: int) -> Verdict:
    """P(noise) of an earlier view with what is known now.

    ``label`` 1: the pair has just converted (call after the conversion was assessed): the view is as good as that
    order. ``label`` 0: the window has closed; the view is judged again, by what its user and item did since.
    """
    said = words_of(user, item, population)
    surprising = reassess_causes(cfg, user, population, kept, label, said)
    return _either(cfg, reassess_fitted(cfg, model, user, item, population, kept, label, said), surprising)


@kernel
def _either(cfg: NoiseConfig, verdict: Verdict, surprising: float) -> Verdict:
    """P(either of them is right)."""
    ordinary = 1.0 - surprising
    return Verdict(
        min(1.0 - (1.0 - verdict.probability) * ordinary, cfg.max_probability),
        min(1.0 - (1.0 - verdict.cautious) * ordinary, cfg.max_probability),
    )
