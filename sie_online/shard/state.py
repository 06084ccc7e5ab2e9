"""All that a shard knows, as arrays that the kernels walk, and the settings as the scalars they take.

Owns the layout. What changes it: the event loop (`sie_online.shard.loop`). What saves it: `sie_online.shard.snapshot`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sie_online.contracts import EVENT_TYPES, FACTORS, TYPE_CODES
from sie_online.features import FACTOR_COLUMNS, N_DENSE, N_FEATURES, FeatureConfig
from sie_online.importance.factors import KEPT, settings_of
from sie_online.importance.guard import guard_of
from sie_online.importance.influence import NetArrays, no_net
from sie_online.importance.noise import start_from
from sie_online.importance.noise.model import NoiseArrays, default_noise
from sie_online.importance.weight import WeightConfig
from sie_online.masks import mask_of
from sie_online.recommender.kernels import RecommenderArrays, RecommenderConfig, new_model
from sie_online.settings import Settings
from sie_online.shard.clock import Belief, belief_of, new_clock
from sie_online.shard.dedupe import DedupeWindow, new_dedupe
from sie_online.shard.entities import CATEGORIES, INTERESTS, ITEMS, PAIRS, POPULATION, USERS, StatementConfig
from sie_online.shard.views import Views, ViewsFile
from sie_online.slots import SlotTable, new_table


class Config(NamedTuple):
    """Everything the kernels need of the settings; times in ms, event types as bit masks of their codes."""

    samples: int
    conversions: int
    window_ms: int
    patience_ms: int  # the window, and the wait for late events
    sample_type: int  # the commonest: what a conversion is weighed as
    external: bool
    belief: Belief
    features: FeatureConfig
    model: RecommenderConfig
    factors: Any  # `importance.factors.FactorSettings`
    weight: WeightConfig
    statement: StatementConfig


WEIGHT_EDGES = tuple(float(2.0 ** (step / 2)) for step in range(-16, 7))
"""Upper edges of the weight histogram: from 1/256 to 8 in half octaves; the last bin is open."""

COUNTERS = np.dtype(
    [
        ("events", "i8"),  # events weighed
        ("head", "i8"),  # oldest open view
        ("tail", "i8"),  # next view
        ("ids_tail", "i8"),  # next free byte of the views' ids
        ("heartbeats", "i8"),
        ("settled_early", "i8"),  # views settled because no room was left
        ("weighted", "i8", (len(EVENT_TYPES),)),
        ("duplicates", "i8", (len(EVENT_TYPES),)),
        ("settled", "i8", (2,)),  # by label
        ("weight_bins", "i8", (len(WEIGHT_EDGES) + 1,)),  # of the weights at revision 0, by `WEIGHT_EDGES`
        ("erasures", "i8"),
    ]
)
"""The shard's counts since it began."""


class Scratch(NamedTuple):
    """Working memory of one event; nothing in it outlives the event."""

    features: NDArray[np.uint32]
    dense: NDArray[np.float32]
    kept: NDArray[np.void]  # what the factors keep of the event
    nothing: NDArray[np.void]  # the same of no event
    factors: NDArray[np.float64]
    external: NDArray[np.float64]


class State(NamedTuple):
    """A shard's arrays. ``counters``, ``clock`` and ``population`` have one record each."""

    counters: NDArray[np.void]
    clock: NDArray[np.void]
    population: NDArray[np.void]
    users: SlotTable
    items: SlotTable
    categories: SlotTable
    pairs: SlotTable
    interests: SlotTable
    model: RecommenderArrays
    dedupe: DedupeWindow
    views: Views
    net: NetArrays
    noise: NoiseArrays
    scratch: Scratch


def config_of(settings: Settings) -> Config:
    """The kernels' scalars for ``settings``."""
    labels, importance = settings.labels, settings.importance
    samples, conversions = mask_of(labels.samples), mask_of(labels.conversions)
    return Config(
        samples=samples,
        conversions=conversions,
        window_ms=labels.window_ms,
        patience_ms=labels.settles_after_ms,
        sample_type=TYPE_CODES["view" if "view" in labels.samples else labels.samples[0]],
        external=bool(settings.recommender.classifier),
        belief=belief_of(settings),
        features=FeatureConfig(samples=samples, conversions=conversions),
        model=RecommenderConfig(),
        factors=settings_of(settings),
        weight=WeightConfig(
            guard=guard_of(settings.guard),
            minimum=importance.weight_min,
            maximum=importance.weight_max,
            effective_share=importance.min_effective_share,
        ),
        statement=StatementConfig(
            growth=settings.entities.publish_growth, max_age_ms=round(settings.entities.publish_max_age_s * 1000)
        ),
    )


def most_open_views(settings: Settings) -> int:
    """How many open views a shard has room for: as many as ``settings`` allow, rounded down to a power of two."""
    return 1 << (settings.labels.max_open_views.bit_length() - 1)


def new_views(settings: Settings, scratch: Path | None = None) -> ViewsFile:
    """A file below ``scratch`` for the open views of a shard under ``settings``."""
    return ViewsFile(most_open_views(settings), scratch)


def new_state(settings: Settings, views: Views) -> State:
    """The state of a shard that has seen nothing; ``views``, as empty, are its open views to be."""
    bounds, noise = settings.entities, default_noise()
    population = np.zeros(1, POPULATION)
    start_from(population[0], noise)
    return State(
        counters=np.zeros(1, COUNTERS),
        clock=new_clock(),
        population=population,
        users=new_table(bounds.users, USERS),
        items=new_table(bounds.items, ITEMS),
        categories=new_table(bounds.categories, CATEGORIES),
        pairs=new_table(bounds.pairs, PAIRS),
        interests=new_table(bounds.interests, INTERESTS),
        model=new_model(
            RecommenderConfig(),
            N_FEATURES,
            FACTOR_COLUMNS,
            dim=FeatureConfig().dim,
            seed=settings.recommender.seed,
        ),
        dedupe=new_dedupe(settings.dedupe.events),
        views=views,
        net=no_net(),
        noise=noise,
        scratch=Scratch(
            features=np.zeros(N_FEATURES, np.uint32),
            dense=np.zeros(N_DENSE, np.float32),
            kept=np.zeros(1, KEPT),
            nothing=np.zeros(1, KEPT),
            factors=np.zeros(len(FACTORS), np.float64),
            external=np.zeros(2, np.float64),
        ),
    )
