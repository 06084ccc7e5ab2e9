"""How common noise is: the share of each head's events, learned online from strong evidence alone.

Of ordinary events some share f0 is strongly suspect, of noise a share f1: the fit measured both. So where a share F
of the stream is, noise makes (F - f0) / (f1 - f0) of it (the method of moments for a mixture). Nothing that is
concluded from the share flows back into it, so it cannot run away, as expectation-maximisation on posteriors can: what
is taken for noise raises the share there, and the share raises what is taken for noise. Accounts count, not events; a
cap stands above it all.
"""

from __future__ import annotations

import math
from typing import Any

from sie_online.contracts import NOISE_HEADS
from sie_online.importance.noise.population import NoiseConfig
from sie_online.jit import kernel

STRONG = 1.0  # log likelihood ratio, doubt taken off
FIRST_MASS = 200.0  # of events behind the share that the model presumes
HALF_MASS_EVENTS = 20.0
MIN_SHARE, MAX_SHARE = 0.002, 0.4
ODDS_CAP = 60.0
ORDINARY, NOISE = range(2)
"""Columns of a model's ``strong``."""

POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_strong", "f8", (len(NOISE_HEADS),)),  # share of strongly suspect events
    ("z_strong_mass", "f8", (len(NOISE_HEADS),)),  # 0: none was seen yet
]


@kernel
def share_of(population: Any, model: Any, head: int) -> float:
    """Share of noise among a head's events."""
    if population.z_strong_mass[head] == 0.0:
        share = float(model.share[head])
    else:
        ordinary, noise = model.strong[head, ORDINARY], model.strong[head, NOISE]
        share = (population.z_strong[head] - ordinary) / (noise - ordinary)
    return min(max(share, MIN_SHARE), MAX_SHARE)


@kernel
def posterior(cfg: NoiseConfig, share: float, log_ratio: float) -> float:
    """P(noise) from a log likelihood ratio and the share of noise."""
    odds = math.exp(min(max(log_ratio, -ODDS_CAP), ODDS_CAP)) * share / (1.0 - share)
    return min(odds / (1.0 + odds), cfg.max_probability)


@kernel
def learn_share(cfg: NoiseConfig, population: Any, model: Any, head: int, events: float, sure: float) -> None:
    """Count one event of an account with so many ``events`` before; ``sure`` is its log ratio less what is doubtful."""
    if population.z_strong_mass[head] == 0.0:
        ordinary, noise = model.strong[head, ORDINARY], model.strong[head, NOISE]
        population.z_strong[head] = ordinary + model.share[head] * (noise - ordinary)
        population.z_strong_mass[head] = FIRST_MASS
    mass = HALF_MASS_EVENTS / (HALF_MASS_EVENTS + events)
    total = min(population.z_strong_mass[head] + mass, max(cfg.memory, FIRST_MASS))
    strong = 1.0 if sure >= STRONG else 0.0
    population.z_strong[head] += mass / total * (strong - population.z_strong[head])
    population.z_strong_mass[head] = total


def forget_share(population: Any) -> None:
    """Start anew from what the next model presumes: what is strong evidence is another matter with it."""
    population["z_strong_mass"] = 0.0
