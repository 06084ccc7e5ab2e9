"""From a log likelihood ratio to P(noise): how far it stands out in this stream, and how common noise is.

A model's log ratios are averages over every kind of noise that it was fitted on, and so they are timid about the one
kind that pollutes a given shop. What tells is how far an event's lies above those of the shop's accounts, in robust
deviations: of the two quartiles the one that lies farther from the median counts, so that where ratios are spread wide
above it, as where much is odd and nothing is noise, nothing stands out. `sharpened` takes the distance for that between
two normals (d z - d^2 / 2, of mean 1 over ordinary events once exponentiated).

The share of noise is learned online (EM) with a brake, since EM on a share can run away: what is taken for noise raises
the share, and the share raises what is taken for noise. An event counts as noise only where its evidence alone is
strong, whatever the share is; accounts count, not events; a cap stands above it all.
"""

from __future__ import annotations

import math
from typing import Any

from sie_online.contracts import NOISE_HEADS
from sie_online.elementary import exp, log1p
from sie_online.importance.noise.model import NoiseArrays
from sie_online.importance.noise.population import LOWER_QUARTILE_Z, NoiseConfig, step_rate
from sie_online.jit import kernel

STRONG = 1.0  # log likelihood ratio, doubt taken off
FIRST_MASS = 200.0  # of events behind the share that the model presumes
HALF_MASS_EVENTS = 20.0
MIN_SHARE, MAX_SHARE = 0.002, 0.4
ODDS_CAP = 60.0
DISTANCE = 3.0  # of noise from ordinary events, in robust standard deviations of the latter
SHARP_CAP = 8.0
SOFT_BELOW, SOFTNESS = -2.0, 0.5  # log ratios of what is ordinary differ little, so that what people say can move them
LEAST_SPREAD = 0.2
FIRST_KNOWN = 30.0  # mass of ordinary events that the model's quantiles of log ratios stand for
QUANTILE_STEP = 1.5
MEMORY = 5_000.0

POPULATION_FIELDS: list[tuple[Any, ...]] = [
    ("z_share", "f8", (len(NOISE_HEADS),)),  # 0: none learned yet
    ("z_share_mass", "f8", (len(NOISE_HEADS),)),
    ("z_middle", "f8", (len(NOISE_HEADS),)),  # median of the log ratios, and ...
    ("z_below", "f8", (len(NOISE_HEADS),)),  # ... their lower quartile ...
    ("z_above", "f8", (len(NOISE_HEADS),)),  # ... and their upper one
    ("z_known", "f8", (len(NOISE_HEADS),)),  # mass in all three
]


@kernel
def mass_of_account(events: float) -> float:
    """What an event of an account with so many ``events`` before counts for."""
    return HALF_MASS_EVENTS / (HALF_MASS_EVENTS + events)


@kernel
def follow_ratios(population: Any, head: int, log_ratio: float, mass: float) -> None:
    """Move median and quartiles by one event (Robbins & Monro 1951), in steps of their distance."""
    known = population.z_known[head] + mass
    population.z_known[head] = known
    middle, below, above = population.z_middle[head], population.z_below[head], population.z_above[head]
    rate = step_rate(known, 1.0 / math.sqrt(MEMORY) / 3.0)
    step = QUANTILE_STEP * rate * mass * max(middle - below, above - middle, 0.1)
    middle += step if log_ratio > middle else -step
    below += 0.5 * step if log_ratio >= below else -1.5 * step
    above += 1.5 * step if log_ratio > above else -0.5 * step
    population.z_middle[head], population.z_below[head] = middle, min(below, middle)
    population.z_above[head] = max(above, middle)


@kernel
def sharpened(population: Any, head: int, log_ratio: float) -> float:
    """The log ratio of noise in this stream."""
    middle = float(population.z_middle[head])
    apart = max(middle - population.z_below[head], population.z_above[head] - middle)
    z = (log_ratio - middle) / max(apart / LOWER_QUARTILE_Z, LEAST_SPREAD)
    sharp = DISTANCE * z - 0.5 * DISTANCE * DISTANCE
    if sharp < SOFT_BELOW:
        return float(SOFT_BELOW - SOFTNESS * log1p(SOFT_BELOW - sharp))
    return float(min(sharp, SHARP_CAP))


@kernel
def share_of(population: Any, model: Any, head: int) -> float:
    """Share of noise among a head's events."""
    learned = float(population.z_share[head])
    return learned if learned > 0.0 else min(max(float(model.share[head]), MIN_SHARE), MAX_SHARE)


@kernel
def posterior(cfg: NoiseConfig, share: float, log_ratio: float) -> float:
    """P(noise) from a log likelihood ratio and the share of noise."""
    odds = exp(min(max(log_ratio, -ODDS_CAP), ODDS_CAP)) * share / (1.0 - share)
    return min(odds / (1.0 + odds), cfg.max_probability)


@kernel
def learn_share(cfg: NoiseConfig, population: Any, model: Any, head: int, events: float, sure: float) -> None:
    """One step of online EM (Cappé & Moulines 2009). ``sure`` is the log ratio less what is doubtful about it."""
    share = share_of(population, model, head)
    mass = mass_of_account(events)
    total = min(max(population.z_share_mass[head], FIRST_MASS) + mass, max(cfg.memory, FIRST_MASS))
    guilt = posterior(cfg, share, sure) if sure >= STRONG else 0.0
    population.z_share_mass[head] = total
    population.z_share[head] = min(max(share + mass / total * (guilt - share), MIN_SHARE), MAX_SHARE)


def presume(population: Any, model: NoiseArrays) -> None:
    """Start anew from what the next model presumes: its log ratios are not those of the last one."""
    population["z_share"], population["z_share_mass"] = 0.0, 0.0
    population["z_middle"], population["z_below"] = model.ordinary[:, 0], model.ordinary[:, 1]
    population["z_above"] = 2.0 * model.ordinary[:, 0] - model.ordinary[:, 1]
    population["z_known"] = FIRST_KNOWN
