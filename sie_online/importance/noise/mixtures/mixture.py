"""The two-component mixture over a sum of surprises; its share of noise is learned from the stream itself (online EM).

A clean log ends near zero.
"""

from __future__ import annotations

from typing import Any

from sie_online.elementary import exp
from sie_online.importance.noise.population import NoiseConfig, standardise, step_rate
from sie_online.jit import kernel

HALF_TRUST = 20.0  # sums observed at which their quantiles are half believed
FIRST_SHARE_EVENTS = 20.0  # pseudo-events behind the initial share
MIN_SHARE = 0.005  # rarer causes still rank events, and a share of zero could never rise again
MAX_SHARE = 0.5  # noise is the rarer kind, or the two components change places
T_HIGH = 20.0  # a sum of surprises: beyond, every probability is at its cap


@kernel
def trust(population: Any, k: int) -> float:
    """How far the quantiles of row ``k`` are to be believed, in [0, 1)."""
    return float(population.z_seen[k] / (population.z_seen[k] + HALF_TRUST))


@kernel
def standardise_sum(population: Any, k: int, total: float, floor: float) -> float:
    """Robust z of a sum of surprises, drawn to 0 while few sums were observed."""
    return trust(population, k) * standardise(population, k, total, floor, T_HIGH)


@kernel
def share(cfg: NoiseConfig, population: Any, role: int) -> float:
    """Estimated share of noise in a role (account, order, event)."""
    if population.s_share_n[role] == 0.0:
        return float(cfg.initial_share)
    return float(population.s_share[role])


@kernel
def posterior(cfg: NoiseConfig, population: Any, role: int, log_ratio: float) -> float:
    """P(noise) from a log likelihood ratio and the role's current share."""
    prior = share(cfg, population, role)
    return 1.0 / (1.0 + (1.0 - prior) / prior * exp(min(max(-log_ratio, -60.0), 60.0)))


@kernel
def log_ratio(t: float, separation: float) -> float:
    """log N(t; d, 1) / N(t; 0, 1) = d·t - d²/2: monotone, and of mean 1 over ordinary t once exponentiated.

    So where everything is ordinary the maximum-likelihood share is zero.
    """
    return separation * t - 0.5 * separation * separation


@kernel
def learn_share(cfg: NoiseConfig, population: Any, role: int, probability: float, mass: float) -> None:
    """One step of online EM (Cappé & Moulines 2009) on the noise share."""
    if population.s_share_n[role] == 0.0:
        population.s_share[role] = cfg.initial_share
        population.s_share_n[role] = FIRST_SHARE_EVENTS
    n = population.s_share_n[role] + mass
    rate = mass * step_rate(n, 1.0 / cfg.memory)
    moved = population.s_share[role] + rate * (probability - population.s_share[role])
    population.s_share_n[role] = n
    population.s_share[role] = min(max(moved, MIN_SHARE), MAX_SHARE)
