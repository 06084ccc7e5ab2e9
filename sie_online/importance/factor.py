"""What a factor is: one additive part of log weight, computed anew for every statement about an event.

A factor is a module of this package that is named as its column (`sie_online.contracts.FACTOR_COLUMNS`) and has a
``FACTOR``. `factors` puts all of them together; nothing else names one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Flag, auto
from typing import Any, NamedTuple

from sie_online.settings import Settings

UNKNOWN, NEGATIVE, POSITIVE = -1, 0, 1
"""A label as it is known at one moment."""

Fields = list[tuple[Any, ...]]
"""Fields of a numpy record."""


class Need(Flag):
    """What a factor is computed from; it may change from one statement about an event to the next only with that."""

    EVENT = auto()
    """What was known at the event: it keeps its value."""
    LABEL = auto()
    """The label as far as it is known, and whether its window has ended."""
    REVISION = auto()
    """What the shard has learned by the time of the statement."""


class Moment(NamedTuple):
    """What one statement is about: the event as it is known at that moment.

    A conversion is weighed as the positive sample that it creates.
    """

    is_sample: bool  # or a conversion
    etype: int  # code of the event type; a conversion's is that of the commonest sample
    user_key: Any  # 64-bit hashes of the ids
    item_key: Any
    category_key: Any  # 0: no category
    label: int
    matured: bool  # the label is final: a negative is no purchase in waiting any more
    probability: float  # P(positive) as predicted at the event
    error: float  # label - probability, NaN where the label is unknown
    feature_score: float
    noise_probability: float
    noise_cautious: float  # lower end of its interval
    kept: Any  # record of what the factors keep with an open view, `KEPT`
    dense: Any  # (N_DENSE,) float32: the event's real-valued features


class Learned(NamedTuple):
    """What the shard has learned so far, as far as factors look at it."""

    population: Any  # record of the sums over everybody
    net: Any  # the importance net's arrays


class EntityRecords(NamedTuple):
    """Records of those who take part in an event, before it is counted."""

    user: Any
    item: Any
    category: Any
    pair: Any
    interest: Any


@dataclass(frozen=True)
class Factor:
    """A factor as the shard takes it. Hooks are kernels; all but ``log_weight`` may be absent.

    Attributes:
        log_weight: ``(cfg, learned, moment) -> float``: its part of log weight, asked only where ``cfg.on``.
        settings_of: from the deployment's settings to the scalars ``cfg``, a NamedTuple with at least ``on``.
        needs: what ``log_weight`` looks at.
        bounds: ``cfg -> (lowest, highest)`` of ``log_weight``, whatever comes.
        is_learned: whether the weighted recommender learns with it, too.
        remember: ``(cfg, population, entities, kept)``: at the event, note what later statements will need of it.
        observe: ``(cfg, population, moment)``: after the first statement about an event, whether on or off.
        settle: ``(cfg, population, label)``: before the last statement about a sample, whether on or off.
        fields: state that it adds to the records of ``population``, ``user``, ``item``, ``category``, ``pair`` and
            ``interest``.
        kept: fields kept with an open view.
    """

    log_weight: Any
    settings_of: Callable[[Settings], Any]
    needs: Need
    bounds: Callable[[Any], tuple[float, float]]
    is_learned: bool = True
    remember: Any = None
    observe: Any = None
    settle: Any = None
    fields: Mapping[str, Fields] = field(default_factory=dict)
    kept: Fields = field(default_factory=list)
