"""People, items, categories and their latent tastes, before and after the drift half-way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sie_online.simulator.scenario import Scenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

EVENTS_PER_USER = 30  # over two days, as in public click logs
EVENTS_PER_ITEM = 25
DIMENSIONS = 8
DRIFTERS = 0.4  # share of people whose taste turns half-way
ZIPF_EXPONENT = 0.95
ZIPF_OFFSET = 4.0  # flattens the very top: no item takes a tenth of the traffic
PHASES = 2


@dataclass(frozen=True, slots=True)
class World:
    """Latent truth. Items are ordered by category; ``phase`` 0 is before the drift and 1 after it.

    taste (phase, user, d) and vectors (item, d), category_vectors (category, d) meet in an inner product;
    ``appeal`` (phase, item) is how well an item converts; ``mass`` (item + 1) the running sum of popularity.
    """

    taste: Floats
    activity: Floats
    buying: Floats
    night_shift_h: Floats
    vectors: Floats
    category_vectors: Floats
    category: Ints
    first_item: Ints
    mass: Floats
    appeal: Floats
    price: Floats

    @property
    def users(self) -> int:
        """Number of real people; invented accounts are numbered from here on."""
        return len(self.activity)

    @property
    def items(self) -> int:
        """Number of items."""
        return len(self.price)

    def affinity(self, phase: Ints, user: Ints, item: Ints) -> Floats:
        """How well items fit people; about standard normal over random pairs."""
        fit: Floats = np.einsum("nd,nd->n", self.taste[phase, user], self.vectors[item])
        return fit

    def popular(self, rng: np.random.Generator, n: int) -> Ints:
        """``n`` items drawn by popularity."""
        return self._at(rng.random(n) * self.mass[-1])

    def popular_in(self, rng: np.random.Generator, category: Ints) -> Ints:
        """One item of each given category, drawn by popularity."""
        low, high = self.mass[self.first_item[category]], self.mass[self.first_item[category + 1]]
        return self._at(low + rng.random(category.shape) * (high - low))

    def _at(self, level: Floats) -> Ints:
        item: Ints = np.minimum(np.searchsorted(self.mass, level, side="right") - 1, self.items - 1)
        return item


def build(scenario: Scenario, rng: np.random.Generator) -> World:
    """Draw a world that fits the scenario's size."""
    users = max(40, scenario.genuine_events // EVENTS_PER_USER)
    items = max(60, scenario.events // EVENTS_PER_ITEM)
    categories = int(np.clip(items // 40, 6, 60))
    taste = np.stack([rng.normal(size=(users, DIMENSIONS))] * PHASES)
    drifters = rng.random(users) < DRIFTERS
    taste[1, drifters] = rng.normal(size=(int(drifters.sum()), DIMENSIONS))
    category_vectors = rng.normal(size=(categories, DIMENSIONS))
    category = np.sort(rng.choice(categories, items, p=_zipf(categories, 2.0)))
    category[:categories] = np.arange(categories)  # none is empty
    category.sort()
    vectors = 0.8 * category_vectors[category] + 0.6 * rng.normal(size=(items, DIMENSIONS))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return World(
        taste=taste,
        activity=_normalised(rng.lognormal(0.0, 0.9, users)),
        buying=rng.normal(size=users),
        night_shift_h=rng.normal(0.0, 1.5, users),
        vectors=vectors,
        category_vectors=category_vectors / np.linalg.norm(category_vectors, axis=1, keepdims=True),
        category=category,
        first_item=np.searchsorted(category, np.arange(categories + 1)),
        mass=np.concatenate([[0.0], np.cumsum(rng.permutation(_zipf(items, ZIPF_OFFSET)))]),
        appeal=_drifting(rng, items),
        price=_prices(rng, category, categories),
    )


def _zipf(n: int, offset: float) -> Floats:
    return _normalised(np.power(np.arange(n, dtype=np.float64) + offset, -ZIPF_EXPONENT))


def _prices(rng: np.random.Generator, category: Ints, categories: int) -> Floats:
    level = rng.normal(3.0, 0.8, categories)[category]
    price: Floats = np.round(np.exp(level + rng.normal(0.0, 0.5, len(category))), 2).astype(np.float64)
    return price


def _normalised(values: Floats) -> Floats:
    scaled: Floats = values / values.sum()
    return scaled


def _drifting(rng: np.random.Generator, items: int) -> Floats:
    """Appeal before and after: correlated at .5, as one season's hits are not all the next one's."""
    before = rng.normal(size=items)
    return np.stack([before, 0.5 * before + np.sqrt(0.75) * rng.normal(size=items)])
