"""How common noise is: the share of each head's events, learned online, with a brake.

Expectation-maximisation on a share can run away: what is taken for noise raises the share, and the share raises what is
taken for noise. So an event counts as noise only where its evidence alone is strong, whatever the share is; accounts
count, not events; and a cap stands above it all. A share is then at most the share of strongly suspect accounts'
events: there is nothing that it could feed itself with.
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

POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_share", "f8", (len(NOISE_HEADS),)),  # 0: none learned yet
    ("z_share_mass", "f8", (len(NOISE_HEADS),)),
]


@kernel
def share_of(population: Any, model: Any, head: int) -> float:
    """Share of noise among a head's events."""
    learned = float(population.z_share[head])
    return learned if learned > 0.0 else min(max(float(model.share[head]), MIN_SHARE), MAX_SHARE)


@kernel
def posterior(cfg: NoiseConfig, share: float, log_ratio: float) -> float:
    """P(noise) from a log likelihood ratio and the share of noise."""
    odds = math.exp(min(max(log_ratio, -ODDS_CAP), ODDS_CAP)) * share / (1.0 - share)
    return min(odds / (1.0 + odds), cfg.max_probability)


@kernel
def learn_share(
    cfg: NoiseConfig, population: Any, model: Any, head: int, events: float, log_ratio: float, sure: float
) -> None:
    """One step of online EM (Cappé & Moulines 2009). ``sure`` is the log ratio less what is doubtful about it."""
    share = share_of(population, model, head)
    mass = HALF_MASS_EVENTS / (HALF_MASS_EVENTS + events)
    total = min(max(population.z_share_mass[head], FIRST_MASS) + mass, cfg.memory)
    guilt = posterior(cfg, share, log_ratio) if sure >= STRONG else 0.0
    moved = share + mass / total * (guilt - share)
    population.z_share_mass[head] = total
    population.z_share[head] = min(max(moved, MIN_SHARE), MAX_SHARE)
