"""Factor ``noise``: P(this event is noise), online, in one pass.

The event's evidence is standardised by what is ordinary at its account's age, the noise model gives its opinion, and
the opinions of its account's and its item's other events are mixed in: a log likelihood ratio. What people say
outright adds log odds, and the share of noise that the stream itself teaches makes a probability of it.

Besides P there is a cautious P, the lower end of its interval: the log ratio less half of what the two parts of the
model disagree by, and less still while the account is young. The weight goes by the cautious one.

All-zero records mean "never seen"; only ``key`` and ``last_ms`` of the base fields are read.
"""

from __future__ import annotations

import math
from typing import Any

from sie_online.importance.noise import evidence, explicit, judge, share, standard
from sie_online.importance.noise.evidence import gather
from sie_online.importance.noise.explicit import dwell_log_ratio, item_explicit, observe_explicit, user_explicit
from sie_online.importance.noise.judge import mixed, note_opinion, opinion
from sie_online.importance.noise.population import NoiseConfig
from sie_online.importance.noise.share import learn_share, posterior, share_of
from sie_online.importance.noise.standard import age_of, follow, standardise_evidence
from sie_online.importance.noise.walk import CONVERSION, SAMPLE
from sie_online.jit import kernel

YOUTH_DOUBT = 1.0  # log odds that are doubtful at an account's first event; less by the root of their number

PARTS = (evidence, explicit, judge, share, standard)
KEPT_FIELDS: list[tuple[Any, ...]] = [
    ("logit", "f4"),  # the event's own ...
    ("split", "f4"),  # ... what is doubtful about it ...
    ("log_odds", "f4"),  # ... and what it says outright
    ("cautious", "f8"),  # lower end of P(noise), as of the last statement
]
USER_ORDER_FIELDS: list[tuple[Any, ...]] = [("z_order", "f4"), ("z_order_cautious", "f4")]  # P of the last conversion


def fields_of(record: str) -> list[tuple[Any, ...]]:
    """State that the factor adds to the records of ``record`` (``user``, ``item``, ...)."""
    name = f"{record.upper()}_FIELDS"
    own = [field for part in PARTS for field in getattr(part, name, [])]
    return [*evidence.fields_of(record), *own, *(USER_ORDER_FIELDS if record == "user" else [])]


@kernel
def assess(
    cfg: NoiseConfig, model: Any, user: Any, item: Any, pair: Any, interest: Any, population: Any, event: Any, kept: Any
) -> float:
    """P(noise) of an event by what was known before it; then the event is counted. Once per event.

    Call before ``last_ms`` moves. What `reassess` and the factor will need is left in ``kept`` (`KEPT_FIELDS`).
    Finite for every input, in [0, ``cfg.max_probability``].
    """
    step = gather(cfg, user, item, pair, interest, population, event, population.z_evidence)
    events, head = step.n + 1.0, step.head
    age = age_of(events)
    standardise_evidence(population, age, population.z_evidence)
    own = opinion(model, population, head, events)
    note_opinion(user, item, own.logit)
    kept.logit, kept.split = own.logit, own.split
    kept.log_odds = dwell_log_ratio(population, event) if head == SAMPLE else 0.0
    p = _probability(cfg, model, user, item, population, head, kept)
    follow(population, age, events, p, population.z_evidence)
    log_ratio = mixed(model, head, user, item, own.logit)
    learn_share(cfg, population, model, head, step.n, log_ratio, log_ratio - _doubt(user, own.split))
    if head == CONVERSION:
        user.z_order, user.z_order_cautious = p, kept.cautious
    observe_explicit(cfg, user, item, population, event)
    return p


@kernel
def _doubt(user: Any, split: float) -> float:
    """What of a log ratio is doubtful."""
    return split + YOUTH_DOUBT / math.sqrt(max(float(user.z_n), 1.0))


@kernel
def _probability(cfg: NoiseConfig, model: Any, user: Any, item: Any, population: Any, head: int, kept: Any) -> float:
    """P(noise) with what is known of user and item now; the cautious one is left in ``kept``."""
    odds = mixed(model, head, user, item, float(kept.logit)) + kept.log_odds + user_explicit(user, population)
    if head == SAMPLE:
        odds += item_explicit(item, population)
    common = share_of(population, model, head)
    kept.cautious = posterior(cfg, common, odds - _doubt(user, float(kept.split)))
    return posterior(cfg, common, odds)


@kernel
def reassess(cfg: NoiseConfig, model: Any, user: Any, item: Any, population: Any, kept: Any, label: int) -> float:
    """P(noise) of an earlier view with what is known now; the cautious one is left in ``kept``.

    ``label`` 1: the pair has just converted (call after the conversion was assessed): the view is as good as that
    order. ``label`` 0: the window has closed; the view is judged again, by what its user and item did since.
    """
    if label == 1:
        kept.cautious = user.z_order_cautious
        return float(user.z_order)
    return _probability(cfg, model, user, item, population, SAMPLE, kept)
