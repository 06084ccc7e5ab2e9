"""P(noise) of an event by the noise model: what was fitted on behaviours of many kinds, sharpened in this stream.

The event's evidence is standardised by what is ordinary for its like, the noise model gives its opinion, and
the opinions of its account's and its item's other events are mixed in: a log likelihood ratio. What people say
outright adds log odds, and the share of noise that the stream itself teaches makes a probability of it.

Besides P there is a cautious P, the lower end of its interval: the log ratio less half of what the two parts of the
model disagree by, and less still while the account is young.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from sie_online.importance.noise import evidence, judge, share, standard
from sie_online.importance.noise.evidence import gather
from sie_online.importance.noise.explicit import Words, words_of
from sie_online.importance.noise.judge import mixed, note_opinion, opinion
from sie_online.importance.noise.population import NoiseConfig
from sie_online.importance.noise.share import (
    follow_ratios,
    learn_share,
    mass_of_account,
    posterior,
    share_of,
    sharpened,
)
from sie_online.importance.noise.standard import follow, hide_deeds, mass_of, standardise_evidence, stratum_of
from sie_online.importance.noise.walk import CONVERSION, SAMPLE
from sie_online.jit import kernel

YOUTH_DOUBT = 1.0  # log odds that are doubtful at an account's first event; less by the root of their number

PARTS = (evidence, judge, share, standard)
KEPT_FIELDS: list[tuple[Any, ...]] = [
    ("logit", "f4"),  # the event's own ...
    ("split", "f4"),  # ... and what is doubtful about it
]
PAIR_VIEW_FIELDS: list[tuple[Any, ...]] = [("z_view_odds", "f4")]  # of the last view: what it led to is as good
USER_ORDER_FIELDS: list[tuple[Any, ...]] = [("z_order", "f8"), ("z_order_cautious", "f8")]  # P of the last conversion


class Verdict(NamedTuple):
    """P(noise), and the lower end of its interval."""

    probability: float
    cautious: float


def fields_of(record: str) -> list[tuple[Any, ...]]:
    """State that the factor adds to the records of ``record`` (``user``, ``item``, ...)."""
    name = f"{record.upper()}_FIELDS"
    own = [field for part in PARTS for field in getattr(part, name, [])]
    return [*evidence.fields_of(record), *own, *{"user": USER_ORDER_FIELDS, "pair": PAIR_VIEW_FIELDS}.get(record, [])]


@kernel
def assess_fitted(
    cfg: NoiseConfig, model: Any, user: Any, item: Any, pair: Any, interest: Any, population: Any, event: Any, kept: Any
) -> Verdict:
    """P(noise) of an event by what was known before it; then the event is counted. Once per event.

    Call before ``last_ms`` moves. What `reassess_fitted` will need is left in ``kept``, of which ``log_odds`` is read.
    Finite for every input, in [0, ``cfg.max_probability``].
    """
    step = gather(cfg, user, item, pair, interest, population, event, population.z_evidence)
    events, head = step.n + 1.0, step.head
    stratum = stratum_of(head, events)
    standardise_evidence(population, stratum, population.z_evidence)
    hide_deeds(head, population.z_evidence)
    own = opinion(model, population, head, events)
    note_opinion(user, item, own.logit)
    kept.logit, kept.split = own.logit, own.split
    log_ratio = mixed(model, head, user, item, own.logit)
    odds = _odds(population, head, log_ratio, kept, words_of(user, item, population))
    if head == SAMPLE:
        pair.z_view_odds = odds
    elif head == CONVERSION and step.visits > 0.0:
        odds = max(odds, float(pair.z_view_odds))
    verdict = _verdict(cfg, model, user, population, head, odds, kept)
    follow(population, stratum, mass_of(user, head) * (1.0 - verdict.probability), population.z_evidence)
    mass = mass_of_account(step.n) if head == SAMPLE else mass_of(user, head)
    follow_ratios(population, head, log_ratio, mass)
    learn_share(cfg, population, model, head, step.n, odds - _doubt(user, own.split))
    if head == CONVERSION:
        user.z_order, user.z_order_cautious = verdict.probability, verdict.cautious
    return verdict


@kernel
def _doubt(user: Any, split: float) -> float:
    """What of a log ratio is doubtful."""
    return split + YOUTH_DOUBT / math.sqrt(max(float(user.z_n), 1.0))


@kernel
def _odds(population: Any, head: int, log_ratio: float, kept: Any, said: Words) -> float:
    """Log odds of noise, how common it is apart."""
    odds = sharpened(population, head, log_ratio)
    odds += float(kept.log_odds) + said.user
    return odds + said.item if head == SAMPLE else odds


@kernel
def _verdict(cfg: NoiseConfig, model: Any, user: Any, population: Any, head: int, odds: float, kept: Any) -> Verdict:
    common = share_of(population, model, head)
    cautious = posterior(cfg, common, odds - _doubt(user, float(kept.split)))
    return Verdict(posterior(cfg, common, odds), cautious)


@kernel
def reassess_fitted(
    cfg: NoiseConfig, model: Any, user: Any, item: Any, population: Any, kept: Any, label: int, said: Words
) -> Verdict:
    """P(noise) of an earlier view with what is known now, and ``said`` of its user and item.

    ``label`` 1: the pair has just converted (call after the conversion was assessed): the view is as good as that
    order. ``label`` 0: the window has closed; the view is judged again, by what its user and item did since.
    """
    if label == 1:
        return Verdict(user.z_order, user.z_order_cautious)
    log_ratio = mixed(model, SAMPLE, user, item, float(kept.logit))
    return _verdict(cfg, model, user, population, SAMPLE, _odds(population, SAMPLE, log_ratio, kept, said), kept)
